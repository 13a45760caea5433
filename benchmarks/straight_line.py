"""The yardstick: a straight-line script on the same decoder and counts. Run as a process of its own.

``python -m benchmarks.straight_line BROKER TOPIC PARTITIONS EVENTS REFERENCE RESULT`` consumes, decodes and
counts by minute what the worker counts, in one loop over assigned partitions. No group, no commits, no Redis,
no join, no lateness, no metrics: what the worker costs beyond this is what it costs to be exact.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.usage import now, usage
from benchmarks.workload import MODEL, VERSION
from detectors import GrowingCounts, Reference
from stream.codec import JsonInferenceDecoder

CHUNK, BATCH = 500, 5_000
PANE_MS = 60_000
NO_RECORD_TIME = -1


def count(
    consumer: Consumer, reference: Reference, events: int, partitions: list[TopicPartition]
) -> dict[int, GrowingCounts]:
    """Count ``events`` events by start of the minute."""
    decoder = JsonInferenceDecoder({(MODEL, VERSION): reference})
    panes: dict[int, GrowingCounts] = defaultdict(reference.no_counts)
    consumer.assign(partitions)
    for values in _batches(consumer, events):
        for block in decoder.decode(values, [NO_RECORD_TIME] * len(values)).blocks:
            starts, group = np.unique(block.ts_ms // PANE_MS, return_inverse=True)
            reference.count_into([panes[start] for start in starts.tolist()], block.columns, group)
    return panes


def _batches(consumer: Consumer, events: int) -> Iterator[list[bytes | None]]:
    """Record values, ``BATCH`` at a time; the messages are let go of at once."""
    seen = 0
    values: list[bytes | None] = []
    while seen < events:
        chunk = consumer.consume(CHUNK, 0.05)
        values += map(Message.value, chunk)
        seen += len(chunk)
        if len(values) >= BATCH or seen >= events:
            yield values
            values = []


def main(arguments: list[str]) -> None:
    broker, topic = arguments[:2]
    partitions, events = map(int, arguments[2:4])
    reference, result = map(Path, arguments[4:])
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "straight-line",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.list_topics(topic)  # connected before the clock starts
    frozen = Reference.from_json(reference.read_text()).for_source("inference")
    assert frozen is not None
    gc.freeze()
    gc.set_threshold(100_000)
    start = now(os.getpid())
    panes = count(consumer, frozen, events, [TopicPartition(topic, p, 0) for p in range(partitions)])
    spent = usage(os.getpid(), start, events)
    counted = sum(counts.n for counts in panes.values())
    if counted != events:
        raise RuntimeError(f"{counted} events were counted, {events} are in the topic")
    result.write_text(json.dumps(asdict(spent)))
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1:])
