"""One run of the worker's ingest in a process of its own, measured from outside and checked for exactness."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks.services import Services
from benchmarks.usage import Moment, Usage, now, usage
from benchmarks.workload import Workload
from detectors import Reference
from stream.embedded.process import Process
from stream.keys import PartitionKeys
from stream.settings.sections import TopicSettings
from stream.store_redis import RedisStore

ROOT = Path(__file__).parents[1]
AS_SHIPPED = ("-m", "stream", "worker")
LOOK_EVERY_S = 0.005
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Expected:
    """What is in the topic: its records, the cells by model and start of the pane, what is no event."""

    records: int
    partitions: int
    panes: dict[tuple[str, int], NDArray[np.int64]]
    dead: Counter[bytes]

    @property
    def events(self) -> int:
        """Records that are events: each is a prediction that waits for its label."""
        return self.records - self.dead.total()


def expected(load: Workload, reference: Reference, *, partitions: int, slide_ms: int = 60_000) -> Expected:
    """Count the workload from its columns, past the whole pipeline."""
    counted = reference.for_source("inference")
    assert counted is not None
    good = np.flatnonzero(~load.dead)
    start = load.ts_ms[good] // slide_ms * slide_ms
    places, group = np.unique(np.stack([load.model[good], start]), axis=1, return_inverse=True)
    rows = load.rows[good]
    encoded = {name: codes[rows] for name, codes in counted.binning.encode(load.columns).items()}
    cells = counted.binning.count(encoded, group.ravel().astype(np.intp), places.shape[1])
    names = [(load.models[model], start_ms) for model, start_ms in places.T.tolist()]
    dead = Counter(load.values[row] for row in np.flatnonzero(load.dead).tolist())
    return Expected(len(load.values), partitions, dict(zip(names, cells, strict=True)), dead)


@dataclass(frozen=True)
class Cursors:
    """Cursors of the partitions of one topic."""

    prefix: str
    topic: str

    def progress(self, client: redis.Redis, partitions: int) -> tuple[int, int]:
        """Partitions claimed so far, and records covered by commits."""
        with client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.hmget(PartitionKeys(self.prefix, self.topic, partition).cursor, "epoch", "offset")
            replies = pipe.execute()
        return sum(epoch is not None for epoch, _ in replies), sum(int(offset or 0) for _, offset in replies)


def run_worker(
    services: Services,
    name: str,
    config: Path,
    topics: TopicSettings,
    truth: Expected,
    *,
    program: Sequence[str] = AS_SHIPPED,
) -> Usage:
    """Start the ingest on a full topic, wait for its last commit, stop it, check its work, empty Redis.

    Measured from the moment all partitions are claimed, before the first record is fetched, to the moment
    Redis holds the last offset.

    Raises
    ------
    RuntimeError
        The worker ended early, took too long, or its counts, pending predictions or dead letters are not
        exactly those of the records.
    """
    process = Process("bench-worker", None)
    client = redis.Redis.from_url(services.redis.url)
    command = [sys.executable, *program, "--config", str(config), "--only", "ingest"]
    try:
        process.spawn(command, {**os.environ, "PYTHONPATH": str(ROOT)})
        measured = _measure(process, client, Cursors(name, topics.inference), truth)
        process.terminate(30.0)
        _check_panes(RedisStore(client, prefix=name), topics.inference, truth)
        _check_pending(client, name, truth)
        _check_dead(services, topics, truth)
    finally:
        process.close()
        client.flushdb()
        client.close()
    return measured


def _measure(process: Process, client: redis.Redis, keys: Cursors, truth: Expected) -> Usage:
    start: Moment | None = None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        pid = process.pid
        if pid is None:
            break
        before = now(pid)  # the claims that this look does not see yet are measured too
        claimed, counted = keys.progress(client, truth.partitions)
        if claimed < truth.partitions:
            start = before
        elif counted >= truth.records and start is not None:
            return usage(pid, start, truth.records)
        time.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"the worker did not finish:\n{process.log_text()[-2000:]}")


def _check_panes(store: RedisStore, topic: str, truth: Expected) -> None:
    keys = store.open_panes(topic, truth.partitions)
    panes = store.read_panes(topic, truth.partitions, keys)
    found = {
        (key.model, key.start_ms): sum(pane.counts.cells for pane in parts) for key, parts in panes.items()
    }
    if found.keys() != truth.panes.keys():
        raise RuntimeError(f"{len(found)} panes were counted, the events lie in {len(truth.panes)}")
    wrong = [key for key, cells in truth.panes.items() if not np.array_equal(found[key], cells)]
    if wrong:
        raise RuntimeError(f"counts of {len(wrong)} panes differ from the events, the first is {wrong[0]}")


def _check_pending(client: redis.Redis, prefix: str, truth: Expected) -> None:
    with client.pipeline(transaction=False) as pipe:
        for bucket in client.scan_iter(match=f"{prefix}:{{model:*}}:pending:*", count=10_000):
            pipe.hlen(bucket)
        pending = sum(pipe.execute())
    if pending != truth.events:
        raise RuntimeError(f"{pending} predictions wait for their labels, {truth.events} were made")


def _check_dead(services: Services, topics: TopicSettings, truth: Expected) -> None:
    found = Counter(services.values(topics.dlq(topics.inference)))
    if found != truth.dead:
        raise RuntimeError(f"{found.total()} dead letters, {truth.dead.total()} records are no events")
