"""Gathering a batch of records from the consumer, across hand-overs of partitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Consumer, KafkaError
from confluent_kafka import Message as Record
from numpy.typing import NDArray

from stream.assignment import Assignment
from stream.errors import DependencyError
from stream.ownership import OwnedPartition

log = logging.getLogger(__name__)
CHUNK = 500  # records a consume call: with more, the live objects fall out of the processor's cache
POLL_S = 0.05
ROWS_A_MODEL = 200
"""Records of each model version that a batch should have: what is done a model then costs little a record."""
MOST_BATCHES = 10
_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001  # the client's spelling
_END = KafkaError._PARTITION_EOF  # noqa: SLF001
_FATAL = KafkaError._FATAL  # noqa: SLF001


class RecordTimes(Sequence[int]):
    """Kafka record times, looked up only where an event has none of its own."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> int:  # type: ignore[override]  # rows are asked for one by one
        return int(self._records[row].timestamp()[1])


@dataclass(frozen=True)
class TopicBatch:
    """Records of one topic, the partitions they came from, and each record's index into those."""

    topic: str
    records: Sequence[Record]
    owned: list[OwnedPartition]
    at: NDArray[np.intp]

    def next_offsets(self) -> list[int]:
        """Per partition, the offset after its last record of the batch."""
        lasts = np.zeros(len(self.owned), dtype=np.intp)
        np.maximum.at(lasts, self.at, np.arange(len(self.at)))
        return [int(self.records[last].offset() or 0) + 1 for last in lasts.tolist()]

    def first_ms(self, owned: OwnedPartition, ts_ms: NDArray[np.int64], newest_ms: int) -> int | None:
        """Time of the partition's first event that is not later than ``newest_ms``; None: it has none here.

        ``ts_ms`` are those of the decoded rows; one that is no event has none above 0.
        """
        mine = self.at == self.owned.index(owned)
        rows = np.flatnonzero(mine & (ts_ms > 0) & (ts_ms <= newest_ms))
        return int(ts_ms[rows[0]]) if len(rows) else None


def batch_for(batch: int, blocks: int) -> int:
    """How many records to gather at a time: ``batch``, and more where the last one was of many ``blocks``.

    Up to ten times as many: records that are held longer cost more each, as they leave the processor's cache.
    """
    return max(batch, min(ROWS_A_MODEL * blocks, MOST_BATCHES * batch))


def gather(
    consumer: Consumer, assignment: Assignment, *, limit: int, unless: Callable[[], bool]
) -> list[Record]:
    """About ``limit`` records of partitions that are ours; errors and ends of partitions are taken out.

    Callbacks of the group run inside. What was gathered of a partition before it changed hands is dropped:
    its new owner, possibly we again, reads it from the offset that Redis holds.

    Parameters
    ----------
    unless
        Stops gathering early (a shutdown).

    Raises
    ------
    DependencyError
        A subscribed topic is gone, or the group has shut us out for good.
    """
    records: list[Record] = []
    while len(records) < limit and not unless():
        before = assignment.generation
        chunk = consumer.consume(CHUNK, POLL_S)
        if assignment.generation != before:
            records = held_since(assignment, records, before)
            chunk = held_since(assignment, chunk, assignment.generation)
        has_events = any(map(Record.error, chunk))
        events = [record for record in chunk if record.error() is not None] if has_events else []
        records += [record for record in chunk if record.error() is None] if events else chunk
        before = assignment.generation
        for event in events:
            _handle(assignment, event)
        if assignment.generation != before:
            records = held_since(assignment, records, before)
        if len(chunk) < CHUNK:
            break
    return records


def held_since(assignment: Assignment, records: Sequence[Record], generation: int) -> list[Record]:
    """Records whose partition has been ours without a break since ``generation``; errors pass."""

    def ours(record: Record) -> bool:
        owned = assignment.get(str(record.topic()), int(record.partition() or 0))
        return record.error() is not None or (owned is not None and owned.generation <= generation)

    return [record for record in records if ours(record)]


def _handle(assignment: Assignment, event: Record) -> None:
    error = event.error()
    if error is None:
        return
    owned = assignment.get(str(event.topic()), int(event.partition() or 0))
    if error.code() == _FATAL:
        raise _shut_out(error)
    if error.code() == _END:
        if owned is not None:
            owned.end = int(event.offset() or 0)
    elif error.code() in _OUT_OF_RANGE and owned is not None:
        log.warning('offset out of range partition="%s[%s]"', owned.topic, owned.partition)
        assignment.reclaim([owned])
    elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise DependencyError(f"topic {event.topic()} is gone: create it with `driftstream topics create`")
    else:
        log.warning('consumer event reason="%s"', error.str())


def _shut_out(error: KafkaError) -> DependencyError:
    reason = str(error.str()).rpartition("error: ")[2]
    remedy = "; give every worker its own consumer.instance_id" if "group.instance.id" in reason else ""
    return DependencyError(f"Kafka has shut this worker out: {reason}{remedy}")


def split(assignment: Assignment, records: Sequence[Record], topics: Sequence[str]) -> list[TopicBatch]:
    """Batches by topic, of records not counted yet."""
    if len(topics) == 1:
        return [_batch(assignment, topics[0], records)]
    here = set(map(Record.topic, records))
    if len(here) == 1:
        return [_batch(assignment, str(here.pop()), records)]
    by_topic: dict[str, list[Record]] = {}
    for record in records:
        by_topic.setdefault(str(record.topic()), []).append(record)
    return [_batch(assignment, topic, each) for topic, each in by_topic.items()]


def _batch(assignment: Assignment, topic: str, records: Sequence[Record]) -> TopicBatch:
    partition = np.fromiter(map(Record.partition, records), np.intp, len(records))
    present, at = _present(partition)
    first = np.full(len(present), len(records))
    np.minimum.at(first, at, np.arange(len(records)))
    owned = [assignment.owned(topic, each) for each in present.tolist()]
    oldest = [int(records[i].offset() or 0) for i in first.tolist()]
    if any(offset < each.position for offset, each in zip(oldest, owned, strict=True)):
        positions = [owned[i].position for i in at.tolist()]
        fresh = [r for r, at_ in zip(records, positions, strict=True) if int(r.offset() or 0) >= at_]
        return _batch(assignment, topic, fresh)
    return TopicBatch(topic, records, owned, at)


def _present(partition: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The partitions there are, and each record's index into them: ``np.unique`` by counting."""
    present = np.flatnonzero(np.bincount(partition))
    index = np.zeros(partition.max(initial=0) + 1, dtype=np.intp)
    index[present] = np.arange(len(present))
    return present, index[partition]
