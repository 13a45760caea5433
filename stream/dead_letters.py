"""Dead letters: a record that does not decode, unchanged, with the reason in its headers.

The header names are Kafka Connect's, under our own prefix; ``id`` (topic-partition-offset) makes a replay
recognisable.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from confluent_kafka import Message as Record

from stream.messages import Message

PREFIX = "driftstream.errors."
SHORT_KEY, SHORT_VALUE = 1_024, 16_384

Header = tuple[str, bytes | None]


def dead_letter(
    record: Record, *, dlq_topic: str, reason: str, detail: str, stage: str = "decode"
) -> Message:
    """Return the dead letter of ``record``: same key, bytes and headers, and why it was refused.

    2 µs: what is the same for many records is made once.
    """
    offset = str(record.offset()).encode()
    start, id_prefix = _place(str(record.topic()), int(record.partition() or 0))
    given = record.headers()
    headers = [] if given is None else header_pairs(given)
    headers += (
        (_ID, id_prefix + offset),
        *start,
        (_OFFSET, offset),
        (_TIME, str(record.timestamp()[1]).encode()),
        *_why(stage, reason),
        (_DETAIL, detail.encode()),
    )
    key, value = record.key(), record.value()
    return Message(
        dlq_topic,
        key.encode() if isinstance(key, str) else key,
        value.encode() if isinstance(value, str) else value,
        headers,
    )


def shortened(letter: Message) -> Message:
    """Return a dead letter that every topic takes: the beginning of its bytes and our headers.

    For a record so close to the limit of its topic that the headers do not fit; it can still be read in full
    at its topic, partition and offset.
    """
    return _cut(letter, key_bytes=SHORT_KEY, value_bytes=SHORT_VALUE)


def emptied(letter: Message) -> Message:
    """Return a dead letter that says where its record is, and holds nothing of it."""
    return _cut(letter, key_bytes=0, value_bytes=0)


def _cut(letter: Message, *, key_bytes: int, value_bytes: int) -> Message:
    """Return the beginning of a letter's key and value with our headers, and how long all of it was."""
    key, value = letter.key or b"", letter.value or b""
    sizes = {KEY_BYTES: len(key), VALUE_BYTES: len(value), PREFIX + "headers": _foreign(letter)}
    headers = [(name, content) for name, content in letter.headers if name.startswith(PREFIX)]
    headers += [(name, str(size).encode()) for name, size in sizes.items()]
    return Message(
        letter.topic, letter.key and key[:key_bytes], letter.value and value[:value_bytes], headers
    )


def header_pairs(headers: dict[str, Any] | list[tuple[str, Any]]) -> list[Header]:
    """Return headers in their order as names and bytes, however the client gives them."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


KEY_BYTES, VALUE_BYTES = PREFIX + "key.bytes", PREFIX + "value.bytes"
"""Headers of a shortened letter: how long key and value of the record were."""
_ID, _OFFSET, _TIME, _DETAIL = (PREFIX + name for name in ("id", "offset", "timestamp", "exception.message"))


@lru_cache(maxsize=4_096)
def _place(topic: str, partition: int) -> tuple[tuple[Header, ...], bytes]:
    name, number = topic.encode(), str(partition).encode()
    return ((PREFIX + "topic", name), (PREFIX + "partition", number)), b"%b-%b-" % (name, number)


@lru_cache(maxsize=256)
def _why(stage: str, reason: str) -> tuple[Header, ...]:
    return (PREFIX + "stage", stage.encode()), (PREFIX + "reason", reason.encode())


def _foreign(letter: Message) -> int:
    return sum(not name.startswith(PREFIX) for name, _ in letter.headers)
