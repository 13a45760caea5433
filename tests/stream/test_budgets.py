"""Budgets people can say: false alarms per period, and the smallest change that matters per column."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import Monitor, Reference


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(11)
    columns = {"age": rng.normal(40, 10, 6000), "plan": ["free", "paid", "free"] * 2000}
    return Reference.build({**columns, "score": rng.random(6000)}, window_rows=200)


def slices(count: int, shift: float) -> list[dict[str, object]]:
    rng = np.random.default_rng(12)
    return [
        {
            "age": rng.normal(40 + 10 * shift, 10, 200),
            "plan": ["free", "paid"] * 100,
            "score": rng.random(200),
        }
        for _ in range(count)
    ]


def test_without_effects_of_columns_a_monitor_is_what_it_was(reference: Reference) -> None:
    plain, mapped = Monitor(reference), Monitor(reference, min_effects={})
    told = Monitor(reference, min_effects={"age": 0.05, "plan": 0.05, "score": 0.02})
    for each in slices(6, 0.2):
        verdict = plain.update(each)
        assert mapped.update(each) == verdict
        assert told.update(each) == verdict
    assert plain.to_bytes() == mapped.to_bytes() == told.to_bytes()


def test_a_column_with_an_effect_of_its_own_is_judged_by_it(reference: Reference) -> None:
    monitors = [Monitor(reference), Monitor(reference, min_effects={"age": 1.0, "score": 0.3})]
    assert [monitor.min_effects for monitor in monitors] == [
        {"age": 0.05, "plan": 0.05, "score": 0.02},
        {"age": 1.0, "plan": 0.05, "score": 0.3},
    ]
    (shifted,) = slices(1, 0.8)
    assert ["age" in monitor.update(shifted).drifted_names for monitor in monitors] == [True, False]
    before, after = (monitor.smallest_shifts(rows=200) for monitor in monitors)
    assert after["age"] == pytest.approx(before["age"] + 0.95)
    assert after["plan"] == before["plan"]


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ({"aeg": 0.1}, "does not have: aeg"),
        ({"age": -0.1}, "at least 0"),
        ({"age": float("nan")}, "at least 0"),
    ],
)
def test_effects_of_columns_are_checked(
    reference: Reference, effects: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(reference, min_effects=effects)
