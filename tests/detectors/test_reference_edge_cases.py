"""References from awkward data: each works with a stated caveat, and stays quiet on more of the same."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import Monitor, Reference


def quiet(reference: Reference, draw, windows: int = 30) -> bool:
    monitor = Monitor(reference)
    return not any(monitor.update(draw()).drifted for _ in range(windows))


def test_constant_column_is_quiet_until_another_value_comes():
    reference = Reference.build({"x": np.full(1000, 5.0)}, window_rows=50)
    assert any("constant" in caveat for caveat in reference.caveats)
    assert quiet(reference, lambda: {"x": np.full(50, 5.0)})
    verdict = Monitor(reference).update({"x": np.full(50, 6.0)})
    assert verdict.drifted
    feature = verdict.features[0]
    assert [(change.reference_share, change.share) for change in feature.cells] == [(1.0, 0.0), (0.0, 1.0)]


@pytest.mark.parametrize("values", [[None] * 500, np.full(500, np.nan)])
def test_all_missing_column_is_quiet_until_values_come(values):
    reference = Reference.build({"x": values}, window_rows=25)
    assert any("no finite value" in caveat for caveat in reference.caveats)
    assert quiet(reference, lambda: {"x": [None] * 60})
    verdict = Monitor(reference).update({"x": np.ones(60)})
    assert (verdict.drifted, verdict.severity) == (True, "ticket")


def test_one_category_is_quiet_until_another_comes():
    reference = Reference.build({"c": ["only"] * 500}, window_rows=25)
    assert any("one category" in caveat for caveat in reference.caveats)
    assert quiet(reference, lambda: {"c": ["only"] * 60})
    verdict = Monitor(reference).update({"c": ["other"] * 60})
    assert verdict.severity == "page"
    assert verdict.features[0].component in ("only", "unseen")  # one is as surprising as the other
    assert verdict.features[0].integrity


def test_ten_thousand_categories_do_not_alarm_by_their_new_ones():
    """A tenth of the rows brings a level never seen before: that is how this column is, not drift."""
    rng = np.random.default_rng(4)

    def draw(n):
        return [f"id{int(k)}" for k in rng.zipf(1.3, n) % 100_000]

    reference = Reference.build({"c": draw(20_000)}, window_rows=500)
    share = reference.counts.cells[0, -1] / reference.counts.n
    assert 0.05 < share < 0.3
    assert reference.binning.width <= 260
    assert quiet(reference, lambda: {"c": draw(500)})
    fresh = Monitor(reference).update({"c": ["brand new"] * 150 + draw(350)})
    assert fresh.features[0].component == "unseen"


def test_identifiers_get_a_caveat():
    reference = Reference.build({"id": [f"u{k}" for k in range(3000)]}, window_rows=100)
    assert any("identifier" in caveat for caveat in reference.caveats)
    assert quiet(reference, lambda: {"id": [f"v{k}" for k in range(100)]}, windows=3)


def test_ties_and_heavy_values_are_quiet():
    rng = np.random.default_rng(5)

    def draw(n):
        return {
            "counts": rng.poisson(2.0, n),
            "zeros": np.where(rng.uniform(size=n) < 0.7, 0.0, rng.lognormal(size=n)),
            "rounded": np.round(rng.normal(50, 20, n)),
            "binary": rng.integers(0, 2, n),
        }

    reference = Reference.build(draw(20_000), window_rows=200)
    assert quiet(reference, lambda: draw(200), windows=200)


def test_five_rows_give_a_reference_with_a_caveat():
    reference = Reference.build({"x": [1.0, 2.0, 3.0, 4.0, 5.0], "c": list("aabbc")}, window_rows=100)
    assert any("(5 rows)" in caveat for caveat in reference.caveats)
    verdict = Monitor(reference).update({"x": [1.0, 2.0, 3.0, 4.0, 5.0] * 20, "c": list("aabbc") * 20})
    assert not verdict.drifted
    assert Reference.from_json(reference.to_json()) == reference


def test_extreme_numbers_are_counted():
    big = np.finfo(np.float64).max
    values = np.array([-big, big, 0.0, 5e-324, 1e-300, 1e300] * 50)
    reference = Reference.build({"x": values}, window_rows=20)
    assert Reference.from_json(reference.to_json()) == reference
    assert not Monitor(reference).update({"x": values[:60]}).drifted


@pytest.mark.parametrize("value", [5e-324, -5e-324, 1e-300, 0.0, 1e308])
def test_a_constant_of_any_size_gives_a_reference(value):
    reference = Reference.build({"x": np.full(200, value)}, window_rows=20)
    assert Reference.from_json(reference.to_json()) == reference
    assert not Monitor(reference).update({"x": np.full(50, value)}).drifted


def test_no_timestamps_and_few_chunks_are_said():
    reference = Reference.build({"x": np.arange(100.0)}, window_rows=100)
    assert any("no timestamps" in caveat for caveat in reference.caveats)
    assert any("chunks" in caveat for caveat in reference.caveats)
    timed = Reference.build({"x": np.arange(4000.0)}, window_rows=100, timestamps_ms=np.arange(4000))
    assert timed.caveats == ()


def test_a_long_reference_learns_from_its_latest_chunks():
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.normal(size=30_000) * 3, rng.normal(size=80_020)])
    for times in (None, np.arange(values.size) * 1000):
        reference = Reference.build({"x": values}, window_rows=20, timestamps_ms=times)
        assert reference.variation.chunks == 4000
        assert reference.counts.n == values.size
