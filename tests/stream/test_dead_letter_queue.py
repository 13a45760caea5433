"""Dead letters on their way: they are bounded, what is refused is kept, what is too large is cut."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from stream import dead_letter_queue
from stream.dead_letter_queue import DeadLetterQueue
from stream.dead_letters import SHORT_VALUE
from stream.errors import DependencyError
from stream.messages import Message
from stream.sinks import Delivered


class SlowSink:
    """Acknowledges ``pace`` messages at a time, in order, and refuses those over ``limit`` bytes."""

    def __init__(self, *, pace: int = 1, limit: int = 10**9) -> None:
        self.pace, self.limit = pace, limit
        self.taken: list[Message] = []
        self.most = 0
        self._flying: list[tuple[Message, Delivered]] = []

    def produce(self, message: Message, on_delivery: Delivered) -> None:
        self._flying.append((message, on_delivery))
        self.most = max(self.most, len(self._flying))

    def poll(self) -> None:
        served, self._flying = self._flying[: self.pace], self._flying[self.pace :]
        for message, report in served:
            if len(message.value or b"") > self.limit:
                report(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
            else:
                self.taken.append(message)
                report(None, None)

    def wait(self, timeout_s: float) -> None:  # never waits
        self.poll()

    def hurry(self, timeout_s: float) -> None:
        self.poll()

    def close(self, *, timeout_s: float) -> int:
        return len(self._flying)


def letters(count: int, size: int = 1) -> list[Message]:
    return [Message("in.dlq", None, str(number).encode().ljust(size)) for number in range(count)]


def test_a_flood_is_bounded_and_arrives_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_queue, "MOST_FLYING", 10)
    monkeypatch.setattr(dead_letter_queue, "MOST_WAITING", 5)
    sink = SlowSink(pace=3)
    queue = DeadLetterQueue(sink)
    sent = letters(200)
    for start in range(0, 200, 20):
        queue.send(sent[start : start + 20])
        assert len(queue) <= 15
    queue.confirm()
    assert (sink.taken, sink.most, len(queue)) == (sent, 10, 0)


def test_what_is_under_way_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_queue, "MOST_BYTES", 5_000)
    sink = SlowSink()
    queue = DeadLetterQueue(sink)
    queue.send(letters(20, size=2_000))
    queue.confirm()
    assert (len(sink.taken), sink.most) == (20, 3)


def test_nothing_is_confirmed_that_is_not_acknowledged() -> None:
    sink = SlowSink(pace=0)
    queue = DeadLetterQueue(sink, timeout_s=0.01)
    queue.send(letters(3))
    with pytest.raises(DependencyError, match="3 records not acknowledged within 0 s"):
        queue.confirm()
    sink.pace = 3
    queue.confirm()
    assert [message.value for message in sink.taken] == [b"0", b"1", b"2"]


def test_a_letter_too_large_is_cut_and_the_others_are_not() -> None:
    sink = SlowSink(pace=10, limit=SHORT_VALUE)
    queue = DeadLetterQueue(sink)
    queue.send([*letters(2), *letters(1, size=SHORT_VALUE + 1), *letters(1)])
    queue.confirm()
    assert sorted(len(message.value or b"") for message in sink.taken) == [1, 1, 1, SHORT_VALUE]
