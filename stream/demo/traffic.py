"""Sends the story at its pace, in a thread: the serving system as Kafka sees it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.demo.serving import Event
from stream.demo.story import SPEED, WINDOW_MS, Story
from stream.errors import DependencyError
from stream.kafka_config import producer_config
from stream.settings.configuration import Settings

AHEAD_WINDOWS = 12
"""How far the sender may be before what is evaluated: the mock broker keeps about 5 MB a partition."""

_TICK_SECONDS = 0.02
_FLUSH_SECONDS = 30.0


class Traffic:
    """Produces events as they fall due, until they end or the context does.

    Parameters
    ----------
    evaluated_ms
        End of the newest window that was evaluated, 0 before the first.
    speed
        Event time over wall clock.
    """

    def __init__(
        self,
        settings: Settings,
        story: Story,
        events: Iterable[Event],
        *,
        evaluated_ms: Callable[[], int],
        speed: float = SPEED,
    ) -> None:
        self.sent: Counter[str] = Counter()
        self.at_ms = story.start_ms  # event time of the last event sent
        self.last_sent = time.monotonic()
        self.began: float | None = None
        self.failure: Exception | None = None
        self._topics = dict(zip(("inference", "labels"), settings.topics.inputs, strict=True))
        self._story = story
        self._events = events
        self._evaluated_ms = evaluated_ms
        self._speed = speed
        self._held = 0.0
        self._stopping = threading.Event()
        self._producer = Producer({**producer_config(settings), "linger.ms": 5})
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether every event was sent and acknowledged."""
        return not self._thread.is_alive() and self.failure is None and not self._stopping.is_set()

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._producer.close()

    def _run(self) -> None:
        try:
            self._send_all()
        except (KafkaException, DependencyError) as exc:
            self.failure = self.failure or exc

    def _send_all(self) -> None:
        self.began = time.monotonic()
        for event in self._events:
            if not self._wait(event):
                return
            self._send(event)
        if self._producer.flush(_FLUSH_SECONDS):
            raise DependencyError(f"Kafka did not take every event within {_FLUSH_SECONDS:.0f} s")

    def _wait(self, event: Event) -> bool:
        """Wait until the event is due; False when the context ended."""
        while self._too_far(event.ts_ms) and not self._stopping.is_set():
            held = time.monotonic()
            self._producer.poll(_TICK_SECONDS)
            self._held += time.monotonic() - held  # go on at the same pace: do not catch up
        due = (self.began or 0.0) + self._held + (event.ts_ms - self._story.start_ms) / 1000 / self._speed
        while (early := due - time.monotonic()) > 0 and not self._stopping.is_set():
            self._producer.poll(min(early, _TICK_SECONDS))
        return not self._stopping.is_set()

    def _too_far(self, ts_ms: int) -> bool:
        evaluated_ms = max(self._evaluated_ms(), self._story.start_ms)
        return ts_ms > evaluated_ms + AHEAD_WINDOWS * WINDOW_MS

    def _send(self, event: Event) -> None:
        self._producer.produce(
            self._topics[event.source],
            event.value,
            event.key,
            on_delivery=self._delivered if event.source == "inference" else self._label_delivered,
        )
        self._producer.poll(0)
        self.at_ms, self.last_sent = event.ts_ms, time.monotonic()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._count("inference", error)

    def _label_delivered(self, error: KafkaError | None, _: Message) -> None:
        self._count("labels", error)

    def _count(self, source: str, error: KafkaError | None) -> None:
        if error is None:
            self.sent[source] += 1
        else:
            self.failure = self.failure or DependencyError(f"Kafka refused an event: {error.str()}")
