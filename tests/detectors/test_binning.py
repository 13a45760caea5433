from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.binning import INVALID, MISSING, UNSEEN, Binning, CategoricalBins, NumericBins
from detectors.edges import VALUE_CELLS, cut
from detectors.levels import choose_levels


def numeric(name: str, edges: tuple[float, ...]) -> NumericBins:
    return NumericBins(name=name, edges=edges, atoms=(), centers=(0.0,) * (len(edges) + 1), spread=1.0)


PLAN = CategoricalBins(name="plan", categories=("free", "paid"), rare=("trial",))
AGE = numeric("age", (10.0, 20.0))
BINNING = Binning([AGE, PLAN])


def test_every_kind_of_value_has_its_cell():
    encoded = BINNING.encode(
        {
            "age": [9.9, 10, 19.999, 20.0, None, float("nan"), float("inf"), "old"],
            "plan": ["free", "paid", "trial", "gold", None, float("nan"), float("inf"), ["x"]],
        }
    )
    assert encoded["plan"].tolist() == [0, 1, 2, UNSEEN, MISSING, MISSING, INVALID, INVALID]
    assert encoded["age"].dtype == np.float64
    assert encoded["plan"].dtype == np.int32
    age, plan = BINNING.count(encoded)[0]
    #                     < 10  10-20  >= 20  missing invalid unseen
    assert age.tolist() == [1, 2, 1, 2, 2, 0]
    assert plan.tolist() == [1, 1, 1, 2, 2, 1]
    assert BINNING.cell_labels("age") == ["< 10", "[10, 20)", ">= 20", "missing", "invalid", "unseen"]
    assert BINNING.cell_labels("plan") == ["free", "paid", "other", "missing", "invalid", "unseen"]


def test_unused_cells_lie_between_values_and_special_cells():
    binning = Binning([numeric("wide", (1.0, 2.0, 3.0, 4.0)), PLAN])
    assert binning.width == 8
    assert binning.cell_labels("plan") == ["free", "paid", "other", "", "", "missing", "invalid", "unseen"]
    assert binning.select(["plan"]).width == 6


def test_an_absent_column_counts_as_missing_in_every_row():
    cells = BINNING.count({"plan": np.array([0, 1], dtype=np.int32)})[0]
    assert cells[0].tolist() == [0, 0, 0, 2, 0, 0]
    cells = BINNING.count({}, group=np.array([1, 1, 0]), groups=2)
    assert cells[:, :, 3].tolist() == [[1, 1], [2, 2]]


def test_lookup_has_strings_and_none():
    lookup = BINNING.lookup("plan")
    assert dict(lookup) == {None: MISSING, "free": 0, "paid": 1, "trial": 2}
    with pytest.raises(TypeError):
        lookup["new"] = 1  # type: ignore[index]
    with pytest.raises(KeyError):
        BINNING.lookup("age")


def test_numbers_in_a_categorical_column_meet_their_canonical_string():
    binning = Binning([CategoricalBins(name="zip", categories=("12", "1.5", "true"), rare=())])
    raw = [12, 12.0, np.int64(12), np.float32(1.5), True, "12", "12.0"]
    assert binning.encode({"zip": raw})["zip"].tolist() == [0, 0, 0, 1, 2, 0, UNSEEN]
    assert binning.encode({"zip": np.array([12.0, 1.5, np.nan])})["zip"].tolist() == [0, 1, MISSING]
    assert binning.encode({"zip": np.array([12, 13])})["zip"].tolist() == [0, UNSEEN]
    assert binning.encode({"zip": np.array([True, False])})["zip"].tolist() == [2, UNSEEN]


def expected_cells(values: np.ndarray, edges: tuple[float, ...]) -> list[int]:
    cells = [0] * (len(edges) + 4)
    for value in values.tolist():
        if np.isnan(value):
            cells[-3] += 1
        elif np.isinf(value):
            cells[-2] += 1
        else:
            cells[sum(edge <= value for edge in edges)] += 1
    return cells


FLOATS = st.floats(width=64) | st.sampled_from([-1.0, 0.0, 0.5, np.finfo(float).max, np.finfo(float).min])


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float64, st.integers(0, 40), elements=FLOATS), groups=st.integers(1, 4), data=st.data()
)
def test_counting_agrees_with_one_comparison_at_a_time(values, groups, data):
    edges = (-1.0, -0.25, 0.0, 5e-324, 0.5, 1e300)
    group = data.draw(arrays(np.intp, values.size, elements=st.integers(0, groups - 1)))
    cells = Binning([numeric("x", edges)]).count({"x": values}, group, groups)
    for g in range(groups):
        assert cells[g, 0].tolist() == expected_cells(values[group == g], edges)


def test_counting_more_rows_than_one_block_holds():
    rng = np.random.default_rng(3)
    values = rng.normal(size=20_001)
    edges = tuple(np.linspace(-2, 2, 31).tolist())
    cells = Binning([numeric("x", edges)]).count({"x": values})[0, 0]
    assert np.array_equal(cells[:32], np.histogram(values, bins=[-np.inf, *edges, np.inf])[0])


def test_columns_may_be_strided_or_float32():
    matrix = np.random.default_rng(4).normal(size=(500, 3)).astype(np.float32)
    binning = Binning([numeric("x", (-0.5, 0.25))])
    plain = binning.count({"x": matrix[:, 1].astype(np.float64)})
    assert np.array_equal(binning.count({"x": matrix[:, 1]}), plain)
    assert np.array_equal(binning.count({"x": matrix.astype(np.float64)[:, 1]}), plain)


@pytest.mark.parametrize(
    ("encoded", "group", "groups"),
    [
        ({"age": np.zeros(3), "plan": np.zeros(2, dtype=np.int32)}, None, 1),
        ({"age": np.zeros(3)}, np.zeros(2, dtype=np.intp), 1),
        ({"age": np.zeros(3)}, np.array([0, 1, 2]), 2),
        ({"age": np.zeros(3)}, None, 2),
        ({"plan": np.array([3], dtype=np.int32)}, None, 1),
        ({"plan": np.array([-4], dtype=np.int32)}, None, 1),
    ],
)
def test_wrong_lengths_groups_and_codes_are_refused(encoded, group, groups):
    with pytest.raises(ValueError, match=r"equally long|out of range|must lie|need the group"):
        BINNING.count(encoded, group, groups)


def test_few_distinct_values_get_a_cell_each_and_two_outside():
    edges, atoms = cut(np.array([1.0, 2.0, 2.0, 4.0]))
    assert edges.tolist() == [0.5, 1.5, 3.0, 5.0]
    assert atoms.tolist() == [0, 1, 2, 3, 4]


def test_a_constant_is_seen_to_change_but_not_by_float32_rounding():
    value = 0.1
    edges, _ = cut(np.full(9, value))
    cells = np.searchsorted(edges, [value, np.float32(value), 0.09, 0.11], side="right")
    assert cells.tolist() == [1, 1, 0, 2]


def test_a_heavy_value_gets_a_cell_of_its_own():
    rng = np.random.default_rng(5)
    values = np.concatenate([np.zeros(700), rng.lognormal(size=300)])
    edges, atoms = cut(values)
    zero = np.searchsorted(edges, 0.0, side="right")
    assert zero in atoms
    counts = np.bincount(np.searchsorted(edges, values, side="right"))
    assert counts[zero] == 700
    assert len(edges) + 1 <= VALUE_CELLS + 1


@settings(max_examples=50, deadline=None)
@given(
    values=arrays(
        np.float64, st.integers(1, 300), elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 2.0])
    )
)
def test_edges_are_increasing_finite_and_few_whatever_the_values(values):
    edges, atoms = cut(values)
    assert np.all(np.diff(edges) > 0)
    assert np.all(np.isfinite(edges))
    assert len(edges) <= 2 * VALUE_CELLS
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    distinct, number = np.unique(values, return_counts=True)
    if distinct.size > VALUE_CELLS:
        heavy = number[number * VALUE_CELLS >= values.size]
        assert sorted(counts[atoms]) == sorted(heavy)
        assert (
            counts[np.setdiff1d(np.arange(len(counts)), atoms)].max(initial=0)
            <= 2 * values.size / VALUE_CELLS + 1
        )


def test_edges_of_a_continuous_column_are_its_quantiles():
    values = np.random.default_rng(1).normal(size=32_000)
    edges, atoms = cut(values)
    assert atoms.size == 0
    counts = np.bincount(np.searchsorted(edges, values, side="right"))
    assert counts.tolist() == [1000] * 32


def test_levels_are_capped_and_do_not_hang_on_the_order():
    keys = [f"k{i % 997}" for i in range(99_700)] + ["common"] * 1000
    levels = choose_levels(keys)
    assert levels == choose_levels(reversed(keys))
    assert levels.own == ("common",)
    assert len(levels.rare) == 997
    many = choose_levels(f"k{i % 300}" for i in range(30_000))
    assert (len(many.own), len(many.rare)) == (256, 44)


@pytest.mark.parametrize(
    "make",
    [
        lambda: numeric("x", (1.0, 1.0)),
        lambda: numeric("x", (float("nan"),)),
        lambda: numeric("x", tuple(range(251))),
        lambda: NumericBins(name="x", edges=(1.0,), atoms=(), centers=(0.0,), spread=1.0),
        lambda: NumericBins(name="x", edges=(1.0,), atoms=(2,), centers=(0.0, 1.0), spread=1.0),
        lambda: CategoricalBins(name="x", categories=("a",), rare=("a",)),
        lambda: Binning([PLAN, PLAN]),
    ],
)
def test_impossible_bins_are_refused(make):
    with pytest.raises(ValueError, match=r"'x'|distinct"):
        make()
