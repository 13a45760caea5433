"""A live stream: events of many models at a steady rate, their event time is the clock's, some models drift.

Models take turns and move on by one partition each turn. In every slide another share of the models drifts:
their numeric features are scaled. Nothing is out of order.
"""

from __future__ import annotations

import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Producer

from benchmarks.workload import NUMERIC, workload

DISTINCT = 2_000
TICK_S = 0.01
DRIFT_TURNS = 6
"""A model drifts in one slide of so many: it alerts when that slide is judged, and again when it is over."""
SCALE = 2.5


@dataclass(frozen=True)
class Stream:
    """What is sent: so many events a second in all, over ``partitions`` of ``topic``."""

    topic: str
    partitions: int
    models: Sequence[str]
    rate: int
    slide_ms: int


class PacedLoad:
    """A producer in a thread; a context manager. ``times`` are the event times by partition, in order."""

    def __init__(self, client: dict[str, Any], stream: Stream) -> None:
        self.stream = stream
        self.times: list[list[int]] = [[] for _ in range(stream.partitions)]
        self.failed = 0
        self._producer = Producer({**client, "acks": "1", "queue.buffering.max.messages": 500_000})
        self._usual = _templates(scale=1.0)
        self._drifted = _templates(scale=SCALE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> PacedLoad:
        """Start to send."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, and wait for what is under way."""
        self._stopping.set()
        self._thread.join()
        self._producer.flush(10.0)

    def closed_at(self, watermark_ms: int, out_of_orderness_ms: int) -> int | None:
        """When the event was sent that made the global watermark reach ``watermark_ms``, in epoch ms."""
        reached = [_first(times, watermark_ms + out_of_orderness_ms) for times in self.times]
        known = [ms for ms in reached if ms is not None]
        return max(known) if len(known) == len(reached) else None

    def _run(self) -> None:
        started, sent = time.monotonic(), 0
        while not self._stopping.wait(TICK_S):
            due = int((time.monotonic() - started) * self.stream.rate)
            while sent < due:
                self._send(sent)
                sent += 1
            self._producer.poll(0)

    def _send(self, number: int) -> None:
        stream = self.stream
        turn, model = divmod(number, len(stream.models))
        partition = (model + turn) % stream.partitions
        ts_ms = time.time_ns() // 1_000_000
        drifts = (model + ts_ms // stream.slide_ms) % DRIFT_TURNS == 0
        templates = self._drifted if drifts else self._usual
        value = templates[number % DISTINCT] % {
            b"id": uuid.uuid4().hex.encode(),
            b"ts": ts_ms,
            b"model": stream.models[model].encode(),
        }
        self._producer.produce(stream.topic, value=value, partition=partition)
        self.times[partition].append(ts_ms)


def _first(times: list[int], at_least: int) -> int | None:
    place = bisect_left(times, at_least)
    return times[place] if place < len(times) else None


def _templates(scale: float) -> list[bytes]:
    """Events of workload W with places for id, time and model."""
    encode, templates = msgspec.json.Encoder().encode, []
    for value in workload(DISTINCT).values:
        event = msgspec.json.decode(value)
        features = event["features"]
        scaled = {name: features[name] * scale for name in NUMERIC if features.get(name) is not None}
        event |= {"prediction_id": "%(id)s", "model": "%(model)s", "ts": "TS", "features": features | scaled}
        templates.append(encode(event).replace(b'"TS"', b"%(ts)d"))
    return templates
