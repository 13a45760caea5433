from __future__ import annotations

import numpy as np
import pytest

from detectors import Counts, Reference
from stream.errors import CorruptState
from stream.evaluate import ModelEvaluation
from stream.incidents import IncidentPolicy
from stream.records import WindowRecord
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.windows import WindowSpec

KEY = SeriesKey("inference", "v1")
T0 = 1_760_000_000_000
SLIDE = 10_000


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(11)
    columns = {"age": rng.normal(40, 10, 20_000), "income": rng.lognormal(10, 0.5, 20_000)}
    return Reference.build(columns, window_rows=200, model="m", version="v1")


def plan(reference: Reference, *, slices: int = 1) -> ModelPlan:
    return ModelPlan(
        model="m",
        windows=WindowSpec(size_ms=slices * SLIDE, slide_ms=SLIDE),
        references={KEY: reference},
        min_samples=50,
        min_effect=0.05,
        arl=10_000,
        restate_ms=10 * SLIDE,
        incidents=IncidentPolicy(resolve_after=2),
    )


def window(reference: Reference, index: int, shift: float = 0.0, n: int = 200) -> ClosedWindow:
    rng = np.random.default_rng(1000 + index)
    columns = {"age": rng.normal(40 + 10 * shift, 10, n), "income": rng.lognormal(10, 0.5, n)}
    counts = reference.count(columns)
    return ClosedWindow(end_ms=T0 + (index + 1) * SLIDE, newest=counts, whole=counts)


def test_a_window_record_carries_every_number(reference: Reference) -> None:
    record, alerts = ModelEvaluation(plan(reference)).evaluate(KEY, window(reference, 0))
    assert (record.n, record.status, record.drifted, alerts) == (200, "ok", [], [])
    assert (record.window_start_ms, record.window_end_ms) == (T0, T0 + SLIDE)
    assert set(record.features) == {"age", "income"}
    assert {"effect", "p_value", "psi", "ks", "drifted", "n"} <= set(record.features["age"])
    assert record.reference == reference.fingerprint
    assert WindowRecord(**record.to_dict()) == record


def test_drift_opens_one_incident_and_its_end_resolves_it(reference: Reference) -> None:
    evaluation = ModelEvaluation(plan(reference))
    shifts = [0.0] * 5 + [1.0] * 6 + [0.0] * 6
    told = []
    for index, shift in enumerate(shifts):
        _, alerts = evaluation.evaluate(KEY, window(reference, index, shift))
        told += [(index, alert.kind, alert.status, alert.fingerprint) for alert in alerts]
    assert [each[1:3] for each in told] == [("data_drift", "firing"), ("data_drift", "resolved")]
    assert told[0][0] == 5
    assert 11 <= told[1][0] <= 14
    assert told[0][3] == told[1][3]


def test_a_restored_evaluation_goes_on_bit_for_bit(reference: Reference) -> None:
    straight, broken = ModelEvaluation(plan(reference)), ModelEvaluation(plan(reference))
    for index in range(12):
        shift = 0.5 if index > 6 else 0.0
        broken = ModelEvaluation.from_bytes(broken.to_bytes(), plan(reference))
        expected = straight.evaluate(KEY, window(reference, index, shift))
        assert broken.evaluate(KEY, window(reference, index, shift)) == expected
    assert broken.to_bytes() == straight.to_bytes()


def test_late_events_restate_the_window_once(reference: Reference) -> None:
    evaluation = ModelEvaluation(plan(reference))
    evaluation.evaluate(KEY, window(reference, 0))
    assert evaluation.restate(KEY, window(reference, 0)) is None
    restated = evaluation.restate(KEY, window(reference, 0, n=230))
    assert restated is not None
    assert (restated.n, restated.revision, restated.status) == (230, 1, "ok")
    assert evaluation.restate(KEY, window(reference, 0, n=230)) is None


def test_a_forgotten_window_is_not_restated(reference: Reference) -> None:
    evaluation = ModelEvaluation(plan(reference))
    for index in range(20):
        evaluation.evaluate(KEY, window(reference, index))
    assert evaluation.is_evaluated(KEY, T0 + SLIDE)
    assert evaluation.restate(KEY, window(reference, 0, n=230)) is None


def test_a_sliding_window_decides_on_its_newest_pane_and_shows_the_whole(reference: Reference) -> None:
    evaluation = ModelEvaluation(plan(reference, slices=3))
    newest = window(reference, 0).newest
    whole = newest + newest + newest
    record, _ = evaluation.evaluate(KEY, ClosedWindow(end_ms=T0 + SLIDE, newest=newest, whole=whole))
    assert record.n == 600
    assert record.window_end_ms - record.window_start_ms == 3 * SLIDE


def test_too_few_events_are_not_called_ok(reference: Reference) -> None:
    record, alerts = ModelEvaluation(plan(reference)).evaluate(KEY, window(reference, 0, n=20))
    assert (record.status, alerts) == ("not_enough_data", [])


def test_damaged_state_is_refused(reference: Reference) -> None:
    data = bytearray(ModelEvaluation(plan(reference)).to_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptState):
        ModelEvaluation.from_bytes(bytes(data), plan(reference))


def test_a_replaced_reference_starts_the_monitor_anew(reference: Reference) -> None:
    evaluation = ModelEvaluation(plan(reference))
    evaluation.evaluate(KEY, window(reference, 0))
    rng = np.random.default_rng(3)
    columns = {"age": rng.normal(40, 10, 5_000), "income": rng.lognormal(10, 0.5, 5_000)}
    other = Reference.build(columns, window_rows=200, model="m", version="v1")
    taken_up = ModelEvaluation.from_bytes(evaluation.to_bytes(), plan(other))
    assert taken_up.is_evaluated(KEY, T0 + SLIDE)
    empty = Counts.empty(other.binning)
    record, _ = taken_up.evaluate(KEY, ClosedWindow(end_ms=T0 + 2 * SLIDE, newest=empty, whole=empty))
    assert record.reference == other.fingerprint
