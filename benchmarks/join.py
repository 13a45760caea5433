"""Joins a second and bytes per pending prediction of the label join, beside raw hashes without exactness.

``python -m benchmarks.join`` starts a Redis, fills it with predictions spread over a horizon of three days,
and joins labels to some of them, in batches as ingest sends them. "Per core" is rows a second of CPU time: of
this process (the client), and of Redis. The straight-line script writes the same bytes into small hashes by
raw RESP and reads them back; it is told the bucket of each label, knows no duplicates, corrections or early
labels, and keeps no journal. What the join costs beyond it is what it costs to be exact.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any

import numpy as np
import redis
import typer
from numpy.typing import NDArray

from benchmarks.report import machine
from benchmarks.straight_hashes import RawHashes
from benchmarks.usage import now
from stream.embedded import EmbeddedRedis
from stream.one_model import commit_model, load_model
from stream.outcomes.fold import fold
from stream.outcomes.join import Labels, OutcomeCommit, Predictions, id_keys
from stream.store_redis import RedisStore

MODEL = "benchmark"
HORIZON_MS = 3 * 24 * 3600 * 1000
START_MS = 1_760_000_000_000
BATCH = 10_000
SLIDE_MS = 60_000
FIRST_BLOCK_MS = 600_000


@dataclass(frozen=True)
class Rates:
    """Rows a second: by CPU time of the client, by CPU time of Redis, by the clock."""

    client: float
    redis: float
    clock: float


class Stopwatch:
    """Measures this process and one redis-server over the same work."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._pids = (os.getpid(), server.pid)

    def rates(self, rows: int, work: Callable[[], None]) -> Rates:
        """Do ``work`` on ``rows`` rows."""
        before = [now(pid) for pid in self._pids]
        work()
        after = [now(pid) for pid in self._pids]
        both, server = (b.cpu_s - a.cpu_s for a, b in zip(before, after, strict=True))
        client = both - server  # the server is a child of this process
        return Rates(rows / client, rows / server, rows / (after[0].wall_s - before[0].wall_s))


def predictions(first: int, last: int, pending: int, keys: NDArray[np.uint64]) -> Predictions:
    """Rows ``first`` to ``last`` of ``pending`` binary predictions, evenly over the horizon."""
    rows = np.arange(first, last, dtype=np.int64)
    score = (rows % 1000) / 1000.0
    return Predictions(
        keys[first:last],
        START_MS + rows * HORIZON_MS // pending,
        (rows % 7).astype(np.uint16),
        np.rint(score),
        score,
    )


def fold_all(store: RedisStore) -> int:
    """Fold the journal as an evaluator does, and trim it; the number of transitions."""
    rows, more = 0, True
    while more:
        revision, _ = load_model(store, MODEL)
        piece = store.joins.journal(MODEL, 50_000)
        fold(piece.transitions, SLIDE_MS)
        commit = OutcomeCommit(base=piece.base, upto=piece.upto, panes={}, ttl_ms=1000)
        commit_model(store, MODEL, revision, b"", [], outcomes=commit)
        rows, more = rows + len(piece.transitions), piece.more
    return rows


def write(store: RedisStore, first: int, last: int, pending: int, keys: NDArray[np.uint64]) -> None:
    for at in range(first, last, BATCH):
        rows = predictions(at, min(at + BATCH, last), pending, keys)
        store.joins.join(MODEL, rows, None, horizon_ms=HORIZON_MS)


def join(store: RedisStore, keys: NDArray[np.uint64], ts_ms: NDArray[np.int64]) -> None:
    for at in range(0, len(keys), BATCH):
        key = keys[at : at + BATCH]
        no_value = np.full(len(key), np.nan)
        rows = Labels(key, ts_ms[at : at + BATCH], np.ones(len(key)), np.zeros(len(key), bool), no_value)
        store.joins.join(MODEL, None, rows, horizon_ms=HORIZON_MS)


def measure_join(pending: int, joins: int, runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fill, measure the memory, join labels of any age and labels of young predictions."""
    keys = np.random.default_rng(5).integers(0, 2**64, pending, dtype=np.uint64)
    order = np.random.default_rng(6).permutation(pending)
    end_ms = np.full(joins, START_MS + HORIZON_MS)
    with EmbeddedRedis(appendonly=False) as server, redis.Redis.from_url(server.url) as client:
        store, watch = RedisStore(client, prefix="ds"), Stopwatch(server)
        empty = client.info("memory")["used_memory"]
        measured = pending - runs * joins
        for at in range(0, measured, 500_000):
            write(store, at, min(at + 500_000, measured), pending, keys)
            fold_all(store)
            say(f"{at:,} of {pending:,} predictions are pending")
        starts = range(measured, pending, joins)
        written = [watch.rates(joins, lambda s=s: write(store, s, s + joins, pending, keys)) for s in starts]
        folded = watch.rates(runs * joins, lambda: expect(fold_all(store), runs * joins))
        used = client.info("memory")["used_memory"] - empty
        old = [order[i * joins : (i + 1) * joins] for i in range(runs)]
        any_age = [watch.rates(joins, lambda r=r: join(store, keys[r], end_ms)) for r in old]
        rest = order[runs * joins :]
        young = [rest[i * joins : (i + 1) * joins] for i in range(runs)]
        one_hour = [
            watch.rates(joins, lambda r=r: join(store, keys[r], start_of(r, pending) + 3_600_000))
            for r in young
        ]
        expect(store.joins.join_counts(MODEL).joined, 2 * runs * joins)
        return {
            "bytes_per_pending": round(used / pending, 1),
            "buckets": client.dbsize(),
            "predictions": medians(written),
            "labels of predictions of any age": medians(any_age),
            "labels an hour late": medians(one_hour),
            "fold of the journal": medians([folded]),
            "server": server.version,
        }


def measure_first_block(rows: int, runs: int) -> dict[str, Any]:
    """New predictions of ten minutes of event time, in a Redis that knows nothing of the model's rate."""
    keys = np.random.default_rng(7).integers(0, 2**64, rows, dtype=np.uint64)
    pending = rows * HORIZON_MS // FIRST_BLOCK_MS  # the pace of a whole horizon
    written = []
    for _ in range(runs):
        with EmbeddedRedis(appendonly=False) as server, redis.Redis.from_url(server.url) as client:
            store, watch = RedisStore(client, prefix="ds"), Stopwatch(server)
            written.append(watch.rates(rows, lambda s=store: write(s, 0, rows, pending, keys)))
            looks = client.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"]
    return {"looks_a_prediction": round(looks / rows, 2), "predictions": medians(written)}


def start_of(rows: NDArray[np.int64], pending: int) -> NDArray[np.int64]:
    return START_MS + rows * HORIZON_MS // pending


def expect(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} rows were joined or folded, {expected} were sent")


def measure_raw(pending: int, joins: int, runs: int) -> dict[str, Any]:
    """The straight-line script on as many entries."""
    with EmbeddedRedis(appendonly=False) as server, redis.Redis.from_url(server.url) as client:
        watch = Stopwatch(server)
        empty = client.info("memory")["used_memory"]
        raw = RawHashes(server.ports["redis"], pending)
        raw.write(0, pending - runs * joins)
        starts = range(pending - runs * joins, pending, joins)
        written = [watch.rates(joins, lambda s=s: raw.write(s, s + joins)) for s in starts]
        used = client.info("memory")["used_memory"] - empty
        rows = np.random.default_rng(6).permutation(pending)
        read = [
            watch.rates(joins, lambda i=i: raw.read(rows[i * joins : (i + 1) * joins])) for i in range(runs)
        ]
        raw.close()
    return {
        "bytes_per_pending": round(used / pending, 1),
        "predictions": medians(written),
        "labels": medians(read),
    }


def medians(runs: list[Rates]) -> dict[str, int]:
    return {
        "rows_per_client_core_second": round(median(run.client for run in runs)),
        "rows_per_redis_core_second": round(median(run.redis for run in runs)),
        "rows_per_second": round(median(run.clock for run in runs)),
    }


def hashed(ids: int) -> int:
    """Ids a second of CPU time made into keys."""
    names = [f"{number:032x}-{number:08d}" for number in range(ids)]
    before = now(os.getpid())
    id_keys(MODEL, names)
    return round(ids / (now(os.getpid()).cpu_s - before.cpu_s))


def main(
    pending: Annotated[int, typer.Option(min=100_000, help="Predictions pending at the end.")] = 5_000_000,
    joins: Annotated[int, typer.Option(min=1000, help="Rows measured in each run.")] = 200_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the medians are told.")] = 3,
) -> None:
    """Measure and print one JSON object."""
    if 2 * runs * joins > pending:
        raise typer.BadParameter(
            f"2 x {runs} runs of {joins} labels need more than {pending} pending predictions"
        )

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    ours = measure_join(pending, joins, runs, say)
    raw = measure_raw(pending, joins, runs)
    report = {
        "pending": pending,
        "join": ours,
        "a first block": measure_first_block(joins, runs),
        "straight line": raw,
        "ids_hashed_per_core_second": hashed(200_000),
        "machine": machine(redis_server=ours.pop("server")),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
