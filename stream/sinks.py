"""Out of Kafka's door: produce, wait for the acknowledgement, and only then forget.

A message that is committed to an outbox is produced until the broker has acknowledged it. A crash in between
repeats it with the same id; it is never lost. Dead letters go out by :mod:`stream.dead_letter_queue`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from stream.messages import Message
from stream.store import Sequenced

log = logging.getLogger(__name__)
PARTITION_UA = -1  # librdkafka's: let the partitioner choose

Delivered = Callable[[KafkaError | None, object], None]


class Sink(Protocol):
    """Where messages leave: :class:`KafkaSink`, or :class:`stream.sinks_memory.ListSink` without a broker."""

    def produce(self, message: Message, on_delivery: Delivered) -> None:
        """Take a message; ``on_delivery`` hears of it once, with None when it is safe."""

    def poll(self) -> None:
        """Serve delivery reports."""

    def wait(self, timeout_s: float) -> None:
        """Serve delivery reports; wait for one if there is none."""

    def hurry(self, timeout_s: float) -> None:
        """Let nothing linger, and serve delivery reports until all have come or the time is up."""

    def close(self, *, timeout_s: float) -> int:
        """Wait for what is under way; the number of messages given up."""


class KafkaSink:
    """Produces messages on one idempotent, acks=all producer.

    Parameters
    ----------
    producer
        A configured ``confluent_kafka.Producer``; its queue bounds the memory.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def produce(self, message: Message, on_delivery: Delivered) -> None:
        """Enqueue; a full queue serves deliveries until there is room."""
        partition = PARTITION_UA if message.partition is None else message.partition
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    on_delivery=on_delivery,
                    partition=partition,
                )
            except BufferError:
                self._producer.poll(0.05)
                continue
            except KafkaException as exc:
                on_delivery(exc.args[0], None)
            return

    def poll(self) -> None:
        """Serve the delivery reports that are there."""
        self._producer.poll(0)

    def wait(self, timeout_s: float) -> None:
        """Serve delivery reports; wait for one if there is none."""
        self._producer.poll(timeout_s)

    def hurry(self, timeout_s: float) -> None:
        """Let nothing linger, and serve delivery reports until all have come or the time is up."""
        self._producer.flush(timeout_s)

    def partitions(self, topic: str, *, timeout_s: float) -> int:
        """Number of partitions of a topic, asked of the broker; KafkaException when it does not answer."""
        return len(self._producer.list_topics(topic, timeout=timeout_s).topics[topic].partitions)

    def close(self, *, timeout_s: float) -> int:
        """Wait for what is under way; the number of messages given up."""
        return int(self._producer.flush(timeout_s))


@dataclass
class OutboxDrain:
    """Publishes the messages of one outbox in the background and knows up to where all are acknowledged.

    ``delivered_to`` is the largest sequence number with nothing undelivered at or below it; a refused message
    is produced again at the next :meth:`retry`.
    """

    sink: Sink
    delivered_to: int | None = None
    _flying: dict[int, Message] = field(default_factory=dict)
    _failed: dict[int, Message] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)
    _last: int | None = None

    def __len__(self) -> int:
        return len(self._flying) + len(self._failed)

    @property
    def refused(self) -> int:
        """How many messages Kafka refused and :meth:`retry` will produce again."""
        return len(self._failed)

    def send(self, messages: Iterable[Sequenced]) -> None:
        """Produce messages, in order of their sequence numbers."""
        given = list(messages)
        for sequence, message in given:  # all, before a report of one can come: none may seem delivered
            if sequence not in self._flying:
                heappush(self._order, sequence)
            self._flying[sequence] = message
            self._last = sequence if self._last is None else max(self._last, sequence)
        for sequence, message in given:
            self.sink.produce(message, self._report(sequence))

    def retry(self) -> None:
        """Produce again what was refused."""
        failed, self._failed = self._failed, {}
        self.send(sorted(failed.items()))

    def _report(self, sequence: int) -> Delivered:
        def report(error: KafkaError | None, _: object) -> None:
            message = self._flying.pop(sequence, None)
            if error is not None and message is not None:
                log.warning(
                    'publish refused topic="%s" sequence="%s" reason="%s"', message.topic, sequence, error
                )
                self._failed[sequence] = message
                return
            outstanding = self._outstanding()
            self.delivered_to = self._last if outstanding is None else outstanding - 1

        return report

    def _outstanding(self) -> int | None:
        """The first message that is not acknowledged; a look at all of them a report would be quadratic."""
        order = self._order
        while order and order[0] not in self._flying and order[0] not in self._failed:
            heappop(order)
        return order[0] if order else None
