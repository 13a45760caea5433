"""Joins beside commits, on both stores: whatever breaks in between, each outcome is in the journal once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import redis
from prometheus_client import CollectorRegistry

from detectors import Reference
from stream.codec import Declared, Decoder, JsonInferenceDecoder, JsonLabelDecoder
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.errors import Fenced
from stream.messages import read_notices
from stream.metrics import Metrics
from stream.outcomes.intake import JoinedModel, OutcomeIntake
from stream.outcomes.model_rows import Joined, ModelRows
from stream.outcomes.plans import outcome_readers
from stream.outcomes.sending import OutcomeJoin
from stream.ownership import Start, take_over
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from stream.store_redis import RedisStore
from stream.windows import WindowSpec

T0 = 1_760_000_000_000 // 60_000 * 60_000
WINDOWS = WindowSpec(size_ms=10_000, slide_ms=10_000, grace_ms=0)
N, BATCH = 2_000, 100
DECLARED = Declared(answers=True)
DECODERS: dict[str, type[JsonInferenceDecoder | JsonLabelDecoder]] = {
    "inference": JsonInferenceDecoder,
    "labels": JsonLabelDecoder,
}
Store = MemoryStore | RedisStore


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(1)
    score = rng.uniform(size=2_000)
    truth = np.where(rng.uniform(size=2_000) < score, "yes", "no").tolist()
    return Reference.build({"score": score, "y": truth}, window_rows=100, label="y", model="m", version="v1")


class Faulty:
    """A store that breaks one call in five: before it is done, or with its reply lost."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._rng = np.random.default_rng(seed)
        self.joins = self
        self.faults = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def strata_of(self, *arguments: Any) -> Any:
        return self._store.joins.strata_of(*arguments)

    def commit(self, *arguments: Any) -> Any:
        return self._break(self._store.commit, *arguments)

    def join_all(self, rows: ModelRows) -> Iterator[Joined]:
        yield from self._break(lambda: list(self._store.joins.join_all(rows)))

    def _break(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        fate = self._rng.uniform()
        self.faults += fate < 0.2
        if fate < 0.1:
            raise redis.ConnectionError("broken before")
        result = call(*arguments, **options)
        if fate < 0.2:
            raise redis.ConnectionError("broken after")
        return result


class Joinless(Faulty):
    """A store whose joins never work."""

    def join_all(self, _rows: ModelRows) -> Iterator[Joined]:
        raise redis.ConnectionError("gone")


class Intake:
    """The ingest of one partition of one topic, from claim to crash."""

    def __init__(self, store: Any, reference: Reference, topic: str, *, sink: ListSink) -> None:
        references = {("m", "v1"): reference}
        models = {"m": JoinedModel(DECLARED, horizon_ms=3_600_000)}
        metrics = Metrics(registry=CollectorRegistry(), models=("m",), topics=(topic,))
        part = reference.for_source(topic)
        assert part is not None
        self._decoder: Decoder = DECODERS[topic](references, declared={"m": DECLARED})
        self._counter = BatchCounter(
            {("m", "v1"): part},
            {"m": WINDOWS},
            3_600_000,
            outcomes=OutcomeIntake(models, outcome_readers(references)),
        )
        self.committer = Committer(
            store=store,
            sink=sink,
            metrics=metrics,
            windows={"m": WINDOWS},
            panes_topic="panes",
            panes_partitions=1,
            join=OutcomeJoin(store.joins, models, joined=metrics.performance.joined),
        )
        claim = store.claim(topic, 0)
        self.owned = take_over(claim, Start(claim.offset or 0, 0), topic=topic, partition=0, sink=sink)

    def read(self, values: list[bytes]) -> None:
        """Count one batch, without a commit."""
        batch = self._decoder.decode(values, [T0] * len(values))
        at = np.zeros(len(values), dtype=np.intp)
        (delta,) = self._counter.count(batch, at, [None], newest_ms=T0 + 10**9).deltas
        self.committer.take(self.owned, delta, out_of_orderness_ms=0)
        self.owned.position += len(values)


def predictions(rng: np.random.Generator) -> list[bytes]:
    score = np.round(rng.uniform(size=N), 3).tolist()
    return [event(i, T0 + i * 10, score=score[i]) for i in range(N)]


def event(i: int, ts_ms: int, **more: Any) -> bytes:
    return json.dumps({"prediction_id": str(i), "model": "m", "ts": ts_ms, **more}).encode()


def labels(rng: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    """Labels of most predictions, some twice, some corrected, in any order; and the last word on each."""
    truth = np.where(rng.uniform(size=N) < 0.03, -1, rng.integers(0, 2, N))
    values = []
    for i in np.flatnonzero(truth >= 0).tolist():
        at_ms = T0 + i * 10 + int(rng.integers(-1_000, 60_000))
        values.append(event(i, at_ms, label=("no", "yes")[truth[i]]))
        if rng.uniform() < 0.05:
            values.append(values[-1])
        if rng.uniform() < 0.02:
            values.append(event(i, at_ms - 1, label=("no", "yes")[1 - truth[i]]))
    return [values[i] for i in rng.permutation(len(values)).tolist()], truth


def committed(intake: Intake, rng: np.random.Generator) -> bool:
    """Commit until it works, or the worker crashes over it."""
    while True:
        try:
            assert intake.committer.commit([intake.owned]) == []
        except redis.RedisError:
            if rng.uniform() < 0.5:
                return False
        else:
            return True


@pytest.mark.parametrize("seed", range(3))
def test_every_outcome_is_in_the_journal_once(store: Store, reference: Reference, seed: int) -> None:
    rng = np.random.default_rng(seed)
    said, truth = labels(rng)
    topics = {"inference": predictions(rng), "labels": said}
    faulty, sink = Faulty(store, seed), ListSink()
    workers = {topic: Intake(faulty, reference, topic, sink=sink) for topic in topics}
    crashes = 0
    while left := [t for t, values in topics.items() if workers[t].owned.committed != len(values)]:
        topic = left[int(rng.integers(len(left)))]
        worker = workers[topic]
        for _ in range(int(rng.integers(1, 4))):
            worker.read(topics[topic][worker.owned.position :][:BATCH])
        if not committed(worker, rng):
            crashes += 1
            workers[topic] = Intake(faulty, reference, topic, sink=sink)
    assert crashes > 0
    assert faulty.faults > crashes
    counts, known = store.joins.join_counts("m"), truth >= 0
    assert (counts.predictions, counts.joined) == (N, int(known.sum()))
    transitions = store.joins.journal("m", 10**6).transitions
    assert int(transitions["is_new_prediction"].sum()) == N
    final = {}
    for row in transitions:
        final[int(row["ts_ms"])] = float(row["new_label"])  # in order of the journal; ts is one per id
    expected = {T0 + i * 10: float(truth[i]) if known[i] else np.nan for i in range(N)}
    assert final.keys() == expected.keys()
    np.testing.assert_array_equal([final[ms] for ms in expected], list(expected.values()))


def test_a_worker_that_lost_its_partition_joins_what_the_next_one_joins_again(
    store: Store, reference: Reference
) -> None:
    values, sink = predictions(np.random.default_rng(5)), ListSink()
    late = Intake(store, reference, "inference", sink=sink)
    late.read(values[:300])
    heir = Intake(store, reference, "inference", sink=sink)
    ((_, refusal),) = late.committer.commit([late.owned])
    assert isinstance(refusal, Fenced)
    assert store.joins.join_counts("m").predictions == 300
    for start in range(0, N, BATCH):
        heir.read(values[start : start + BATCH])
        assert heir.committer.commit([heir.owned]) == []
    assert store.joins.join_counts("m").predictions == N
    assert len(store.joins.journal("m", 10**6).transitions) == N


def test_a_failing_join_commits_nothing_and_keeps_the_rows(store: Store, reference: Reference) -> None:
    values = predictions(np.random.default_rng(6))
    worker = Intake(Joinless(store, seed=0), reference, "inference", sink=ListSink())
    worker.read(values[:100])
    with pytest.raises(redis.ConnectionError):
        worker.committer.commit([worker.owned])
    assert store.claim("inference", 0).offset is None
    assert worker.owned.intake.outcomes.models == ["m"]


def test_joined_labels_wake_the_evaluator_of_their_model(store: Store, reference: Reference) -> None:
    sink = ListSink()
    worker = Intake(store, reference, "labels", sink=sink)
    for i in range(2):  # of one pane: the second time its counts are no news
        worker.read([event(i, T0, label="yes")])
        assert worker.committer.commit([worker.owned]) == []
    heard = [notice for message in sink.take() for notice in read_notices(message.value or b"")]
    assert [(notice.model, len(notice.pane_keys())) for notice in heard] == [("m", 1), ("m", 0)]
