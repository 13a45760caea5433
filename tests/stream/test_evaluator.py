from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from detectors import Counts, Reference
from stream.alerts import AlertRoute
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.keys import PaneKey
from stream.messages import Notice
from stream.metrics import Metrics
from stream.panes import Pane
from stream.series import ModelPlan, SeriesKey
from stream.sinks_memory import ListSink
from stream.store import PartitionCommit
from stream.store_memory import MemoryStore
from stream.windows import WindowSpec

SLIDE = 10_000
KEY = SeriesKey("inference", "v1")


class Clock:
    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0


class Setup:
    """An evaluator on a store in memory, and one partition that commits to it."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        plan = ModelPlan(
            model="m",
            windows=WindowSpec(size_ms=SLIDE, slide_ms=SLIDE),
            references={KEY: reference},
            min_samples=5,
            min_effect=0.05,
            arl=1_000,
            restate_ms=3_600_000,
        )
        self.sink = ListSink()
        self.use(MemoryStore())
        self.evaluator = Evaluator(
            EvaluatorSpec(
                sources={"inference": "t"}, metrics_topic="metrics", alerts=AlertRoute("alerts", "runbooks")
            ),
            {"m": plan},
            store=self.store,
            sink=self.sink,
            metrics=Metrics(registry=CollectorRegistry(), models=("m",)),
            clock=Clock(),
        )
        self.evaluator.own(["m"])

    def use(self, store: MemoryStore) -> None:
        self.store = store
        self.store.declare_topic("t", 1)
        self.epoch = self.store.claim("t", 0).epoch
        self.offset: int | None = None

    def flush_all(self) -> None:
        """The store forgets everything, as after FLUSHALL."""
        self.store.__init__()  # type: ignore[misc]  # the evaluator holds this very object
        self.use(self.store)

    def pane(self, start_ms: int) -> PaneKey:
        return PaneKey("m", "v1", start_ms, self.reference.fingerprint)

    def commit(self, watermark_ms: int, **panes: int) -> None:
        """Commit rows by pane: ``p20=5`` puts five rows into the pane that starts at 20 s."""
        held = {
            self.pane(int(name[1:]) * 1_000): Pane(rows(self.reference, n), 0, 0) for name, n in panes.items()
        }
        offset = (self.offset or 0) + 1
        commit = PartitionCommit(
            epoch=self.epoch,
            expected_offset=self.offset,
            offset=offset,
            watermark_ms=watermark_ms,
            panes=held,
        )
        assert self.store.commit("t", {0: commit}) == {0: None}
        self.offset = offset

    def hear(self, *seconds: int) -> None:
        panes = [("v1", second * 1_000, self.reference.fingerprint) for second in seconds]
        self.evaluator.take(Notice("t", 0, "m", panes))

    def windows(self) -> list[tuple[int, int, int]]:
        """Start in seconds, n and revision of every window published since the last call, in order."""
        found: list[dict[str, Any]] = [
            msgspec.json.decode(message.value or b"")
            for message in self.sink.take()
            if message.topic == "metrics"
        ]
        return [(each["window_start_ms"] // 1_000, each["n"], each["revision"]) for each in found]


def rows(reference: Reference, n: int) -> Counts:
    counts = Counts.empty(reference.binning)
    encoded = reference.binning.encode({"x": np.linspace(0, 1, n)})
    counts.merge(Counts(reference.binning.count(encoded)[0]))
    return counts


@pytest.fixture(scope="module")
def reference() -> Reference:
    x = np.random.default_rng(3).normal(size=2_000)
    return Reference.build({"x": x}, window_rows=100, model="m", version="v1")


@pytest.fixture
def setup(reference: Reference) -> Setup:
    return Setup(reference)


def test_a_window_whose_notice_is_late_keeps_its_turn(setup: Setup) -> None:
    setup.commit(60_000, p0=5, p10=6, p20=7, p30=8)
    setup.hear(0, 30)
    setup.evaluator.look()
    assert setup.windows() == [(0, 5, 0), (10, 6, 0), (20, 7, 0), (30, 8, 0)]


def test_after_the_store_lost_everything_windows_wait_for_the_recount(setup: Setup) -> None:
    setup.commit(40_000, p0=5, p10=6, p20=7)
    setup.hear(0, 10, 20)
    setup.evaluator.look()
    before = setup.windows()
    setup.flush_all()
    setup.commit(5_000, p0=2)  # the recount has come half through the first window
    setup.hear(0)
    assert setup.evaluator.look() == 0
    setup.commit(40_000, p0=5, p10=6, p20=7)
    setup.hear(10, 20)
    setup.evaluator.look()
    assert setup.windows() == before


def test_late_rows_restate_their_window(setup: Setup) -> None:
    setup.commit(20_000, p0=5)
    setup.hear(0)
    setup.evaluator.look()
    setup.commit(20_000, p0=9)
    setup.hear(0)
    setup.evaluator.look()
    assert setup.windows() == [(0, 5, 0), (0, 9, 1)]


def test_a_reference_learned_while_it_runs_takes_up_what_was_counted_by_then(setup: Setup) -> None:
    plan = setup.evaluator.plans["m"]
    setup.evaluator.replace({"m": replace(plan, references={})})
    setup.evaluator.own(["m"])
    setup.commit(45_000, p20=6, p30=7)
    setup.hear(20, 30)
    setup.evaluator.look()
    assert setup.windows() == []
    setup.evaluator.replace({"m": plan})
    setup.evaluator.own(["m"])
    setup.evaluator.look()
    assert setup.windows() == [(20, 6, 0), (30, 7, 0)]


def test_plans_that_change_nothing_let_go_of_nothing(setup: Setup) -> None:
    plan = setup.evaluator.plans["m"]
    held = setup.evaluator._held["m"]
    setup.evaluator.replace({"m": replace(plan)})
    setup.evaluator.own(["m"])
    assert setup.evaluator._held["m"] is held
