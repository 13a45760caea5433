from __future__ import annotations

import numpy as np
import pytest

from detectors import Counts, Reference
from stream.alerts import Alert
from stream.errors import CorruptState
from stream.evaluate import ModelEvaluation
from stream.records import WindowRecord
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.windows import WindowSpec

SLIDE_MS = 10 * 60_000
DAY = 24 * 6
ROWS = 300
KEY = SeriesKey("inference", "v1")


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(1)
    return Reference.build({"x": rng.normal(size=20_000)}, window_rows=ROWS, model="m", version="v1")


@pytest.fixture(scope="module")
def plan(reference: Reference) -> ModelPlan:
    return ModelPlan(
        model="m",
        windows=WindowSpec(size_ms=SLIDE_MS, slide_ms=SLIDE_MS),
        references={KEY: reference},
        min_samples=50,
        min_effect=0.05,
        arl=1_000,
        restate_ms=3_600_000,
        compare_with=("yesterday",),
    )


def shifted(reference: Reference) -> list[Counts]:
    """Three days far from the reference: the same on the first two, moved on the third for six hours."""
    rng = np.random.default_rng(2)
    moved = range(2 * DAY, 2 * DAY + 36)
    return [
        reference.count({"x": rng.normal(size=ROWS) + 1.0 + (0.5 if index in moved else 0.0)})
        for index in range(3 * DAY)
    ]


def run(plan: ModelPlan, slices: list[Counts], *, restart: bool) -> list[tuple[WindowRecord, list[Alert]]]:
    evaluation = ModelEvaluation(plan)
    memory: dict[str, bytes] = {}
    results = []
    for index, counts in enumerate(slices):
        window = ClosedWindow(end_ms=(index + 1) * SLIDE_MS, newest=counts, whole=counts)
        results.append(evaluation.evaluate(KEY, window))
        changed = evaluation.changed_memory()
        memory = {k: v for k, v in {**memory, **changed}.items() if v is not None}
        if restart:
            evaluation = ModelEvaluation.from_bytes(evaluation.to_bytes(), plan, memory)
    assert len(memory) <= 26
    return results


def test_the_earlier_period_has_verdicts_and_an_incident_of_its_own(
    plan: ModelPlan, reference: Reference
) -> None:
    results = run(plan, shifted(reference), restart=False)
    assert all(record.status == "drift" for record, _ in results)
    against = [record.against for record, _ in results]
    assert against[:DAY] == [{}] * DAY
    drifted = [index for index, each in enumerate(against) if each and each["yesterday"]["drifted"]]
    assert (drifted[0], drifted[-1], len(drifted)) == (2 * DAY, 2 * DAY + 35, 36)
    told = [
        (index, alert.status, alert.severity)
        for index, (_, alerts) in enumerate(results)
        for alert in alerts
        if alert.kind == "period_drift"
    ]
    assert told == [
        (2 * DAY, "firing", "ticket"),
        (2 * DAY + 24, "firing", "ticket"),
        (2 * DAY + 37, "resolved", "ticket"),
    ]


def test_a_restart_changes_nothing(plan: ModelPlan, reference: Reference) -> None:
    slices = shifted(reference)[: DAY + 20]
    assert run(plan, slices, restart=True) == run(plan, slices, restart=False)


def test_a_damaged_hour_is_damaged_state(plan: ModelPlan, reference: Reference) -> None:
    evaluation = ModelEvaluation(plan)
    for index, counts in enumerate(shifted(reference)[:7]):
        evaluation.evaluate(KEY, ClosedWindow(end_ms=(index + 1) * SLIDE_MS, newest=counts, whole=counts))
    memory = {name: (data or b"")[:-1] + b"?" for name, data in evaluation.changed_memory().items()}
    assert memory
    with pytest.raises(CorruptState, match="stored state of model m: DSPH"):
        ModelEvaluation.from_bytes(evaluation.to_bytes(), plan, memory)
    anew = ModelEvaluation(plan)
    anew.forget(memory)
    assert anew.changed_memory() == dict.fromkeys(memory)
