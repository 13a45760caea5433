"""A model without a reference file learns its reference from the stream, and is then watched by it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from detectors import Reference
from stream.cli import app
from stream.embedded import EmbeddedKafka
from tests.integration.pipeline import (
    Pipeline,
    WorkerProcess,
    eventually,
    last_revisions,
    send,
    values,
)

pytestmark = pytest.mark.services
PARTITIONS = 4
HOUR_MS = 3_600_000
SLIDE_MS = 600_000
STEP_MS = 5_000
"""Between two events: 120 in a slide, 17,280 in a day."""


class Day:
    """Events five seconds apart, sent as fast as they go; every call goes on where the last one ended."""

    def __init__(self, pipeline: Pipeline, *, seed: int = 1) -> None:
        self.pipeline = pipeline
        self.rng = np.random.default_rng(seed)
        now_ms = time.time_ns() // 1_000_000
        self.start_ms = (now_ms - 80 * HOUR_MS) // SLIDE_MS * SLIDE_MS
        self.now_ms = self.start_ms
        self.sent = 0

    def pass_by(self, hours: float, *, shift: float = 0.0, version: str = "v1") -> int:
        """Send so many hours of events; how many."""
        return send(
            self.pipeline.producer(), self.pipeline.topics["inference"], self._events(hours, shift, version)
        )

    def _events(self, hours: float, shift: float, version: str) -> Iterator[tuple[int, bytes]]:
        end_ms = self.now_ms + int(hours * HOUR_MS)
        while self.now_ms < end_ms:
            event = {
                "prediction_id": f"p{self.sent}",
                "model": "m",
                "version": version,
                "ts": self.now_ms,
                "features": {"x": self.rng.normal() + shift, "c": "a" if self.rng.random() < 0.7 else "b"},
                "score": self.rng.beta(2, 5),
            }
            yield self.sent % PARTITIONS, json.dumps(event).encode()
            self.sent += 1
            self.now_ms += STEP_MS


@pytest.fixture
def pipeline(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> Iterator[Pipeline]:
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={},
        partitions=PARTITIONS,
        defaults={"window": "10m", "slide": "10m", "learn": "24h", "learn_rows": 6_000},
        models={"m": {}},
    ) as pipeline:
        yield pipeline


def learned_by(worker: WorkerProcess, version: str = "v1") -> str:
    """Wait until the worker has taken up a learned reference of the version; its log."""
    taken = re.compile(rf"references? taken up .*{version}")
    eventually(lambda: taken.search(worker.log), lambda: worker.log)
    return worker.log


def fingerprints(*workers: WorkerProcess) -> set[str]:
    return {found for worker in workers for found in re.findall(r'fingerprint="(\w+)"', worker.log)}


def run(pipeline: Pipeline, *arguments: str | Path) -> Result:
    """The command line with the configuration of the pipeline."""
    return CliRunner().invoke(app, [*map(str, arguments), "--config", str(pipeline.config)])


def answers(pipeline: Pipeline, *arguments: str) -> list[dict[str, Any]]:
    found = run(pipeline, *arguments)
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_drift_after_the_warm_up_is_found_and_none_before(pipeline: Pipeline, tmp_path: Path) -> None:
    metrics, alerts = pipeline.reader("metrics"), pipeline.reader("alerts")
    worker = pipeline.ready_worker()
    day = Day(pipeline)
    warm_up = day.pass_by(23)
    eventually(lambda: pipeline.total("learning") == warm_up, pipeline.cursors)
    eventually(lambda: worker.metric("driftstream_model_learning") == 1, "the gauge")
    assert worker.metric("driftstream_learning_events_total") == warm_up
    assert pipeline.total("unknown") == 0
    assert "reference learned" not in worker.log
    day.pass_by(1.5)
    learned_by(worker)
    assert 'rows="6000"' in worker.log
    eventually(lambda: worker.metric("driftstream_model_learning") == 0, "the gauge to follow")

    quiet_from = day.now_ms
    quiet = day.pass_by(3)
    changed_at = day.now_ms
    day.pass_by(2, shift=1.0)

    def firing() -> list[dict[str, Any]]:
        return [each for each in values(alerts.poll()) if each["status"] == "firing"]

    found = eventually(firing, lambda: worker.log)
    assert {each["labels"]["alertname"] for each in found} == {"data_drift"}
    assert all([part["name"] for part in each["evidence"]["features"]] == ["x"] for each in found)
    windows = eventually(
        lambda: w if (w := last_revisions(metrics.poll())) and max(w) >= changed_at + HOUR_MS else None,
        "the windows of the drift",
    )
    before = [each for start, each in windows.items() if quiet_from <= start < changed_at]
    assert sum(each["n"] for each in before) == quiet
    assert not any(each["drifted"] for start, each in windows.items() if start < changed_at)
    assert any(each["drifted"] == ["x"] for start, each in windows.items() if start >= changed_at)
    fingerprint = fingerprints(worker)
    assert {each["reference"] for each in windows.values()} == fingerprint

    # A restart keeps what was learned, and the command line shows it.
    assert worker.stop() == 0
    (shown,) = answers(pipeline, "reference", "show", "m", "--output", "json")
    assert {shown["fingerprint"]} == fingerprint
    assert any("learned from 1d of the live stream" in caveat for caveat in shown["caveats"])
    exported = tmp_path / "exported.json"
    assert run(pipeline, "reference", "export", "m", "--output", exported).exit_code == 0
    assert Reference.from_json(exported.read_text()).fingerprint in fingerprint
    assert run(pipeline, "explain", "--model", "m").exit_code == 0
    worker.start()
    taken_up = 'reference taken up model="m" version="v1"'
    eventually(lambda: taken_up in worker.log, lambda: worker.log)
    worker.await_ready()
    assert worker.log.count("reference learned") == 1
    counted = pipeline.total("events")
    more = day.pass_by(1)
    eventually(lambda: pipeline.total("events") == counted + more, pipeline.cursors)

    # A version that comes later is learned beside it.
    day.pass_by(23, version="v2")
    (warming,) = eventually(lambda: answers(pipeline, "status", "--output", "json")[0]["learning"], "status")
    assert (warming["model"], warming["version"], warming["reason"]) == ("m", "v2", "")
    day.pass_by(1.5, version="v2")
    learned_by(worker, "v2")
    second_from = day.now_ms
    day.pass_by(2, version="v2")

    def of_second() -> list[dict[str, Any]]:
        return [each for each in values(metrics.poll()) if each["version"] == "v2"]

    eventually(lambda: len(of_second()) >= 10, lambda: worker.log)
    assert min(each["window_start_ms"] for each in of_second()) >= second_from
    assert pipeline.total("unknown") == 0
    assert pipeline.total("events") + pipeline.total("learning") == day.sent


def test_a_learner_that_dies_is_replaced_and_all_workers_take_up_one_reference(pipeline: Pipeline) -> None:
    first = pipeline.ready_worker(name="first")
    day = Day(pipeline)
    day.pass_by(12)
    eventually(lambda: pipeline.total("learning") > 0, pipeline.cursors)
    with Redis.from_url(pipeline.redis_url) as client:  # a worker that died while it learned
        client.set(f"{pipeline.prefix}:{{model:m}}:learner", "a-dead-worker", px=4_000)
    first.kill()
    second = pipeline.ready_worker(name="second")
    third = pipeline.ready_worker("--only", "ingest", name="third")
    day.pass_by(12.5)
    learned_by(second)
    learned_by(third)
    assert second.log.count("reference learned") + third.log.count("reference learned") == 1
    warm_up = eventually(
        lambda: day.sent if pipeline.total("learning") + pipeline.total("events") == day.sent else 0,
        pipeline.cursors,
    )
    metrics = pipeline.reader("metrics")
    watched_from = day.now_ms
    day.pass_by(2)
    eventually(lambda: pipeline.total("events") >= day.sent - warm_up, pipeline.cursors)
    day.pass_by(0.2)
    windows = eventually(
        lambda: (
            w
            if (w := last_revisions(metrics.poll())) and max(w) >= watched_from + 2 * HOUR_MS - SLIDE_MS
            else None
        ),
        lambda: second.log + third.log,
    )
    counted = {start: each["n"] for start, each in windows.items() if start >= watched_from}
    assert counted
    assert all(n == SLIDE_MS // STEP_MS for start, n in counted.items() if start < watched_from + 2 * HOUR_MS)
    assert len(fingerprints(second, third)) == 1
    with Redis.from_url(pipeline.redis_url) as client:  # who holds a reference stores it again
        stored = f"{pipeline.prefix}:{{model:m}}:references"
        client.flushall()
        eventually(lambda: client.hexists(stored, "v:v1"), lambda: second.log + third.log)
    (shown,) = answers(pipeline, "reference", "show", "m", "--output", "json")
    assert {shown["fingerprint"]} == fingerprints(second, third)
