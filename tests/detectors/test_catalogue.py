from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import CatalogueCounts, CorruptBytes, MismatchError

ITEMS = 12
LISTS = st.lists(st.lists(st.integers(-1, ITEMS + 1), min_size=3, max_size=3), max_size=12)


def counted(lists, items=ITEMS) -> CatalogueCounts:
    counts = CatalogueCounts(items)
    counts.add(np.array(lists, dtype=np.int64).reshape(-1, 3))
    return counts


@given(kept=LISTS, gone=LISTS)
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_those_of_the_lists_whatever_the_order(kept, gone):
    total = counted(kept[::-1] + gone)
    total.merge(counted(gone), sign=-1)
    assert total.to_bytes() == counted(kept).to_bytes()
    assert CatalogueCounts.from_bytes(total.to_bytes(), ITEMS) == total


def test_coverage_and_personalization_are_those_of_all_pairs_of_lists():
    rng = np.random.default_rng(1)
    lists = np.array([rng.choice(40, 5, replace=False, p=np.arange(1, 41) / 820) for _ in range(60)])
    counts = CatalogueCounts(50)
    counts.add(lists)
    vectors = np.zeros((60, 50))
    vectors[np.arange(60)[:, None], lists] = 1.0
    cosine = vectors @ vectors.T / 5.0
    expected = 1.0 - np.mean([cosine[a, b] for a, b in itertools.combinations(range(60), 2)])
    found = counts.metrics()
    assert found["personalization"] == pytest.approx(expected, rel=1e-12)
    assert found["coverage"] == np.unique(lists).size / 50


def test_repeated_empty_and_unknown_places():
    counts = counted([[3, 3, -1], [3, 99, 99], [-1, -1, -1]])
    found = counts.metrics()
    assert (found["n"], found["unknown_item"], found["coverage"]) == (3, 1, 1 / ITEMS)
    assert found["personalization"] == 1 - 2 / (2 * 2)
    assert counted([[1, 2, 3]]).metrics()["personalization"] is None
    assert counts.metrics(min_n=4)["coverage"] is None


def test_lists_and_catalogues_that_do_not_fit_are_refused():
    counts = counted([[1, 2, 3]])
    with pytest.raises(ValueError, match="one row of items per list"):
        counts.add(np.array([1, 2]))
    with pytest.raises(MismatchError, match="cannot join"):
        counts.merge(CatalogueCounts(3))
    with pytest.raises(MismatchError):
        CatalogueCounts.from_bytes(counts.to_bytes(), 3)
    with pytest.raises(CorruptBytes):
        CatalogueCounts.from_bytes(counts.to_bytes()[:-1], ITEMS)
    with pytest.raises(ValueError, match="give 1 to"):
        CatalogueCounts(0)
    again = counts.copy()
    again.merge(counts)
    assert (counts.n, again.n) == (1, 2)
