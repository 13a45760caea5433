from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import CorruptBytes, ValueCounts

VALUES = st.sampled_from([0.0, 1.0, -2.5, 1e-9, 1e70, 0.1, float("nan"), float("inf"), 1e80])
WEIGHTS = st.sampled_from([1.0, 2.0, 1 / 3, 1e-60, 0.0, -1.0, float("nan")])
ROWS = st.lists(st.tuples(VALUES, WEIGHTS), max_size=25)


def counted(rows) -> ValueCounts:
    counts = ValueCounts()
    values, weights = np.array(rows, dtype=float).reshape(-1, 2).T
    counts.add(values, weights)
    return counts


@given(kept=ROWS, gone=ROWS, random=st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_bytes_are_those_of_the_values_whatever_the_order(kept, gone, random):
    steps = [(1, row) for row in kept + gone] + [(-1, row) for row in gone]
    random.shuffle(steps)
    total = ValueCounts()
    for sign, row in steps:
        total.merge(counted([row]), sign=sign)
    assert total.to_bytes() == counted(kept).to_bytes()
    assert ValueCounts.from_bytes(total.to_bytes()) == total


def test_sums_and_means_are_exact():
    rng = np.random.default_rng(1)
    values = rng.normal(size=2000) * 10.0 ** rng.integers(-10, 10, 2000)
    found = counted(np.stack((values, np.ones(2000)), axis=1)).metrics()
    total = sum(map(Fraction, values.tolist()))
    assert found["sum"] == float(total)
    assert found["mean"] == float(total / 2000)
    assert found["effective_n"] == 2000


def test_weights_stand_for_what_was_not_sampled():
    found = counted([(10.0, 3.0), (0.0, 1.0), (float("nan"), 5.0), (float("inf"), 1.0), (1.0, 0.0)]).metrics()
    assert found == {
        "n": 2,
        "nonzero": 1,
        "unusable": 2,
        "effective_n": 1.6,
        "sum": 30.0,
        "mean": 7.5,
        "nonzero_rate": 0.75,
    }


def test_what_is_not_defined_is_none():
    names = ("sum", "mean", "nonzero_rate", "effective_n")
    assert [ValueCounts().metrics()[name] for name in names] == [None] * 4
    one = counted([(1.0, 1.0)])
    assert [one.metrics(min_n=2)[name] for name in names] == [None] * 4
    assert set(one.standard_errors().values()) == {None}
    with pytest.raises(ValueError, match="shapes"):
        one.add(np.zeros(3), np.zeros(2))


def test_standard_errors_are_the_scatter_between_samples():
    rng = np.random.default_rng(2)
    samples = []
    for _ in range(400):
        values = np.where(rng.random(300) < 0.3, rng.gamma(2.0, 10.0, 300), 0.0)
        samples.append(counted(np.stack((values, rng.choice([1.0, 4.0], 300)), axis=1)))
    for name in ("mean", "nonzero_rate"):
        found = np.std([sample.metrics()[name] for sample in samples], ddof=1)
        stated = np.mean([sample.standard_errors()[name] for sample in samples])
        assert 0.88 <= stated / found <= 1.14, name


def test_a_copy_shares_nothing_and_broken_bytes_are_noticed():
    counts = counted([(1.0, 1.0), (0.5, 2.0)])
    again = counts.copy()
    again.merge(counts)
    assert (counts.n, again.n) == (2, 4)
    data = bytearray(counts.to_bytes())
    data[-1] ^= 1
    with pytest.raises(CorruptBytes, match="DSVL"):
        ValueCounts.from_bytes(bytes(data))
