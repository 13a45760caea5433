"""Labels, unknown models, stages apart, and the other group protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka
from tests.integration.ledger import Ledger, event
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send, synthetic_reference, values

pytestmark = pytest.mark.services
WINDOW_MS = 10_000

MakePipeline = Callable[..., Pipeline]


def counted_windows(pipeline: Pipeline, ledger: Ledger) -> None:
    """Send the ledger's events and wait until every window is published as the ledger says."""
    send(pipeline.producer(), pipeline.topics["inference"], ledger.stream())
    metrics = pipeline.reader("metrics")
    eventually(
        lambda: (
            {start: window["n"] for start, window in last_revisions(metrics.poll()).items()}
            == dict(ledger.windows)
        ),
        lambda: f"{dict(ledger.windows)}; {values(metrics.records)}; {pipeline.cursors()}",
    )


def label(i: int, ts_ms: int, y: str) -> bytes:
    return json.dumps({"prediction_id": str(i), "model": "m", "label": y, "ts": ts_ms}).encode()


def test_labels_that_change_are_told(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    rng = np.random.default_rng(5)
    shares = [0.2] * 15 + [0.7] * 5  # of "yes", by window
    start_ms = Ledger(0, window_ms=WINDOW_MS).start_ms - len(shares) * WINDOW_MS
    events = [
        (i % 8, label(i, start_ms + i * 50, "yes" if rng.random() < shares[i // 200] else "no"))
        for i in range(200 * len(shares))
    ]
    with Pipeline(
        tmp_path, kafka, redis_url, references={"m": [synthetic_reference(labels=True)]}
    ) as pipeline:
        pipeline.ready_worker()
        send(pipeline.producer(), pipeline.topics["labels"], events)
        metrics, alerts = pipeline.reader("metrics"), pipeline.reader("alerts")
        eventually(lambda: len(last_revisions(metrics.poll(), "labels")) >= len(shares), "every window")
        windows = last_revisions(metrics.records, "labels")
        assert [windows[start]["n"] for start in sorted(windows)] == [200] * len(shares)
        eventually(alerts.poll, "an alert")
        (alert, *_) = values(alerts.records)
        assert alert["labels"]["alertname"] == "label_drift"
        assert alert["annotations"]["runbook_url"].endswith("label_drift.md")
        assert alert["evidence"]["source"] == "labels"
        assert [feature["name"] for feature in alert["evidence"]["features"]] == ["y"]
        found = (alert["evidence"]["window_start_ms"] - start_ms) // WINDOW_MS
        assert 15 <= found < 18


def test_events_of_a_model_that_nobody_configured_are_counted(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        worker = pipeline.ready_worker()
        ledger, topic = Ledger(500), pipeline.topics["inference"]
        strange = [(2, event(i, ledger.start_ms, model="nobody")) for i in range(7)]
        send(pipeline.producer(), topic, strange)
        counted_windows(pipeline, ledger)
        eventually(lambda: pipeline.total("unknown") == 7, lambda: f"{pipeline.cursors()}")
        assert (pipeline.total("events"), pipeline.total("rejected")) == (500, 0)
        with Redis.from_url(redis_url) as client:
            held = client.hgetall(f"{pipeline.prefix}:{{{topic}:2}}:unknown")
        assert held == {b'["nobody",""]': b"7"}
        assert worker.metric("driftstream_unknown_model_events_total") == 7


def test_stages_in_processes_of_their_own(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        ingest = pipeline.ready_worker("--only", "ingest", name="ingest")
        evaluate = pipeline.ready_worker("--only", "evaluate", name="evaluate")
        counted_windows(pipeline, Ledger(20_000))
        assert ingest.metric("driftstream_events_total") == 20_000
        assert ingest.metric("driftstream_windows_evaluated_total") == 0
        assert evaluate.metric("driftstream_events_total") == 0
        assert evaluate.metric("driftstream_windows_evaluated_total") == 3
        assert [worker.stop() for worker in (ingest, evaluate)] == [0, 0]


def test_two_workers_on_the_protocol_of_kip_848(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        consumer={"protocol": "consumer"},
    ) as pipeline:
        workers = [pipeline.ready_worker(name=name) for name in ("one", "two")]
        eventually(
            lambda: all(worker.metric("driftstream_partitions_assigned") > 0 for worker in workers),
            "both to own partitions",
        )
        counted_windows(pipeline, Ledger(20_000))
        assert workers[0].stop() == 0
        assert not re.search(r"Traceback|lost partitions", workers[0].log)
        eventually(
            lambda: workers[1].metric("driftstream_partitions_assigned") == 2 * pipeline.partitions,
            "the other to take over",
        )


def test_a_partition_claimed_by_a_straggler_comes_back(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        worker = pipeline.ready_worker()
        eventually(lambda: pipeline.cursors()[4].get("offset") == 0, "the partition to be claimed")
        with Redis.from_url(redis_url) as client:
            client.hincrby(f"{pipeline.prefix}:{{{pipeline.topics['inference']}:4}}:cursor", "epoch", 1)
        counted_windows(pipeline, Ledger(20_000))
        assert "still ours, claimed again" in worker.log


def test_two_workers_with_one_instance_id(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        consumer={"instance_id": "worker-0"},
    ) as pipeline:
        first = pipeline.ready_worker(name="one")
        second = pipeline.ready_worker(name="two")
        assert first.process.wait(20) == 3, first.log
        assert "driftstream: error: Kafka has shut this worker out: " in first.log
        assert "give every worker its own consumer.instance_id" in first.log
        counted_windows(pipeline, Ledger(20_000))
        assert second.process.poll() is None
