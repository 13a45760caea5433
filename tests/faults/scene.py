"""One fault test: Kafka, a Redis behind a proxy, workers to be killed, traffic, and what must hold then."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from stream.embedded import EmbeddedRedis
from tests.faults import invariants
from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker, Nursery
from tests.faults.oracle import Oracle, newest
from tests.faults.proxy import Proxy
from tests.faults.traffic import Sent, Traffic, TrafficSpec
from tests.integration.pipeline import Pipeline, Reader, eventually, values

RSS_LIMIT = 600 * 2**20
LOOK_S = 0.2


class Scene(AbstractContextManager["Scene"]):
    """The parts of one test. Leaving it ends every process of it.

    Parameters
    ----------
    settings
        Sections of the configuration, laid over those of the pipeline.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kafka: Any,
        redis: EmbeddedRedis,
        nursery: Nursery,
        traffic: TrafficSpec,
        **settings: Mapping[str, Any],
    ) -> None:
        self.redis, self.nursery = redis, nursery
        self.traffic = Traffic(traffic)
        self.proxy = Proxy(redis.ports["redis"])
        self.pipeline = Pipeline(
            directory,
            kafka,
            redis.url,
            references=self.traffic.references(),
            partitions=traffic.partitions,
            **{
                "redis": {"url": f"redis://127.0.0.1:{self.proxy.port}/0"},
                "time": {"out_of_orderness": "1s", "idle_after": "10m"},
                "ingest": {"flush_interval": "50ms"},
                **settings,
            },
        )
        self.oracle = Oracle(self.pipeline.config, partitions=traffic.partitions)
        self.watch = invariants.Watch()
        self.workers: list[ForkedWorker] = []
        self.injections = 0
        self.progress_s: float | None = None
        self.peak_bytes = 0
        self.log: dict[int, list[Sent]] | None = defaultdict(list)
        self._next = 0
        self._producer = self.pipeline.producer()
        self._watching = threading.Event()
        self._watcher = threading.Thread(target=self._look, name="watch", daemon=True)
        self._watcher.start()

    # ---- workers

    def worker(
        self, name: str = "one", *options: str, env: Mapping[str, str] | None = None, fresh: bool = True
    ) -> ForkedWorker:
        """Start a worker; a ``fresh`` one has a consumer group of its own, and so its partitions at once."""
        worker = ForkedWorker.__new__(ForkedWorker)
        worker.arguments = ["worker", "--config", str(self.pipeline.config), *options]
        worker.log_path = self.pipeline.directory / f"{name}.log"
        worker.nursery, worker.env = self.nursery, {**(fresh_group() if fresh else {}), **(env or {})}
        worker.start()
        self.workers.append(worker)
        return worker

    def ready(self, *arguments: Any, **options: Any) -> ForkedWorker:
        """Start a worker and wait until it is ready."""
        worker = self.worker(*arguments, **options)
        worker.await_ready()
        return worker

    def under_way(self, slices: int, **options: Any) -> ForkedWorker:
        """Start a worker, and wait until it has counted the next slices."""
        worker = self.ready(**options)
        self.send(slices)
        self.await_counted()
        return worker

    def again(self, worker: ForkedWorker, **env: str) -> None:
        """Start a worker that has ended again, in a fresh group."""
        worker.env = {**fresh_group(), **env}
        worker.start()

    # ---- traffic

    def send(self, slices: int = 1) -> None:
        """Send the next slices and wait until Kafka has them."""
        for _ in range(slices):
            self._send(self.traffic.slice(self._next))
            self._next += 1

    def send_rest(self) -> None:
        """Send what is left of the stream and close its windows."""
        self.send(self.traffic.spec.slices - self._next)
        self._send(self.traffic.closers())

    def _send(self, sent: list[Sent]) -> None:
        self.oracle.feed(sent)
        for each in sent if self.log is not None else ():
            self.log[each.partition].append(each)
        for role, partition, value in sent:
            self._producer.produce(self.pipeline.topics[role], value, partition=partition)
        assert self._producer.flush(90) == 0

    # ---- what is seen

    def redis_client(self) -> Redis:
        """A client beside the proxy."""
        return Redis.from_url(self.redis.url, socket_timeout=5)

    def use_redis(self, server: EmbeddedRedis) -> None:
        """Look at another server from now on."""
        self.redis, self.pipeline.redis_url = server, server.url

    def counted(self) -> int:
        """Records counted so far, by the offsets in Redis; -1 while it does not answer."""
        with contextlib.suppress(Exception):
            return sum(cursor.get("offset", 0) for cursor in self.pipeline.cursors().values())
        return -1

    def await_counted(self, records: int | None = None, *, timeout_s: float = 60.0) -> None:
        """Wait until this many records are counted; by default all sent."""
        wanted = self.traffic.events if records is None else records
        eventually(
            lambda: self.counted() >= wanted,
            lambda: f"{wanted} records counted, {self.counted()} are; {self.hint()}",
            timeout_s=timeout_s,
        )

    def hint(self) -> str:
        """Seed and the ends of the logs, for a failure."""
        logs = "".join(f"\n--- {w.log_path.name}\n{_telling(w.log)}" for w in self.workers)
        return f"TEST_SEED={self.traffic.spec.seed} {self.watch.reasons}{logs}"

    def _look(self) -> None:
        where = (self.pipeline.prefix, self.pipeline.topics["inference"], self.traffic.spec.partitions)
        while not self._watching.wait(LOOK_S):
            with self.redis_client() as client:
                self.watch.look(client, *where)
            for worker in list(self.workers):
                with contextlib.suppress(psutil.Error):
                    rss = psutil.Process(worker.process.pid).memory_info().rss
                    self.peak_bytes = max(self.peak_bytes, rss)

    # ---- faults

    def injected(self, times: int = 1) -> None:
        """Count faults for the table."""
        self.injections += times

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """Stop Redis for the time of the body, as a machine that swaps or a long command would."""
        pid = self.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.injected()
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def progress(self, limit_s: float) -> Iterator[None]:
        """Measure from the end of the body, where the fault ends, until records are counted again."""
        yield
        began, before = time.monotonic(), self.counted()
        self.send()
        while self.counted() <= max(before, 0):
            assert time.monotonic() - began < limit_s + 30, f"no progress: {self.hint()}"
            time.sleep(0.02)
        seconds = time.monotonic() - began
        self.progress_s = max(self.progress_s or 0.0, seconds)
        reason = invariants.progress_again(seconds, limit_s)
        assert reason is None, f"I6: {reason}; {self.hint()}"

    # ---- the end

    def settle(self, fault: str, *, exact: bool = True, timeout_s: float = 90.0) -> Figures:
        """Send the rest, wait until all is published, and hold every invariant.

        ``exact`` wants the oracle's records and alerts bit for bit; without it only the counts, for streams
        in which it depends on the moment whether an event is late.
        """
        self.send_rest()
        metrics, alerts = self.pipeline.reader("metrics"), self.pipeline.reader("alerts")
        ledger = dict(self.traffic.windows)
        deadline = time.monotonic() + timeout_s
        while (
            reasons := self._reasons(metrics, alerts, ledger, exact=exact)
        ) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._watching.set()
        self._watcher.join(10)
        reasons |= self.watch.reasons
        bounded = invariants.memory_bounded(self.peak_bytes, RSS_LIMIT)
        reasons |= {"I8": bounded} if bounded else {}
        lost, doubled = invariants.lost_and_doubled(ledger, self.windows(metrics))
        assert not reasons, f"{fault}: {reasons}; {self.hint()}"
        return self.figures(fault, lost=lost, doubled=doubled)

    def figures(self, fault: str, *, lost: int = 0, doubled: int = 0) -> Figures:
        """A row of the table; for a test that holds the invariants by itself, as its stream has gaps."""
        return Figures(
            fault=fault,
            injections=self.injections,
            events=self.traffic.events,
            lost=lost,
            doubled=doubled,
            progress_s=self.progress_s,
            seed=self.traffic.spec.seed,
        )

    def windows(self, metrics: Reader) -> dict[tuple[str, int], int]:
        """Events by window as published; the open windows of the closers are no part of it."""
        end_ms = self.traffic.start_ms + self.traffic.spec.slices * self.traffic.spec.slice_ms
        found = newest(values(metrics.records))
        return {key: each["n"] for key, each in found.items() if each["n"] and key[1] < end_ms + 10_000}

    def _reasons(
        self, metrics: Reader, alerts: Reader, ledger: dict[tuple[str, int], int], *, exact: bool
    ) -> dict[str, str]:
        metrics.poll()
        alerts.poll()
        poison = self.traffic.poison
        strangers = self.traffic.strangers
        good = self.traffic.events - poison - strangers
        totals = {"events": good, "rejected": poison, "unknown": strangers, "lost": 0}
        found = {
            "I1": invariants.counts_are_the_ledgers(ledger, self.windows(metrics)),
            "I1 totals": invariants.totals_are_the_ledgers(totals, self._cursors()),
            "I4 records": invariants.one_content_an_id(metrics.records, "id"),
            "I4 alerts": invariants.one_content_an_id(alerts.records, "ce_id"),
        }
        if exact:
            found["I4 records"] = invariants.ids_are_the_oracles(self.oracle.records, metrics.records, "id")
            found["I4 alerts"] = invariants.ids_are_the_oracles(self.oracle.alerts, alerts.records, "ce_id")
        return {name: reason for name, reason in found.items() if reason is not None}

    def _cursors(self) -> list[dict[str, int]]:
        with contextlib.suppress(Exception):
            return list(self.pipeline.cursors().values())
        return []

    def __exit__(self, *_: object) -> None:
        self._watching.set()
        for worker in self.workers:
            worker.kill()
        self._watcher.join(10)
        self.pipeline.__exit__()
        self.proxy.__exit__()


def _telling(log: str) -> str:
    """The end of a log, and what stands before a crash of the interpreter."""
    crash = log.find("Fatal Python error")
    return log[-1500:] if crash < 0 else log[max(0, crash - 1_000) : crash + 3_000]


def fresh_group() -> dict[str, str]:
    """A consumer group that nobody was in: no dead member is waited for; offsets are Redis's anyway."""
    return {
        "DRIFTSTREAM_CONSUMER__GROUP": f"g-{uuid.uuid4().hex[:8]}",
        "DRIFTSTREAM_CONSUMER__PROTOCOL": "consumer",
    }
