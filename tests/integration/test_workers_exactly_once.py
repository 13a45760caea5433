"""A million events, two workers, one killed and restarted five times: every event counted exactly once.

The seed is printed; ``TEST_SEED`` repeats a run.
"""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from stream.embedded import EmbeddedKafka
from tests.integration.ledger import Ledger
from tests.integration.pipeline import (
    Pipeline,
    WorkerProcess,
    eventually,
    header,
    last_revisions,
    send,
    synthetic_reference,
    values,
)

EVENTS, KILLS = 1_000_000, 5


def counted(pipeline: Pipeline) -> int:
    """Events counted so far; offsets and totals that Redis holds must agree at any instant."""
    cursors = pipeline.cursors()
    for cursor in cursors.values():
        assert cursor.get("offset", 0) == cursor.get("events", 0), cursors
    return sum(cursor.get("events", 0) for cursor in cursors.values())


def owns(worker: WorkerProcess) -> bool:
    return worker.metric("driftstream_partitions_assigned") > 0


@pytest.mark.services
@pytest.mark.timeout(600)
def test_every_event_is_counted_once_through_five_kills(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(2**31)))
    kills = sorted(random.Random(seed).sample(range(50_000, EVENTS - 50_000), KILLS))
    ledger = Ledger(EVENTS, seed=seed)
    stream = ledger.stream()
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        workers = [pipeline.ready_worker(name=name) for name in ("one", "two")]
        victim = workers[0]
        producer, topic = pipeline.producer(), pipeline.topics["inference"]
        caught = []
        for begin, end in pairwise([0, *kills]):
            eventually(lambda: owns(victim), "the restarted worker to own partitions", timeout_s=120)
            send(producer, topic, (next(stream) for _ in range(end - begin)))
            victim.kill()
            caught.append(end - counted(pipeline))
            victim.start()
        send(producer, topic, stream)
        metrics = pipeline.reader("metrics")
        eventually(lambda: counted(pipeline) >= EVENTS, lambda: f"all events, seed {seed}", timeout_s=180)
        eventually(
            lambda: len(last_revisions(metrics.poll())) >= len(ledger.windows),
            lambda: f"all windows, seed {seed}",
            timeout_s=120,
        )
        windows = {start: window["n"] for start, window in last_revisions(metrics.records).items()}
        records = values(metrics.records)
        restated = {record["window_start_ms"] for record in records if record["revision"] > 0}
        with capsys.disabled():
            print(
                f"\nexactly once, seed {seed}: ledger {ledger.windows.total()} events in "
                f"{len(ledger.windows)} windows; counted {counted(pipeline)} in Redis, "
                f"{sum(windows.values())} in {len(windows)} windows on the metrics topic "
                f"({len(restated)} restated); behind at the kills: {caught}"
            )
        assert windows == dict(ledger.windows)
        contents = {(header(record, "id"), record.value()) for record in metrics.records}
        assert len(contents) == len({name for name, _ in contents}), "one id, two contents"
        assert counted(pipeline) == EVENTS
        # While this test waits for the worker it has killed the stream is quiet: windows may close early.
        first = {record["window_start_ms"]: record for record in records if record["revision"] == 0}
        assert {first[start]["closed_by"] for start in restated} <= {"idle"}
        assert [pipeline.total(name) for name in ("late", "rejected", "unknown", "lost")] == [0] * 4
