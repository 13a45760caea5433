"""The compiled counting gives the counts of numpy's, bit by bit."""

from __future__ import annotations

from math import inf, nextafter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import CompactCounts, Counts
from detectors.binning import Binning, CategoricalBins, NumericBins
from detectors.compiled import compiled_tally
from detectors.compiled_bytes import compiled_bytes
from detectors.moments import Products

pytest.importorskip("driftstream_native", reason="the compiled package is not installed")

SPECIAL_VALUES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1.8e308 / 1.1, -1.7e308, 1.0)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def numeric(name: str, edges: tuple[float, ...]) -> NumericBins:
    return NumericBins(name=name, edges=edges, atoms=(), centers=(0.0,) * (len(edges) + 1), spread=1.0)


def both(
    binning: Binning,
    encoded: dict[str, np.ndarray],
    group: np.ndarray,
    groups: int,
    products: Products | None,
) -> tuple[list[CompactCounts], list[Counts]]:
    """What is counted: compiled twice into the same arrays, and by numpy."""
    compiled = compiled_tally(binning, products)
    assert compiled is not None
    found = [compiled.no_counts() for _ in range(groups)]
    for _ in range(2):
        assert compiled.count_into(found, encoded, group)
    kept = group >= 0
    cells, moments = binning.tally(
        {name: values[kept] for name, values in encoded.items()}, group[kept], groups, products=products
    )
    return found, [Counts(2 * cells[g], None if moments is None else 2 * moments[g]) for g in range(groups)]


@st.composite
def edges_and_values(draw: st.DrawFn, rows: int) -> tuple[tuple[float, ...], np.ndarray]:
    edges = tuple(sorted(draw(st.sets(FLOATS.map(lambda x: x + 0.0), max_size=12))))
    near = [v for edge in edges for v in (edge, nextafter(edge, inf), nextafter(edge, -inf), -edge)]
    value = st.one_of(FLOATS, st.sampled_from([*SPECIAL_VALUES, *near]))
    return edges, np.array(draw(st.lists(value, min_size=rows, max_size=rows)), dtype=np.float64)


@given(data=st.data())
def test_any_columns_count_as_numpy_counts_them(data: st.DataObject) -> None:
    rows, groups = data.draw(st.integers(0, 30)), data.draw(st.integers(1, 4))
    drawn = [data.draw(edges_and_values(rows)) for _ in range(data.draw(st.integers(0, 4)))]
    columns: list[Any] = [numeric(f"n{i}", edges) for i, (edges, _) in enumerate(drawn)]
    columns.append(CategoricalBins(name="c", categories=("a", "b"), rare=()))
    encoded = {f"n{i}": values for i, (_, values) in enumerate(drawn)}
    codes = st.lists(st.integers(-3, 2), min_size=rows, max_size=rows)
    encoded["c"] = np.array(data.draw(codes), dtype=np.int32)
    for name in data.draw(st.sets(st.sampled_from(sorted(encoded)))):
        del encoded[name]
    group = np.array(data.draw(st.lists(st.integers(-1, groups - 1), min_size=rows, max_size=rows)), np.intp)
    binning = Binning(columns)
    products = None
    if len(drawn) >= 2:
        scores = np.zeros((len(drawn), binning.width))
        for i, (edges, _) in enumerate(drawn):
            scores[i, : len(edges) + 1] = np.linspace(-3.0, 2.0, len(edges) + 1)
        products = Products(range(len(drawn)), scores, [len(edges) + 1 for edges, _ in drawn])
    found, counted = both(binning, encoded, group, groups, products)
    assert found == counted
    assert [each.n for each in found] == [each.n for each in counted]


@pytest.mark.parametrize("count", [64, 65, 250])
@pytest.mark.parametrize("spacing", ["even", "octaves", "dense"])
def test_many_edges(count: int, spacing: str) -> None:
    random = np.random.default_rng(count)
    edges = {
        "even": np.arange(count) - count / 2,
        "octaves": np.sort(random.choice([-1.0, 1.0], count) * 2.0 ** random.uniform(-1000, 1000, count)),
        "dense": 1.0 + np.arange(count) * 2.0**-52,
    }[spacing]
    below, above = np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)
    values = np.concatenate([edges, below, above, SPECIAL_VALUES])
    found, counted = both(
        Binning([numeric("x", tuple(edges.tolist()))]), {"x": values}, np.zeros(len(values), np.intp), 1, None
    )
    assert found == counted


def test_what_is_not_in_order_changes_nothing() -> None:
    binning = Binning([numeric("x", (1.0,)), CategoricalBins(name="c", categories=("a",), rare=())])
    compiled = compiled_tally(binning, None)
    assert compiled is not None
    counts = [compiled.no_counts()]
    x, c, group = np.zeros(3), np.zeros(3, np.int32), np.zeros(3, np.intp)
    for wrong in ({"x": x, "c": c + 2}, {"x": x, "c": c - 4}, {"x": x[:2], "c": c}):
        with pytest.raises(ValueError, match=r"codes|equally long"):
            compiled.count_into(counts, wrong, group)
    for outside in (group + 1, group - 2):
        with pytest.raises(ValueError, match="group"):
            compiled.count_into(counts, {"x": x, "c": c}, outside)
    assert not compiled.count_into([Counts.empty(binning)], {"x": x, "c": c}, group)
    for left_to_numpy in ({"x": x.astype(np.float32)}, {"x": np.zeros(6)[::2]}, {"c": c.astype(np.int64)}):
        assert not compiled.count_into(counts, left_to_numpy, group)
    assert not counts[0].cells.any()
    assert counts[0].n == 0


@given(
    st.sampled_from([1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**40]),
    st.integers(1, 5),
    st.integers(1, 9),
    st.none() | st.lists(st.integers(-(2**62), 2**62).map(lambda x: x >> (abs(x) % 62)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_bytes_are_those_of_numpy(n, columns, width, moments, random):
    cells = np.zeros((columns, width), np.int64)
    for column in cells:
        some = random.randint(0, n)
        column[0] += n - some
        column[-1] += some
    counts = Counts(cells, moments)
    assert compiled_bytes(counts.n, counts.cells, counts.moments) == counts._packed()
    assert Counts.from_bytes(counts.to_bytes()) == counts


def test_arrays_in_pieces_are_packed_by_numpy():
    whole = np.ones((4, 6), np.int64)
    counts = Counts.of(whole[:, ::2], None, 3)
    assert compiled_bytes(3, counts.cells, None) is None
    assert Counts.from_bytes(counts.to_bytes()) == Counts(whole[:, :3])
