"""One run of the worker's ingest in a process of its own, measured from outside and checked for exactness."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks.services import TOPIC, Services
from benchmarks.usage import Moment, Usage, now, usage
from benchmarks.workload import Workload
from detectors import Reference
from stream.embedded.process import Process
from stream.keys import PartitionKeys
from stream.store_redis import RedisStore

ROOT = Path(__file__).parents[1]
AS_SHIPPED = ("-m", "stream", "worker")
LOOK_EVERY_S = 0.005
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Expected:
    """What is in the topic: its size, and cells by start of the pane."""

    events: int
    partitions: int
    panes: dict[int, NDArray[np.int64]]


def expected(load: Workload, reference: Reference, *, partitions: int, slide_ms: int = 60_000) -> Expected:
    """Count the workload from its columns, past the whole pipeline."""
    starts, group = np.unique(load.ts_ms // slide_ms * slide_ms, return_inverse=True)
    encoded = reference.binning.encode(load.columns)
    cells = reference.binning.count(encoded, group.astype(np.intp), len(starts))
    return Expected(len(load.values), partitions, dict(zip(starts.tolist(), cells, strict=True)))


def run_worker(
    services: Services, name: str, config: Path, truth: Expected, *, program: Sequence[str] = AS_SHIPPED
) -> Usage:
    """Start the ingest on a full topic, wait for its last commit, stop it.

    Measured from the moment all partitions are claimed, before the first record is fetched, to the moment
    Redis holds the last offset.

    Raises
    ------
    RuntimeError
        The worker ended early, took too long, or its counts are not exactly those of the events.
    """
    process = Process("bench-worker", None)
    client = redis.Redis.from_url(services.redis.url)
    command = [sys.executable, *program, "--config", str(config), "--only", "ingest"]
    try:
        process.spawn(command, {**os.environ, "PYTHONPATH": str(ROOT)})
        measured = _measure(process, client, name, truth)
        process.terminate(30.0)
        _check(RedisStore(client, prefix=name), truth)
    finally:
        process.close()
        client.close()
    return measured


def _measure(process: Process, client: redis.Redis, name: str, truth: Expected) -> Usage:
    start: Moment | None = None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        pid = process.pid
        if pid is None:
            break
        before = now(pid)  # the claims that this look does not see yet are measured too
        claimed, counted = _progress(client, name, truth.partitions)
        if claimed < truth.partitions:
            start = before
        elif counted >= truth.events and start is not None:
            return usage(pid, start, truth.events)
        time.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"the worker did not finish:\n{process.log_text()[-2000:]}")


def _progress(client: redis.Redis, prefix: str, partitions: int) -> tuple[int, int]:
    """Partitions claimed so far, and records covered by commits."""
    with client.pipeline(transaction=False) as pipe:
        for partition in range(partitions):
            pipe.hmget(PartitionKeys(prefix, TOPIC, partition).cursor, "epoch", "offset")
        replies = pipe.execute()
    return sum(epoch is not None for epoch, _ in replies), sum(int(offset or 0) for _, offset in replies)


def _check(store: RedisStore, truth: Expected) -> None:
    keys = store.open_panes(TOPIC, truth.partitions)
    panes = store.read_panes(TOPIC, truth.partitions, keys)
    found = {key.start_ms: sum(pane.counts.cells for pane in parts) for key, parts in panes.items()}
    if found.keys() != truth.panes.keys():
        raise RuntimeError(f"{len(found)} panes were counted, the events lie in {len(truth.panes)}")
    wrong = [start for start, cells in truth.panes.items() if not np.array_equal(found[start], cells)]
    if wrong:
        raise RuntimeError(f"counts of {len(wrong)} panes differ from the events, the first is {wrong[0]}")
