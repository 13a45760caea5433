"""Partitions that change hands under load: a frozen worker wakes up too late, workers come and go."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stream.embedded import EmbeddedKafka
from tests.integration.ledger import Ledger
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send, synthetic_reference

pytestmark = pytest.mark.services
EVENTS = 120_000


def settled(pipeline: Pipeline, ledger: Ledger) -> None:
    """Wait until everything is counted; then every window must be right, and no event counted twice."""
    metrics = pipeline.reader("metrics")
    eventually(
        lambda: pipeline.total("events") >= EVENTS, lambda: f"all events: {pipeline.cursors()}", timeout_s=90
    )
    eventually(
        lambda: (
            {start: window["n"] for start, window in last_revisions(metrics.poll()).items()}
            == dict(ledger.windows)
        ),
        "every window to be right",
    )
    assert pipeline.total("events") == EVENTS


def test_a_worker_frozen_beyond_its_session_is_fenced(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    ledger = Ledger(EVENTS, seed=8)
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        frozen, other = (pipeline.ready_worker(name=name) for name in ("frozen", "other"))
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        eventually(
            lambda: all(worker.metric("driftstream_partitions_assigned") > 0 for worker in (frozen, other)),
            "both to own partitions",
        )
        send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
        frozen.process.send_signal(signal.SIGSTOP)
        send(producer, topic, (next(stream) for _ in range(EVENTS // 4)))
        eventually(
            lambda: other.metric("driftstream_partitions_assigned") == 2 * pipeline.partitions,
            "the other to take over",
            timeout_s=90,
        )
        frozen.process.send_signal(signal.SIGCONT)
        send(producer, topic, stream)
        settled(pipeline, ledger)
        eventually(lambda: "lost partitions" in frozen.log, "the frozen one to hear of it")
        eventually(
            lambda: frozen.metric("driftstream_partitions_assigned") > 0, "it to come back", timeout_s=90
        )


def test_workers_that_come_and_go_under_load(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    ledger = Ledger(EVENTS, seed=9)
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        steady, guest = pipeline.ready_worker(name="steady"), pipeline.worker(name="guest")
        for _ in range(2):
            send(producer, topic, (next(stream) for _ in range(EVENTS // 4)))
            eventually(
                lambda: guest.metric("driftstream_partitions_assigned") > 0, "it to own some", timeout_s=90
            )
            assert guest.stop() == 0
            guest.start()
        send(producer, topic, stream)
        settled(pipeline, ledger)
        assert "Traceback" not in steady.log + guest.log
