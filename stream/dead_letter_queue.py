"""Dead letters on their way: produced as soon as they are found, acknowledged before their offsets commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial

from confluent_kafka import KafkaError

from stream.dead_letters import shortened
from stream.errors import DependencyError
from stream.messages import Message
from stream.sinks import Sink

log = logging.getLogger(__name__)
TIMEOUT_S = 30.0
MOST_FLYING, MOST_BYTES = 20_000, 64 * 2**20
"""Letters under way at a time: with more the queue of the client could fill, which then waits for room."""
MOST_WAITING = 10_000
PATIENCE_S = 5.0
WAIT_S = 0.05


class DeadLetterQueue:
    """Takes dead letters and knows when all of them are safe.

    Letters travel while the rest of their batch is still being counted. What Kafka refuses is kept and
    produced again by the next :meth:`confirm`; one that is too large for its topic is cut.

    Parameters
    ----------
    sink
        Where they go; it may carry other messages too.
    """

    def __init__(self, sink: Sink, *, timeout_s: float = TIMEOUT_S) -> None:
        self._sink = sink
        self._timeout_s = timeout_s
        self._flying: dict[int, Message] = {}
        self._waiting: list[Message] = []
        self._refused: list[tuple[Message, KafkaError]] = []
        self._next = self._bytes = 0

    def __len__(self) -> int:
        """How many letters are not acknowledged."""
        return len(self._flying) + len(self._waiting) + len(self._refused)

    def send(self, letters: Iterable[Message]) -> None:
        """Take letters; raises nothing, that is for :meth:`confirm`.

        Waits up to :data:`PATIENCE_S` while Kafka takes them more slowly than they come, which bounds what is
        held here.
        """
        self._waiting += letters
        self._launch()
        self._sink.poll()
        deadline = time.monotonic() + PATIENCE_S
        while len(self._waiting) > MOST_WAITING and time.monotonic() < deadline:
            self._sink.wait(WAIT_S)
            self._launch()

    def confirm(self) -> None:
        """Wait until every letter is acknowledged.

        Raises
        ------
        DependencyError
            One was refused, or not acknowledged in time. All that are not acknowledged are kept.
        """
        if not len(self):
            return
        deadline = time.monotonic() + self._timeout_s
        again = [letter for letter, _ in self._refused]
        self._refused = []
        self._waiting += again
        self._settle(deadline)
        self._cut(deadline)
        if self._refused:
            letter, error = self._refused[0]
            raise DependencyError(
                f"topic {letter.topic}: {len(self._refused)} records refused: {error.str()}"
            )

    def _launch(self) -> None:
        """Produce what waits, as far as there is room; always at least one letter."""
        produce, report, flying = self._sink.produce, self._report, self._flying
        launched = 0
        for letter in self._waiting:
            if flying and (len(flying) >= MOST_FLYING or self._bytes >= MOST_BYTES):
                break
            launched += 1
            number = self._next = self._next + 1
            flying[number] = letter
            self._bytes += len(letter.value or b"")
            produce(letter, partial(report, number))
        del self._waiting[:launched]

    def _report(self, number: int, error: KafkaError | None, _: object) -> None:
        letter = self._flying.pop(number)
        self._bytes -= len(letter.value or b"")
        if error is not None:
            self._refused.append((letter, error))

    def _settle(self, deadline: float) -> None:
        """Wait until nothing is under way."""
        while self._waiting or self._flying:
            self._launch()
            if not self._flying:
                continue
            if time.monotonic() >= deadline:
                raise DependencyError(
                    f"{len(self)} records not acknowledged within {self._timeout_s:.0f} s: is Kafka up?"
                )
            self._sink.hurry(WAIT_S)

    def _cut(self, deadline: float) -> None:
        """Produce those refused for their size one by one, and shortened if that is not enough.

        Kafka refuses a batch as a whole: the small ones among them go through on their own.
        """
        large = [each for each in self._refused if each[1].code() == KafkaError.MSG_SIZE_TOO_LARGE]
        self._refused = [each for each in self._refused if each[1].code() != KafkaError.MSG_SIZE_TOO_LARGE]
        for place, (letter, error) in enumerate(large):
            refused = len(self._refused)
            try:
                self._waiting.append(letter)
                self._settle(deadline)
                if len(self._refused) > refused:
                    log.warning('shortened topic="%s" reason="%s"', letter.topic, error)
                    del self._refused[refused:]
                    self._waiting.append(shortened(letter))
                    self._settle(deadline)
            except DependencyError:
                self._refused += large[place + 1 :]
                raise
