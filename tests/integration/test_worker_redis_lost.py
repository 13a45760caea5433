"""Redis goes away, or forgets everything, while events come in: the totals are exact in the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from tests.integration.ledger import Ledger
from tests.integration.pipeline import Pipeline, Reader, eventually, last_revisions, send, synthetic_reference

pytestmark = pytest.mark.services
EVENTS = 100_000


@pytest.fixture
def redis(redis_binary: str) -> Iterator[EmbeddedRedis]:
    """A server of our own, to be killed."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def pipeline(tmp_path: Path, kafka: EmbeddedKafka, redis: EmbeddedRedis) -> Iterator[Pipeline]:
    with Pipeline(tmp_path, kafka, redis.url, references={"m": [synthetic_reference()]}) as pipeline:
        yield pipeline


def settled(pipeline: Pipeline, metrics: Reader, ledger: Ledger, *, after: int = 0) -> None:
    """Wait until every window published after the first ``after`` records is right."""

    def counts() -> dict[int, int]:
        return {start: window["n"] for start, window in last_revisions(metrics.poll()[after:]).items()}

    eventually(
        lambda: pipeline.total("events") >= EVENTS, lambda: f"all events: {pipeline.cursors()}", timeout_s=90
    )
    eventually(
        lambda: counts() == dict(ledger.windows),
        lambda: f"ledger {sorted(ledger.windows.items())}, published {sorted(counts().items())}",
        timeout_s=60,
    )
    assert pipeline.total("events") == EVENTS
    assert sum(cursor["offset"] for cursor in pipeline.cursors().values()) == EVENTS


def test_redis_killed_and_restarted_under_load(pipeline: Pipeline, redis: EmbeddedRedis) -> None:
    ledger = Ledger(EVENTS, seed=3)
    producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
    worker = pipeline.ready_worker()
    send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
    eventually(lambda: pipeline.total("events") > 0, "events to be counted")
    redis.kill()
    send(producer, topic, stream)
    eventually(lambda: worker.get("/readyz")[0] == 503, "the worker to say that it cannot count")
    paused = "driftstream_partitions_paused"
    eventually(lambda: worker.metric(paused) == 2 * pipeline.partitions, "every partition to be paused")
    assert worker.get("/livez")[0] == 200
    redis.start()
    worker.await_ready()
    settled(pipeline, pipeline.reader("metrics"), ledger)
    eventually(lambda: worker.metric(paused) == 0, "every partition to be resumed")
    assert worker.metric("driftstream_events_total") == EVENTS
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log


def test_redis_frozen_until_replies_are_given_up(pipeline: Pipeline, redis: EmbeddedRedis) -> None:
    """What was under way is done once Redis goes on, after the worker has stopped waiting for it."""
    ledger = Ledger(EVENTS, seed=5)
    producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
    worker = pipeline.ready_worker()
    send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
    eventually(lambda: pipeline.total("events") > 0, "events to be counted")
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        send(producer, topic, stream)
        eventually(lambda: worker.get("/readyz")[0] == 503, "the worker to say that it cannot count")
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    settled(pipeline, pipeline.reader("metrics"), ledger)
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log


def test_redis_emptied_under_load_is_rebuilt_from_kafka(pipeline: Pipeline) -> None:
    ledger = Ledger(EVENTS, seed=4)
    producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
    worker = pipeline.ready_worker()
    metrics = pipeline.reader("metrics")
    send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
    eventually(metrics.poll, "a first window")
    with Redis.from_url(pipeline.redis_url) as client:
        client.flushall()
    before = len(metrics.records)
    send(producer, topic, stream)
    settled(pipeline, metrics, ledger, after=before)
    assert worker.metric("driftstream_state_rewinds_total") >= pipeline.partitions
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log
