from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

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

TOPIC = "inference"
T0 = 1_760_000_000_000
SLIDE = 10_000
GRACE = 5_000


@pytest.fixture(scope="module")
def reference() -> Reference:
    ages = np.random.default_rng(2).normal(40, 10, 20_000)
    return Reference.build({"age": ages}, window_rows=100, model="m", version="v1")


class World:
    """Two partitions that ingest has counted into, and evaluators over them."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.store = MemoryStore()
        self.store.declare_topic(TOPIC, 2)
        self.epochs = {p: self.store.claim(TOPIC, p).epoch for p in (0, 1)}
        self.offsets: dict[int, int | None] = {0: None, 1: None}
        self.panes: dict[tuple[int, int], Pane] = {}
        self.sinks: dict[Evaluator, ListSink] = {}

    def evaluator(self) -> Evaluator:
        plan = ModelPlan(
            model="m",
            windows=WindowSpec(size_ms=SLIDE, slide_ms=SLIDE, grace_ms=GRACE),
            references={SeriesKey("inference", "v1"): self.reference},
            min_samples=20,
            min_effect=0.05,
            arl=10_000,
            restate_ms=60_000,
        )
        spec = EvaluatorSpec(
            sources={"inference": TOPIC},
            metrics_topic="metrics",
            alerts=AlertRoute("alerts", "docs/runbooks/"),
        )
        sink = ListSink()
        evaluator = Evaluator(spec, {"m": plan}, store=self.store, sink=sink, metrics=Metrics())
        self.sinks[evaluator] = sink
        return evaluator

    def published(self, evaluator: Evaluator) -> list[tuple[int, int, int]]:
        """Records it has published since the last call, as (pane index, n, revision)."""
        records = [msgspec.json.decode(message.value or b"") for message in self.sinks[evaluator].take()]
        return [((r["window_start_ms"] - T0) // SLIDE, r["n"], r["revision"]) for r in records]

    def count(self, partition: int, index: int, n: int, watermark_ms: int) -> Notice:
        """Commit n more events of pane ``index`` from a partition; the notice of it."""
        start = T0 + index * SLIDE
        key = PaneKey("m", "v1", start, self.reference.fingerprint)
        ages = np.random.default_rng(100 * index + partition).normal(40, 10, n)
        counted = Pane(self.reference.count({"age": ages}), start, start + 1)
        held = self.panes.setdefault((partition, index), Pane(Counts.empty(self.reference.binning)))
        held.add(counted.counts, counted.min_ts_ms, counted.max_ts_ms)
        self.commit(partition, watermark_ms, {key: held})
        return Notice(TOPIC, partition, "m", [("v1", start, self.reference.fingerprint)])

    def commit(self, partition: int, watermark_ms: int, panes: dict[PaneKey, Pane] | None = None) -> None:
        offset = (self.offsets[partition] or 0) + 1
        commit = PartitionCommit(
            epoch=self.epochs[partition],
            expected_offset=self.offsets[partition],
            offset=offset,
            watermark_ms=watermark_ms,
            panes=panes or {},
        )
        assert self.store.commit(TOPIC, {partition: commit}) == {partition: None}
        self.offsets[partition] = offset


@pytest.fixture
def world(reference: Reference) -> World:
    return World(reference)


def told(evaluator: Evaluator, notices: Iterable[Notice]) -> None:
    for notice in notices:
        evaluator.take(notice)


def test_a_window_waits_for_the_slowest_partition_and_merges_all(world: World) -> None:
    evaluator = world.evaluator()
    evaluator.own(["m"])
    told(evaluator, [world.count(0, 0, 60, T0 + 40_000), world.count(1, 0, 40, T0 + 2_000)])
    assert evaluator.look() == 0
    world.commit(1, T0 + SLIDE + GRACE - 1)
    assert evaluator.look() == 0
    world.commit(1, T0 + SLIDE + GRACE)
    assert evaluator.look() == 1
    assert world.published(evaluator) == [(0, 100, 0)]
    assert evaluator.look() == 0


def test_a_new_owner_finds_the_windows_without_any_notice(world: World) -> None:
    world.count(0, 0, 60, T0 + 20_000)
    world.count(1, 0, 40, T0 + 20_000)
    evaluator = world.evaluator()
    evaluator.own(["m"])
    assert evaluator.look() == 1
    assert world.published(evaluator) == [(0, 100, 0)]


def test_of_two_owners_one_evaluates_and_the_other_reloads(world: World) -> None:
    first, second = world.evaluator(), world.evaluator()
    for evaluator in (first, second):
        evaluator.own(["m"])
    notices = [world.count(0, 0, 60, T0 + 20_000), world.count(1, 0, 40, T0 + 20_000)]
    for evaluator in (first, second):
        told(evaluator, notices)
        evaluator.look()
    assert world.store.load_model("m")[0] == 1
    assert world.published(first) == [(0, 100, 0)]
    assert world.published(second) == []
    told(second, [world.count(p, 1, 50, T0 + 60_000) for p in (0, 1)])
    second.look()
    assert world.published(second) == [(1, 100, 0)]


def test_late_events_restate_their_window(world: World) -> None:
    evaluator = world.evaluator()
    evaluator.own(["m"])
    told(evaluator, [world.count(p, 0, 50, T0 + 20_000) for p in (0, 1)])
    evaluator.look()
    told(evaluator, [world.count(1, 0, 7, T0 + 20_000)])
    evaluator.look()
    assert world.published(evaluator) == [(0, 100, 0), (0, 107, 1)]


def test_a_pane_whose_notice_is_under_way_is_evaluated_in_its_turn(world: World) -> None:
    evaluator = world.evaluator()
    evaluator.own(["m"])
    world.count(0, 0, 50, T0 + 20_000)  # its notice has not arrived
    told(evaluator, [world.count(0, 1, 50, T0 + 40_000), world.count(1, 1, 50, T0 + 40_000)])
    assert evaluator.look() == 2
    assert [index for index, _, _ in world.published(evaluator)] == [0, 1]


def test_panes_leave_the_index_when_they_can_no_longer_be_restated(world: World) -> None:
    evaluator = world.evaluator()
    evaluator.own(["m"])
    told(evaluator, [world.count(p, 0, 50, T0 + 20_000) for p in (0, 1)])
    evaluator.look()
    assert len(world.store.open_panes(TOPIC, 2)) == 1
    for partition in (0, 1):
        world.commit(partition, T0 + SLIDE + GRACE + 60_000)
    evaluator.look()
    assert world.store.open_panes(TOPIC, 2) == []


def test_what_was_acknowledged_leaves_the_outbox(world: World) -> None:
    evaluator = world.evaluator()
    evaluator.own(["m"])
    told(evaluator, [world.count(p, 0, 50, T0 + 20_000) for p in (0, 1)])
    evaluator.look()
    assert evaluator.publish() == 0
    assert world.store.outbox("m") == []


def test_notices_of_models_owned_elsewhere_are_ignored(world: World) -> None:
    evaluator = world.evaluator()
    told(evaluator, [world.count(p, 0, 50, T0 + 20_000) for p in (0, 1)])
    assert evaluator.look() == 0
    evaluator.own(["m", "nobody"])
    assert evaluator.look() == 1
