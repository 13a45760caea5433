"""However a stream is cut into batches and spread over partitions, records and alerts are the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from detectors import Reference
from stream.alerts import AlertRoute
from stream.codec import JsonInferenceDecoder
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.messages import read_notices
from stream.metrics import Metrics
from stream.ownership import OwnedPartition, Start, take_over
from stream.plans import counted_references, series_references
from stream.replay import ALERTS, METRICS, PANES
from stream.replay_intake import ReplayIntake, ReplaySpec
from stream.row_events import Record
from stream.series import ModelPlan
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from stream.watermarks import BEATS_TO_SETTLE
from stream.windows import WindowSpec

SLIDE_MS = 10_000
START_MS = 1_700_000_000_000
ROWS = 12_000
SPEC = ReplaySpec(windows=WindowSpec(size_ms=3 * SLIDE_MS, slide_ms=SLIDE_MS, grace_ms=1_000), arl=1_000)


class Clock:
    """Asked for once the stream has ended."""

    def now_ms(self) -> int:
        return START_MS + ROWS * 100 + 60_000

    def monotonic_ms(self) -> int:
        return 0


class Pipeline:
    """Ingest and evaluation of one topic with some partitions, in memory."""

    def __init__(self, reference: Reference, partitions: int) -> None:
        references = {("m", "v1"): reference}
        self.store, self.sink = MemoryStore(), ListSink()
        self.store.declare_topic("inference", partitions)
        metrics = Metrics(registry=CollectorRegistry(), models=("m",))
        self.committer = Committer(
            store=self.store,
            sink=self.sink,
            metrics=metrics,
            windows={"m": SPEC.windows},
            panes_topic=PANES,
            panes_partitions=1,
        )
        counter = BatchCounter(
            counted_references(references, "inference"), {"m": SPEC.windows}, SPEC.restate_ms
        )
        self.intakes = [
            ReplayIntake(SPEC, JsonInferenceDecoder(references), counter, self._claimed(partition))
            for partition in range(partitions)
        ]
        plan = ModelPlan(
            model="m",
            windows=SPEC.windows,
            references=series_references("m", references, ["inference"]),
            min_samples=SPEC.min_samples,
            min_effect=SPEC.min_effect,
            arl=SPEC.arl,
            restate_ms=SPEC.restate_ms,
        )
        spec = EvaluatorSpec(
            sources={"inference": "inference"},
            metrics_topic=METRICS,
            alerts=AlertRoute(ALERTS, "runbooks/"),
        )
        self.evaluator = Evaluator(
            spec, {"m": plan}, store=self.store, sink=self.sink, metrics=metrics, clock=Clock()
        )
        self.evaluator.own(["m"])
        self.published: list[tuple[str, bytes]] = []

    def _claimed(self, partition: int) -> OwnedPartition:
        claim = self.store.claim("inference", partition)
        return take_over(claim, Start(0, 0), topic="inference", partition=partition, sink=self.sink)

    def look(self) -> None:
        for message in self.sink.take():
            for notice in read_notices(message.value or b""):
                self.evaluator.take(notice)
        while True:
            evaluated = self.evaluator.look()
            self.published += [(message.topic, message.value or b"") for message in self.sink.take()]
            if not evaluated:
                return

    def run(self, records: Sequence[Record], at: Sequence[int], cuts: Sequence[int]) -> None:
        for first, stop in pairwise(cuts):
            for record, partition in zip(records[first:stop], at[first:stop], strict=True):
                self.intakes[partition].add(record)
            for intake in self.intakes:
                intake.flush(self.committer)
            self.look()
        for _ in range(BEATS_TO_SETTLE + 1):
            for intake in self.intakes:
                intake.owned.idle_beat += 1
            self.committer.commit([intake.owned for intake in self.intakes])
            self.look()


@pytest.fixture(scope="module")
def stream() -> tuple[Reference, list[Record]]:
    rng = np.random.default_rng(5)
    known = {"x": rng.normal(size=8_000), "plan": rng.choice(["a", "b"], 8_000), "z": rng.normal(size=8_000)}
    known["y"] = known["x"] + known["z"]
    reference = Reference.build(known, window_rows=100, model="m", version="v1", pairs=True)
    x, z = rng.normal(size=ROWS), rng.normal(size=ROWS)
    y = np.where(np.arange(ROWS) < 9_000, x + z, rng.normal(size=ROWS) * np.sqrt(2))
    x = x + np.where((np.arange(ROWS) > 4_000) & (np.arange(ROWS) < 6_000), 0.7, 0.0)
    records = [
        Record(str(i).encode(), msgspec.json.encode(event), event["ts"])
        for i, event in enumerate(map(event_of, range(ROWS), x.tolist(), y.tolist(), z.tolist()))
    ]
    return reference, records


def event_of(i: int, x: float, y: float, z: float) -> dict[str, Any]:
    features = {"x": x, "y": y, "z": z, "plan": "ab"[i % 2]}
    return {"prediction_id": str(i), "model": "m", "ts": START_MS + 100 * i, "features": features}


def published(
    reference: Reference, records: Sequence[Record], partitions: int, seed: int | None
) -> list[tuple[str, bytes]]:
    pipeline = Pipeline(reference, partitions)
    if seed is None:
        pipeline.run(records, [0] * ROWS, [0, ROWS])
    else:
        rng = np.random.default_rng(seed)
        cuts = [0, *sorted(rng.choice(np.arange(1, ROWS), 60, replace=False).tolist()), ROWS]
        pipeline.run(records, rng.integers(0, partitions, ROWS).tolist(), cuts)
    return sorted(pipeline.published)


def test_batches_and_partitions_change_nothing(stream: tuple[Reference, list[Record]]) -> None:
    reference, records = stream
    at_once = published(reference, records, 1, None)
    alerts = [msgspec.json.decode(value) for topic, value in at_once if topic == ALERTS]
    assert {alert["status"] for alert in alerts} == {"firing", "resolved"}
    assert len([topic for topic, _ in at_once if topic == METRICS]) == ROWS * 100 // SLIDE_MS + 2
    for partitions, seed in ((1, 1), (8, 2), (8, 3)):
        assert published(reference, records, partitions, seed) == at_once
