"""Windows evaluated ahead say what they would have said at the close, to the byte."""

from __future__ import annotations

import os
import random
import uuid
from dataclasses import dataclass, field

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from detectors import Counts, Reference
from stream.alerts import AlertRoute
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.gaps import Gap
from stream.keys import ModelKeys, PaneKey
from stream.messages import Message, Notice
from stream.metrics import Metrics
from stream.one_model import load_model
from stream.panes import Pane
from stream.series import ModelPlan, SeriesKey
from stream.sinks_memory import ListSink
from stream.store import PartitionCommit
from stream.store_memory import MemoryStore
from stream.store_redis import RedisStore
from stream.windows import WindowSpec

SLIDE, GRACE = 10_000, 20_000
WINDOWS = WindowSpec(size_ms=2 * SLIDE, slide_ms=SLIDE, grace_ms=GRACE)
MODELS = ("a", "b", "c")
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(2**31)))


class Still:
    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0


@dataclass
class Pipeline:
    """A store that one partition commits to, and an evaluator of three models."""

    reference: Reference
    store: MemoryStore | RedisStore = field(default_factory=MemoryStore)
    sink: ListSink = field(default_factory=ListSink)
    offset: int | None = None

    def __post_init__(self) -> None:
        self.store.declare_topic("t", 1)
        self.epoch = self.store.claim("t", 0).epoch
        self.counted: dict[PaneKey, Counts] = {}
        self.evaluator = self.new_evaluator()

    def new_evaluator(self) -> Evaluator:
        plans = {
            model: ModelPlan(
                model=model,
                windows=WINDOWS,
                references={SeriesKey("inference", "v1"): self.reference},
                min_samples=5,
                min_effect=0.05,
                arl=1_000,
                restate_ms=3_600_000,
            )
            for model in MODELS
        }
        evaluator = Evaluator(
            EvaluatorSpec(
                sources={"inference": "t"}, metrics_topic="metrics", alerts=AlertRoute("alerts", "runbooks")
            ),
            plans,
            store=self.store,
            sink=self.sink,
            metrics=Metrics(registry=CollectorRegistry(), models=MODELS),
            clock=Still(),
        )
        evaluator.own(MODELS)
        return evaluator

    def commit(
        self, watermark_ms: int, rows: dict[tuple[str, int], int], gaps: list[Gap] | None = None
    ) -> list[PaneKey]:
        """Count ``rows`` by model and start of the pane in seconds; the panes that were counted into."""
        changed = []
        for (model, second), n in rows.items():
            key = PaneKey(model, "v1", second * 1_000, self.reference.fingerprint)
            held = self.counted.setdefault(key, Counts.empty(self.reference.binning))
            held.merge(self.reference.count({"x": np.linspace(0, 1 + second / 50, n)}))
            changed.append(key)
        offset = (self.offset or 0) + 1
        commit = PartitionCommit(
            epoch=self.epoch,
            expected_offset=self.offset,
            offset=offset,
            watermark_ms=watermark_ms,
            gaps=gaps,
            panes={key: Pane(self.counted[key], 0, 0) for key in changed},
        )
        assert self.store.commit("t", {0: commit}) == {0: None}
        self.offset = offset
        return changed

    def hear(self, keys: list[PaneKey]) -> None:
        for key in keys:
            panes = [(key.version, key.start_ms, key.fingerprint)]
            self.evaluator.take(Notice("t", 0, key.model, panes))

    def look(self) -> list[Message]:
        while self.evaluator.look():
            pass
        return self.sink.take()


@pytest.fixture(scope="module")
def reference() -> Reference:
    x = np.random.default_rng(3).normal(size=2_000)
    return Reference.build({"x": x}, window_rows=100, model="m", version="v1")


def closing(start_s: int) -> int:
    """The watermark at which the first window of a pane closes."""
    return start_s * 1_000 + SLIDE + GRACE


def test_nothing_is_told_before_the_close(reference: Reference) -> None:
    pipeline = Pipeline(reference)
    pipeline.hear(pipeline.commit(closing(0) - 1_000, {("a", 0): 20}))
    assert pipeline.look() == []
    assert pipeline.evaluator.look_ahead() == 1
    assert pipeline.look() == []
    assert load_model(pipeline.store, "a") == (0, None)
    pipeline.commit(closing(0), {})
    (message,) = pipeline.look()
    assert message.topic == "metrics"
    assert load_model(pipeline.store, "a")[0] == 1


def test_too_early_or_after_its_close_nothing_is_ahead(reference: Reference) -> None:
    pipeline = Pipeline(reference)
    pipeline.hear(pipeline.commit(closing(0) - 6_000, {("a", 0): 20}))
    assert (pipeline.evaluator.look(), pipeline.evaluator.look_ahead()) == (0, 0)
    pipeline.commit(closing(0), {})
    assert (pipeline.evaluator.look(), pipeline.evaluator.look_ahead()) == (1, 0)


def test_an_event_after_all_is_in_the_window(reference: Reference) -> None:
    late, control = Pipeline(reference), Pipeline(reference)
    for pipeline, is_ahead in ((late, True), (control, False)):
        pipeline.hear(pipeline.commit(closing(0) - 1_000, {("a", 0): 20}))
        pipeline.evaluator.look()
        assert not is_ahead or pipeline.evaluator.look_ahead() == 1
        pipeline.commit(closing(0), {("a", 0): 3})  # not announced: its window was open
    said = late.look()
    assert said == control.look()
    assert b'"n":23' in (said[0].value or b"")


def test_records_lost_after_all_are_told_with_the_window(reference: Reference) -> None:
    pipeline = Pipeline(reference)
    pipeline.hear(pipeline.commit(closing(0) - 1_000, {("a", 0): 20}))
    pipeline.evaluator.look()
    assert pipeline.evaluator.look_ahead() == 1
    pipeline.commit(closing(0), {}, gaps=[Gap(5, 3, 2_000)])
    (message,) = pipeline.look()
    assert b'"incomplete":true' in (message.value or b"")


def test_of_two_evaluators_one_tells_though_the_other_is_ahead(reference: Reference) -> None:
    pipeline = Pipeline(reference)
    pipeline.hear(pipeline.commit(closing(0) - 1_000, {("a", 0): 20}))
    pipeline.evaluator.look()
    assert pipeline.evaluator.look_ahead() == 1
    other = pipeline.new_evaluator()
    pipeline.commit(closing(0), {})
    assert (other.look(), len(pipeline.sink.take())) == (1, 1)
    assert pipeline.look() == []
    assert load_model(pipeline.store, "a")[0] == 1


def test_who_is_to_be_alerted_hears_first(reference: Reference) -> None:
    pipeline = Pipeline(reference)
    for second in range(0, 60, 10):
        # the last model drifts: a constant
        rows = dict.fromkeys([(model, second) for model in MODELS[:-1]], 20)
        pipeline.hear(pipeline.commit(closing(second) - 1_000, rows))
        key = PaneKey(MODELS[-1], "v1", second * 1_000, reference.fingerprint)
        pipeline.counted[key] = reference.count({"x": np.full(480, 3.0)})
        pipeline.hear(pipeline.commit(closing(second) - 1_000, {(MODELS[-1], second): 20}))
        pipeline.look()
        assert pipeline.evaluator.look_ahead() == len(MODELS)
        pipeline.commit(closing(second), {})
        said = pipeline.look()
        if any(message.topic == "alerts" for message in said):
            break
    assert [message.key for message in said[:2]] == [MODELS[-1].encode()] * 2
    assert {message.topic for message in said[:2]} == {"metrics", "alerts"}
    assert "alerts" not in {message.topic for message in said[2:]}


@pytest.mark.services
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_state_that_was_brought_and_lost_is_sent_again(
    reference: Reference, redis_url: str, *, is_lost: bool
) -> None:
    with Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")
        pipeline, control = Pipeline(reference, store), Pipeline(reference)
        for each in (pipeline, control):
            each.hear(each.commit(closing(0) - 1_000, {("a", 0): 20, ("b", 0): 10}))
            each.evaluator.look()
            assert each.evaluator.look_ahead() == 2
        assert load_model(store, "a") == (0, None)
        if is_lost:
            assert client.delete(ModelKeys(store.prefix, "a").ahead) == 1
        for each in (pipeline, control):
            each.commit(closing(0), {})
        assert pipeline.look() == control.look()
        for model in ("a", "b"):
            assert load_model(store, model) == load_model(control.store, model)


def stray(rng: random.Random, pipelines: tuple[Pipeline, ...], turns: int) -> tuple[list[list[Message]], int]:
    """Feed all pipelines the same events, some late, some told of late; only the first looks ahead."""
    said: list[list[Message]] = [[] for _ in pipelines]
    watermark = ahead = 0
    unheard: list[PaneKey] = []
    for _ in range(turns):
        watermark += rng.choice((500, 2_000, 4_000))
        newest = (watermark + 5_000) // SLIDE * SLIDE // 1_000
        chosen = [model for model in MODELS if rng.random() < 0.6]
        rows = {
            (model, max(0, newest - rng.choice((0, 0, 0, 0, 10, 20, 30, 40)))): rng.randrange(1, 40)
            for model in chosen
        }
        _, changed = (pipeline.commit(watermark, rows) for pipeline in pipelines)
        is_told = rng.random() < 0.7
        heard = [
            key for key in unheard + changed if is_told or key.start_ms + SLIDE + GRACE <= watermark + 10_000
        ]
        unheard = [key for key in unheard + changed if key not in heard]
        for pipeline, told in zip(pipelines, said, strict=True):
            pipeline.hear(heard)
            told.extend(pipeline.look())
        for _ in range(rng.randrange(3)):
            ahead += pipelines[0].evaluator.look_ahead()
    return said, ahead


@pytest.mark.parametrize("round_", range(6))
def test_whenever_it_is_ahead_the_messages_are_the_same(reference: Reference, round_: int) -> None:
    print(f"TEST_SEED={SEED}")
    said, ahead = stray(random.Random(SEED + round_), (Pipeline(reference), Pipeline(reference)), 120)
    of = [{model: [m for m in told if m.key == model.encode()] for model in MODELS} for told in said]
    assert ahead > 5
    assert of[0] == of[1]


@pytest.mark.services
def test_whenever_it_is_ahead_in_redis_the_messages_are_the_same(
    reference: Reference, redis_url: str
) -> None:
    print(f"TEST_SEED={SEED}")
    with Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")
        pipelines = (Pipeline(reference, store), Pipeline(reference))
        said, ahead = stray(random.Random(SEED), pipelines, 120)
        of = [{model: [m for m in told if m.key == model.encode()] for model in MODELS} for told in said]
        assert ahead > 5
        assert of[0] == of[1]
        for model in MODELS:
            assert load_model(store, model)[1] == load_model(pipelines[1].store, model)[1]
