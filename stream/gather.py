"""Gathering records from the consumer into decoded batches, across hand-overs of partitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import Message as Record

from stream.assignment import Assignment
from stream.codec import Decoder
from stream.crash_points import reached
from stream.errors import DependencyError
from stream.topic_batch import OpenBatch, TopicBatch

log = logging.getLogger(__name__)
CHUNK = 500  # records a consume call: with more, the live objects fall out of the processor's cache
POLL_S, CLOSING_POLL_S = 0.05, 0.01
"""How long a chunk is waited for that is not full; shortly while a window is about to close."""
ROWS_A_MODEL = 200
"""Records of each model version that a batch should have: what is done a model then costs little a record."""
MOST_BATCHES = 10
_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001  # the client's spelling
_END = KafkaError._PARTITION_EOF  # noqa: SLF001
_FATAL = KafkaError._FATAL  # noqa: SLF001


def batch_for(batch: int, blocks: int) -> int:
    """How many records to gather at a time: ``batch``, and more where the last one was of many ``blocks``.

    Up to ten times as many: rows are kept until they are counted, and nobody hears of them before.
    """
    return max(batch, min(ROWS_A_MODEL * blocks, MOST_BATCHES * batch))


def gather(
    consumer: Consumer,
    assignment: Assignment,
    decoders: Mapping[str, Decoder],
    *,
    limit: int,
    poll_s: float,
    unless: Callable[[], bool],
    newest_ms: Callable[[], int],
) -> list[TopicBatch]:
    """About ``limit`` records of partitions that are ours, decoded, without errors and ends of partitions.

    Callbacks of the group run inside. What was gathered of a partition before it changed hands is dropped:
    see :class:`~stream.topic_batch.OpenBatch`.

    Parameters
    ----------
    decoders
        By topic.
    poll_s
        How long a chunk is waited for that is not full.
    unless
        Stops gathering early (a shutdown).
    newest_ms
        Asked whenever records come: events later than that are to be refused.

    Raises
    ------
    DependencyError
        A subscribed topic is gone, or the group has shut us out for good.
    """
    opened: dict[str, OpenBatch] = {}
    gathered, is_full = 0, True
    while gathered < limit and is_full and not unless():
        chunk = consumer.consume(CHUNK, poll_s)
        is_full = len(chunk) == CHUNK
        has_events = any(map(Record.error, chunk))
        events = [record for record in chunk if record.error() is not None] if has_events else []
        records = [record for record in chunk if record.error() is None] if events else chunk
        gathered += len(records)
        now, generation = newest_ms(), assignment.generation
        for topic, those in _by_topic(records, decoders):
            if topic not in opened:
                reached("decode.before")
                opened[topic] = OpenBatch(topic, decoders[topic].begin())
            opened[topic].take(those, generation=generation, newest_ms=now)
        for event in events:
            _handle(assignment, event)
        chunk = records = those = []  # freed: the next ones take their place in the caches
    batches = [each.close(assignment.get) for each in opened.values()]
    if opened:
        reached("decode.after")
    return [batch for batch in batches if len(batch)]


def _by_topic(records: list[Record], topics: Collection[str]) -> Iterable[tuple[str, list[Record]]]:
    """Return the records of each topic that there are some of."""
    if not records:
        return ()
    here = topics if len(topics) == 1 else set(map(Record.topic, records))
    if len(here) == 1:
        return ((str(*here), records),)
    by_topic: dict[str, list[Record]] = {}
    for record in records:
        by_topic.setdefault(str(record.topic()), []).append(record)
    return by_topic.items()


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
