"""Correlations from a batch of events to the record and the alert."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detectors import Reference
from stream.codec import JsonInferenceDecoder
from stream.counting import BatchCounter
from stream.evaluate import ModelEvaluation
from stream.panes import Pane, PartitionIntake
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.windows import WindowSpec

KEY = SeriesKey("inference", "v1")
T0 = 1_760_000_000_000
SLIDE = 10_000
WINDOWS = WindowSpec(size_ms=SLIDE, slide_ms=SLIDE)


def draw(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    latent = rng.normal(size=n)
    return {name: rng.normal(size=n) + latent for name in ("age", "income", "debt")}


@pytest.fixture(scope="module")
def reference() -> Reference:
    columns = draw(np.random.default_rng(3), 20_000)
    return Reference.build(columns, window_rows=600, model="m", version="v1")


def panes_of(reference: Reference, columns: dict[str, np.ndarray], partitions: int) -> list[Pane]:
    """What the partitions hold of one window, after two batches each and a trip through storage."""
    n = len(columns["age"])
    counter = BatchCounter({("m", "v1"): reference}, {"m": WINDOWS}, restate_ms=SLIDE)
    intakes = [PartitionIntake() for _ in range(partitions)]
    decoder = JsonInferenceDecoder({("m", "v1"): reference})
    for part in (slice(0, n // 3), slice(n // 3, n)):
        rows = len(columns["age"][part])
        values = [
            json.dumps(
                {
                    "prediction_id": str(row),
                    "model": "m",
                    "ts": T0,
                    "features": {name: values[part][row] for name, values in columns.items()},
                }
            ).encode()
            for row in range(rows)
        ]
        batch = decoder.decode(values, [T0] * rows)
        split = np.arange(rows) % partitions
        for intake, delta in zip(
            intakes, counter.count(batch, split, [None] * partitions, newest_ms=2 * T0).deltas, strict=True
        ):
            for key, pane in delta.panes.items():
                intake.add(key, pane)
    return [Pane.from_bytes(pane.to_bytes()) for intake in intakes for pane in intake.panes.values()]


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_lost_correlation_reaches_the_record_and_the_alert(reference: Reference, partitions: int) -> None:
    plan = ModelPlan(
        model="m",
        windows=WINDOWS,
        references={KEY: reference},
        min_samples=50,
        min_effect=0.05,
        arl=10_000,
        restate_ms=SLIDE,
    )
    rng = np.random.default_rng(4)
    columns = draw(rng, 600)
    columns["income"] = rng.permutation(columns["income"])
    panes = panes_of(reference, columns, partitions)
    whole = panes[0].counts.copy()
    for pane in panes[1:]:
        whole.merge(pane.counts)
    assert whole == reference.count(columns)
    closed = ClosedWindow(end_ms=T0 + SLIDE, newest=whole, whole=whole)
    record, alerts = ModelEvaluation(plan).evaluate(KEY, closed)
    assert record.drifted == ["income"]
    assert record.features["income"]["component"] == "correlation"
    assert {tuple(pair["names"]) for pair in record.pairs} == {("age", "income"), ("income", "debt")}
    assert [alert.kind for alert in alerts] == ["data_drift"]
    assert alerts[0].evidence["pairs"] == record.pairs
