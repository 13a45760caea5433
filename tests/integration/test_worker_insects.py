"""Real sensor data through Apache Kafka, Redis and the worker, next to a replay of the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.embedded import EmbeddedKafka
from tests.integration.pipeline import Pipeline, Reader, eventually, header, last_revisions, values

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "insects_gradual_balanced.parquet"
ROWS = "6000:10000,15000:19000"
WINDOWS, CHANGE, WINDOW_MS = 40, 20, 10_000
COUNTED = ("n", "status", "drifted", "severity", "features", "model", "version", "window_start_ms")

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not DATA.exists(), reason="insects_gradual_balanced.parquet is not here"),
]


def driftstream(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "stream", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("insects") / "reference.json"
    built = driftstream(
        *("reference", "build", "--input", DATA, "--model", "insects", "--model-version", "v1"),
        *("--rows", "1500:6000", "--window-rows", "200", "--label", "cls", "--output", path),
    )
    assert built.returncode == 0, built.stderr
    return path


@pytest.fixture
def pipeline(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str, reference: Path) -> Iterator[Pipeline]:
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"insects": [reference]},
        time={"out_of_orderness": "5s", "idle_after": "3s"},
        defaults={"window": "10s", "slide": "10s", "grace": "5s"},
    ) as pipeline:
        yield pipeline


def emit(pipeline: Pipeline) -> int:
    """Send the rows as the issue says; event time of the first."""
    sent = driftstream(
        *("emit", DATA, "--model", "insects", "--config", pipeline.config, "--rows", ROWS),
        *("--rate", "20", "--speedup", "100", "--features", ",".join(f"att{i}" for i in range(1, 34))),
        *("--output", "json"),
    )
    assert sent.returncode == 0, sent.stderr
    summary = json.loads(sent.stdout)
    assert (summary["sent"], summary["failed"]) == (8_000, 0)
    return int(summary["first_ts_ms"])


def all_windows(pipeline: Pipeline, metrics: Reader) -> dict[int, dict[str, Any]]:
    return eventually(
        lambda: len(found := last_revisions(metrics.poll())) >= WINDOWS and found,
        lambda: f"{WINDOWS} windows, only {sorted(last_revisions(metrics.records))}; {pipeline.cursors()}",
        timeout_s=90,
    )


def replayed(reference: Path, first_ts_ms: int) -> list[dict[str, Any]]:
    """What ``driftstream replay`` says of the same rows."""
    replay = driftstream(
        *("replay", DATA, "--reference", reference, "--rows", ROWS, "--rate", "20", "--window", "10s"),
        *("--output", "json"),
    )
    assert replay.returncode == 0, replay.stderr
    windows = [json.loads(line) for line in replay.stdout.splitlines()]
    shift = first_ts_ms - windows[0]["window_start_ms"]
    for window in windows:  # a replay has its own first event time
        window["window_start_ms"] += shift
    return windows


def check(pipeline: Pipeline, reference: Path, first_ts_ms: int, metrics: Reader) -> None:
    """What the issue asks of the windows and of the alerts."""
    windows = all_windows(pipeline, metrics)
    starts = sorted(windows)
    assert starts == [first_ts_ms + i * WINDOW_MS for i in range(WINDOWS)]
    assert [windows[start]["n"] for start in starts] == [200] * WINDOWS
    assert [record["revision"] for record in values(metrics.records)] == [0] * WINDOWS

    alerts = pipeline.reader("alerts")
    eventually(alerts.poll, "an alert")
    ends = [value["evidence"]["window_end_ms"] for value in values(alerts.records)]
    at = [(end - first_ts_ms) // WINDOW_MS - 1 for end in ends]
    assert all(window >= CHANGE for window in at), f"an alert before the change: {at}"
    assert min(at) < CHANGE + 3
    first = alerts.records[0]
    assert first.key() == b"insects"
    assert header(first, "ce_specversion") == "1.0"
    assert header(first, "ce_type") == "driftstream.alert.v1"
    assert len(header(first, "ce_id")) == 32

    live = [{name: windows[start][name] for name in COUNTED} for start in starts]
    back_test = [{name: window[name] for name in COUNTED} for window in replayed(reference, first_ts_ms)]
    assert live == back_test


def test_the_change_is_found_in_time_and_as_a_replay_finds_it(pipeline: Pipeline, reference: Path) -> None:
    pipeline.ready_worker()
    check(pipeline, reference, emit(pipeline), pipeline.reader("metrics"))


def test_a_worker_that_was_idle_before_finds_the_same(pipeline: Pipeline, reference: Path) -> None:
    pipeline.ready_worker()
    eventually(
        lambda: all(cursor.get("idle", 0) > 2 for cursor in pipeline.cursors().values()),
        "every partition to be idle",
    )
    check(pipeline, reference, emit(pipeline), pipeline.reader("metrics"))


def test_two_workers_find_the_same(pipeline: Pipeline, reference: Path) -> None:
    workers = [pipeline.ready_worker(name=name) for name in ("one", "two")]
    eventually(
        lambda: all(worker.metric("driftstream_partitions_assigned") > 0 for worker in workers),
        "both workers to own partitions",
    )
    check(pipeline, reference, emit(pipeline), pipeline.reader("metrics"))
