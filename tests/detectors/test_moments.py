"""Products of scores: whole numbers that merge in any order and cut."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import CorruptBytes, Counts, MismatchError, Reference
from detectors.moments import LARGEST, UNIT, Products

RNG = np.random.default_rng(21)
LATENT = RNG.normal(size=4000)
COLUMNS = {
    "a": RNG.normal(size=4000) + LATENT,
    "b": np.where(RNG.random(4000) < 0.1, np.nan, RNG.normal(size=4000) + LATENT),
    "c": np.where(RNG.random(4000) < 0.6, 0.0, RNG.exponential(size=4000)),
    "kind": RNG.choice(list("xyz"), 4000),
}
REFERENCE = Reference.build(COLUMNS, window_rows=100)
ENCODED = REFERENCE.binning.encode(COLUMNS)


def rows(chosen: slice | np.ndarray) -> Counts:
    return REFERENCE.tally({name: values[chosen] for name, values in ENCODED.items()})[0]


def scores_by_hand(values: np.ndarray, name: str) -> np.ndarray:
    """The whole-number location scores of a column, from its cells."""
    binning, scores = REFERENCE.binning, REFERENCE.scores
    j = binning.names.index(name)
    edges = np.array(binning.columns[j].edges)
    first = int(np.searchsorted(scores.owner, j))
    weights = scores.weights(np.array([first]))[0]
    found = np.rint(weights[np.searchsorted(edges, values, side="right")] * UNIT)
    return np.where(np.isfinite(values), found, 0.0).astype(np.int64)


def test_moments_are_the_sums_of_the_products_of_scores():
    a, b, c = (scores_by_hand(COLUMNS[name], name) for name in "abc")
    assert rows(slice(None)).moments.tolist() == [int(a @ b), int(a @ c), int(b @ c)]
    assert REFERENCE.pairs.names == ("a", "b", "c")


@pytest.mark.parametrize("size", [1, 7, 1500, 3999])
def test_any_cut_and_order_gives_the_same_bits(size):
    parts = [rows(slice(start, start + size)) for start in range(0, 4000, size)]
    total = Counts.empty(REFERENCE.binning)
    for k in np.random.default_rng(size).permutation(len(parts)):
        total.merge(parts[k])
    assert total.to_bytes() == rows(slice(None)).to_bytes()


@pytest.mark.parametrize("groups", [1, 5, 700])
def test_groups_are_counted_apart(groups):
    group = np.random.default_rng(groups).integers(0, groups, 4000).astype(np.intp)
    for g, counts in enumerate(REFERENCE.tally(ENCODED, group, groups)):
        assert counts == rows(group == g)


def test_infinite_missing_and_absent_values_score_nothing():
    odd = {"a": np.array([np.nan, np.inf, -np.inf, 1.0]), "b": np.array([3.0, 3.0, 3.0, np.nan])}
    assert REFERENCE.tally(odd)[0].moments.tolist() == [0, 0, 0]


def test_the_largest_scores_of_a_full_block_are_exact():
    products = Products([0, 1], np.full((2, 1), 1e9), [1, 1])
    ranks = np.full((2, 100_000), 2, dtype=np.uint8)
    for power in (1, 2, 3):
        assert products.sum(ranks, power=power).tolist() == [[LARGEST ** (2 * power) * 100_000]]


def test_counts_without_moments_void_those_of_others_unless_they_are_of_no_rows():
    whole, bare = rows(slice(0, 10)), Counts(rows(slice(10, 20)).cells)
    empty = Counts.empty(REFERENCE.binning)
    assert (whole + bare).moments is None
    assert (bare + whole).moments is None
    assert (empty + whole) == (whole + empty) == whole
    assert (whole + bare).n == 20


def test_moments_of_another_reference_do_not_join():
    whole = rows(slice(0, 10))
    with pytest.raises(MismatchError, match="another reference"):
        whole.merge(Counts(whole.cells, [1]))
    assert whole == rows(slice(0, 10))


@pytest.mark.parametrize("largest", [0, 127, -127, 128, 32_768, -(2**31), 2**40])
def test_bytes_round_trip_at_every_width(largest):
    counts = Counts([[3, 0], [1, 2]], [0, largest])
    assert Counts.from_bytes(counts.to_bytes()) == counts


def test_any_changed_byte_is_noticed():
    data = Counts([[3, 0], [1, 2]], [5, -700]).to_bytes()
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x40
        with pytest.raises(CorruptBytes):
            Counts.from_bytes(bytes(broken))
    for cut in range(len(data)):
        with pytest.raises(CorruptBytes):
            Counts.from_bytes(data[:cut])


def test_counts_without_moments_keep_their_old_bytes():
    assert Counts([[1, 2]]).to_bytes()[4:6] == b"\x01\x00"
    assert Counts([[1, 2]], [0]).to_bytes()[4:6] == b"\x02\x00"
