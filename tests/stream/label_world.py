"""Predictions, their labels and an evaluator on a store in memory, for tests of what labels do."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from detectors import Reference
from stream.alerts import AlertRoute
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.keys import PaneKey
from stream.messages import Notice
from stream.metrics import Metrics
from stream.outcomes.join import Labels, Predictions
from stream.outcomes.records import LabelRules
from stream.outcomes.stratum import Stratum
from stream.panes import Pane
from stream.plans import series_references
from stream.series import ModelPlan
from stream.sinks_memory import ListSink
from stream.store import PartitionCommit
from stream.store_memory import MemoryStore
from stream.windows import WindowSpec

SLIDE_MS = 10_000
HORIZON_MS = 600_000
RESTATE_MS = 3_600_000
PANES = 6
ROWS = 400
SOURCES = ("inference", "labels")


class Clock:
    """Asked for only when every partition is idle."""

    def now_ms(self) -> int:
        return 2 * HORIZON_MS

    def monotonic_ms(self) -> int:
        return 0


class World:
    """Predictions of six panes, their labels, and an evaluator on a store in memory."""

    def __init__(self, reference: Reference, **rules: Any) -> None:
        self.reference = reference.for_source("inference") or reference
        assert reference.performance is not None
        self.spec = reference.performance.spec
        rng = np.random.default_rng(11)
        n = PANES * ROWS
        self.ts_ms = np.sort(rng.integers(0, PANES * SLIDE_MS, n))
        self.score = rng.uniform(size=n)
        self.prediction = (self.score > 0.5).astype(float)
        self.label = (rng.uniform(size=n) < self.score).astype(float)
        self.key = np.arange(1, n + 1, dtype=np.uint64)
        self.known_ms = self.ts_ms + rng.integers(0, 300_000, n)
        self.segment = np.where(rng.uniform(size=n) < 0.5, "eu", "us")
        self.store, self.sink = MemoryStore(), ListSink()
        windows = WindowSpec(size_ms=2 * SLIDE_MS, slide_ms=SLIDE_MS)
        self.plan = ModelPlan(
            model="m",
            windows=windows,
            references=series_references("m", {("m", "v1"): reference}, list(SOURCES)),
            min_samples=50,
            min_effect=0.05,
            arl=1_000,
            restate_ms=RESTATE_MS,
            labels=LabelRules(
                spec=self.spec, horizon_ms=HORIZON_MS, settle_ms=0, restate_ms=RESTATE_MS, **rules
            ),
        )
        for source in SOURCES:
            self.store.declare_topic(source, 1)
        self.epochs = {source: self.store.claim(source, 0).epoch for source in SOURCES}
        self.offsets: dict[str, int | None] = dict.fromkeys(SOURCES)
        self.start()
        self.records: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []

    def start(self) -> None:
        self.evaluator = Evaluator(
            EvaluatorSpec(
                sources={source: source for source in SOURCES},
                metrics_topic="metrics",
                alerts=AlertRoute("alerts", "runbooks"),
            ),
            {"m": self.plan},
            store=self.store,
            sink=self.sink,
            metrics=Metrics(registry=CollectorRegistry(), models=("m",)),
            clock=Clock(),
        )
        self.evaluator.own(["m"])

    def commit(
        self,
        source: str,
        watermark_ms: int,
        panes: dict[PaneKey, Pane] | None = None,
        *,
        idle_beat: int = 0,
    ) -> None:
        offset = (self.offsets[source] or 0) + 1
        commit = PartitionCommit(
            epoch=self.epochs[source],
            expected_offset=self.offsets[source],
            offset=offset,
            watermark_ms=watermark_ms,
            panes=panes or {},
            idle_beat=idle_beat,
        )
        assert self.store.commit(source, {0: commit}) == {0: None}
        self.offsets[source] = offset

    def predict(self) -> None:
        panes = {}
        for pane in range(PANES):
            rows = self.ts_ms // SLIDE_MS == pane
            columns = {"x": self.score[rows], "score": self.score[rows], "said": self.prediction[rows]}
            counts = self.reference.count(columns)
            key = PaneKey("m", "v1", pane * SLIDE_MS, self.reference.fingerprint)
            panes[key] = Pane(counts, 0, 0)
        self.commit("inference", HORIZON_MS + 20 * SLIDE_MS, panes)
        notice = [(key.version, key.start_ms, key.fingerprint) for key in panes]
        self.evaluator.take(Notice("inference", 0, "m", notice))
        self.join_predictions(np.arange(len(self.key)))

    def join_predictions(self, rows: np.ndarray) -> None:
        names = [Stratum("v1", "live", {"region": value}).name for value in ("eu", "us")]
        numbers = self.store.joins.strata("m", names)
        stratum = np.where(self.segment[rows] == "eu", numbers[names[0]], numbers[names[1]])
        predictions = Predictions(
            self.key[rows],
            self.ts_ms[rows],
            stratum.astype(np.uint16),
            self.prediction[rows],
            self.score[rows],
        )
        self.store.joins.join("m", predictions, None, horizon_ms=HORIZON_MS)

    def tell(self, rows: np.ndarray, label: np.ndarray | None = None, later_ms: int = 0) -> None:
        labels = Labels(
            self.key[rows],
            self.known_ms[rows] + later_ms,
            self.label[rows] if label is None else label,
            np.zeros(len(rows), dtype=bool),
            np.full(len(rows), np.nan),
        )
        self.store.joins.join("m", None, labels, horizon_ms=HORIZON_MS)

    def look(self) -> None:
        while True:
            looked = self.evaluator.look()
            taken = self.sink.take()
            for message in taken:
                told = {"metrics": self.records, "alerts": self.alerts}[message.topic]
                told.append(msgspec.json.decode(message.value or b""))
            if not looked and not taken:
                return

    def newest(self) -> dict[int, dict[str, Any]]:
        """The last revision of each window of predictions by its end."""
        last: dict[int, dict[str, Any]] = {}
        for record in self.records:
            if record["source"] == "inference":
                end = record["window_end_ms"]
                assert record["revision"] == (last[end]["revision"] + 1 if end in last else 0)
                last[end] = record
        return last

    def rows_of(self, end_ms: int) -> np.ndarray:
        return np.flatnonzero((self.ts_ms >= end_ms - 2 * SLIDE_MS) & (self.ts_ms < end_ms))


def known_loans() -> Reference:
    """A reference with a score, a prediction and a label that follows the score."""
    rng = np.random.default_rng(3)
    score = rng.uniform(size=10_000)
    columns = {
        "x": score,
        "score": score,
        "said": (score > 0.5).astype(int),
        "paid": (rng.uniform(size=10_000) < score).astype(int),
    }
    return Reference.build(
        columns, window_rows=ROWS, prediction="said", label="paid", model="m", version="v1"
    )
