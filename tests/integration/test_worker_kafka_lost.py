"""Kafka restarts, or deletes records before they were counted: nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from tests.integration.ledger import Ledger
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send, synthetic_reference, values

pytestmark = pytest.mark.services
EVENTS = 60_000


def delete_up_to(pipeline: Pipeline, offset: int, partition: int) -> None:
    """Let the partition begin at ``offset``, as retention does."""
    admin = AdminClient({"bootstrap.servers": pipeline.kafka.bootstrap_servers, "log_level": 0})
    at = TopicPartition(pipeline.topics["inference"], partition, offset)
    for future in admin.delete_records([at]).values():
        future.result(20)


@pytest.fixture
def redis(redis_binary: str) -> Iterator[EmbeddedRedis]:
    """A server of our own, to be killed."""
    with EmbeddedRedis() as server:
        yield server


def test_records_that_retention_took_are_counted_and_told(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    ledger = Ledger(8_000)
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        worker = pipeline.ready_worker()
        send(producer, topic, (next(stream) for _ in range(4_000)))
        eventually(lambda: pipeline.total("events") == 4_000, lambda: f"{pipeline.cursors()}")
        assert worker.stop() == 0
        stopped_at = pipeline.cursors()[5]["offset"]
        send(producer, topic, stream)
        delete_up_to(pipeline, stopped_at + 200, 5)
        worker.start()
        eventually(lambda: pipeline.total("events") == 8_000 - 200, lambda: f"{pipeline.cursors()}")
        assert pipeline.cursors()[5]["lost"] == 200
        alerts = pipeline.reader("alerts")
        eventually(alerts.poll, "the alert")
        losses = [value for value in values(alerts.records) if value["labels"]["alertname"] == "data_loss"]
        assert [loss["evidence"] for loss in losses] == [
            {"topic": topic, "partition": 5, "first_offset": stopped_at, "lost": 200}
        ]


def test_records_that_retention_took_from_under_a_running_worker(
    tmp_path: Path, kafka: EmbeddedKafka, redis: EmbeddedRedis
) -> None:
    ledger = Ledger(8_000)
    with Pipeline(tmp_path, kafka, redis.url, references={"m": [synthetic_reference()]}) as pipeline:
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        worker = pipeline.ready_worker()
        send(producer, topic, (next(stream) for _ in range(4_000)))
        eventually(lambda: pipeline.total("events") == 4_000, lambda: f"{pipeline.cursors()}")
        stopped_at = pipeline.cursors()[5]["offset"]
        redis.kill()  # pauses the intake
        eventually(lambda: worker.get("/readyz")[0] == 503, "the intake to be paused")
        send(producer, topic, stream)
        delete_up_to(pipeline, stopped_at + 200, 5)
        redis.start()
        eventually(
            lambda: pipeline.total("events") + pipeline.total("lost") >= 8_000,
            lambda: f"{pipeline.cursors()}",
        )
        # Records fetched before the deletion are counted, they were there.
        assert pipeline.total("events") + pipeline.total("lost") == 8_000
        assert worker.process.poll() is None


def test_a_broker_that_restarts_under_load(tmp_path: Path, kafka_parts: list[Path], redis_url: str) -> None:
    ledger = Ledger(EVENTS, seed=6)
    with (
        EmbeddedKafka() as kafka,
        Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline,
    ):
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        worker = pipeline.ready_worker()
        send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
        eventually(lambda: pipeline.total("events") > 0, "events to be counted")
        kafka.kill()
        eventually(lambda: "refused" in worker.log, "the worker to hear of it")
        kafka.start()
        send(producer, topic, stream)
        metrics = pipeline.reader("metrics")
        eventually(
            lambda: (
                {start: window["n"] for start, window in last_revisions(metrics.poll()).items()}
                == dict(ledger.windows)
            ),
            lambda: f"{ledger.windows}; {pipeline.cursors()}; {worker.log[-3000:]}",
            timeout_s=90,
        )
        assert pipeline.total("events") == EVENTS
        assert worker.process.poll() is None
        assert worker.stop() == 0
