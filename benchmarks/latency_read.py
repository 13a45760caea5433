"""When the record and the alerts of each window could be read from Kafka, and how long that took.

For :mod:`benchmarks.latency`, which says what is measured.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as Record
from rich.console import Console

from benchmarks.paced import PacedLoad
from benchmarks.report import machine_line, table
from stream.alerts import rfc3339

POLL_S = 0.05


class Window(msgspec.Struct):
    """What of a window record tells which window it is about."""

    model: str
    window_end_ms: int
    revision: int


WINDOW = msgspec.json.Decoder(Window)


@dataclass
class Reader:
    """Reads one topic in a thread and notes when each record came."""

    client: Mapping[str, Any]
    topic: str
    records: list[tuple[float, Record]] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read from the beginning, until the block ends."""
        consumer = Consumer(
            {
                **self.client,
                "group.id": "driftstream-bench",
                "enable.auto.commit": False,
            }
        )
        consumer.assign(
            [
                TopicPartition(self.topic, p, 0)
                for p in consumer.list_topics(self.topic).topics[self.topic].partitions
            ]
        )
        thread = threading.Thread(target=self._read, args=(consumer,), name=self.topic)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()
            consumer.close()

    def _read(self, consumer: Consumer) -> None:
        while not self._stopping.is_set():
            for record in consumer.consume(500, POLL_S):
                if record.error() is None:
                    self.records.append((time.time(), record))


@dataclass
class Published:
    """When each window, by model and end, could first be read: its record, and its first alert."""

    records: dict[tuple[str, int], float]
    alerts: dict[tuple[str, str], float]

    @classmethod
    def of(cls, metrics: Reader, alerts: Reader) -> Published:
        """Take in what was read."""
        records: dict[tuple[str, int], float] = {}
        for at, record in list(metrics.records):
            window = WINDOW.decode(record.value() or b"")
            records.setdefault((window.model, window.window_end_ms), at)
        told: dict[tuple[str, str], float] = {}
        for at, record in list(alerts.records):
            headers = cast("list[tuple[str, bytes]]", record.headers() or [])
            told.setdefault(((record.key() or b"").decode(), dict(headers)["ce_time"].decode()), at)
        return cls(records, told)


def percentiles(
    load: PacedLoad,
    found: Published,
    ends: Sequence[int],
    *,
    graces: Mapping[str, int],
    out_of_orderness_ms: int,
) -> dict[str, Any]:
    """Latencies of the records and alerts of every model and window, and how many were never read.

    ``ends`` of the windows and ``graces`` of the models are in ms.
    """
    told: dict[str, list[float]] = {"record": [], "alert": []}
    slides: list[dict[str, float]] = []
    missing = 0
    for end_ms in ends:
        before = len(told["record"])
        for model, grace_ms in graces.items():
            closed_ms = load.closed_at(end_ms + grace_ms, out_of_orderness_ms)
            at = found.records.get((model, end_ms))
            if at is None or closed_ms is None:
                missing += 1
                continue
            told["record"].append(at * 1000 - closed_ms)
            alerted = found.alerts.get((model, rfc3339(end_ms)))
            if alerted is not None:
                told["alert"].append(alerted * 1000 - closed_ms)
        slides.append(_summary(told["record"][before:]))
    return {"missing": missing, "slides": slides, **{name: _summary(each) for name, each in told.items()}}


def _summary(latencies_ms: Sequence[float]) -> dict[str, float]:
    if not latencies_ms:
        return {"n": 0}
    p50, p99 = np.percentile(latencies_ms, [50, 99])
    return {
        "n": len(latencies_ms),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "max_ms": round(max(latencies_ms), 1),
    }


def print_tables(report: Mapping[str, Any]) -> None:
    """Write the report as tables."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    shown = table("readable on Kafka after the window closed", "n", "p50 ms", "p99 ms", "max ms")
    for name in ("alert", "record"):
        row = report["windows"][name]
        shown.add_row(name, *(str(row.get(key, "-")) for key in ("n", "p50_ms", "p99_ms", "max_ms")))
    for number, row in enumerate(report["windows"]["slides"], 1):
        name = f"record, slide {number}"
        shown.add_row(name, *(str(row.get(key, "-")) for key in ("n", "p50_ms", "p99_ms", "max_ms")))
    console.print(shown)
    plan = report["plan"]
    console.print(
        f"{plan['models']} models, {plan['rate']} events/s, missing: {report['windows']['missing']}"
    )
    for worker in report["workers"]:
        console.print(f"worker: {worker['cpu_share']:.2f} cores, {worker['peak_rss_mib']} MiB")
    console.print(machine_line(report))
