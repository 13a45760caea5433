"""Dead letters: a record that does not decode, unchanged, with the reason in its headers.

The header names are Kafka Connect's, under our own prefix; ``id`` (topic-partition-offset) makes a replay
recognisable.
"""

from __future__ import annotations

from confluent_kafka import Message as Record

from stream.messages import Message

PREFIX = "driftstream.errors."
SHORT_KEY, SHORT_VALUE = 1_024, 16_384


def dead_letter(
    record: Record, *, dlq_topic: str, reason: str, detail: str, stage: str = "decode"
) -> Message:
    """Return the dead letter of ``record``: same key, bytes and headers, and why it was refused."""
    topic, partition, offset = str(record.topic()), record.partition(), record.offset()
    why = {
        "id": f"{topic}-{partition}-{offset}",
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "stage": stage,
        "reason": reason,
        "exception.message": detail,
    }
    headers = [(name, _bytes(value)) for name, value in _pairs(record)]
    headers += [(PREFIX + name, value.encode()) for name, value in why.items()]
    return Message(dlq_topic, _bytes(record.key()), _bytes(record.value()), headers)


def shortened(letter: Message) -> Message:
    """Return a dead letter that every topic takes: the beginning of its bytes and our headers.

    For a record so close to the limit of its topic that the headers do not fit; it can still be read in full
    at its topic, partition and offset.
    """
    key, value = letter.key or b"", letter.value or b""
    sizes = {"key.bytes": len(key), "value.bytes": len(value), "headers": _foreign(letter)}
    headers = [(name, content) for name, content in letter.headers if name.startswith(PREFIX)]
    headers += [(PREFIX + name, str(size).encode()) for name, size in sizes.items()]
    return Message(
        letter.topic, letter.key and key[:SHORT_KEY], letter.value and value[:SHORT_VALUE], headers
    )


def _foreign(letter: Message) -> int:
    return sum(not name.startswith(PREFIX) for name, _ in letter.headers)


def _pairs(record: Record) -> list[tuple[str, str | bytes | None]]:
    headers = record.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else list(headers)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
