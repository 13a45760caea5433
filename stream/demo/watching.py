"""Reads what the product says, as any consumer would: ``drift.alerts`` and ``drift.metrics``, in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from stream.demo.seen import Seen, SeenAlert
from stream.errors import DependencyError
from stream.settings.configuration import Settings

_POLL_SECONDS = 0.1
_DRAIN_SECONDS = 30.0


class Watching:
    """Fills :attr:`seen` until the context ends.

    Parameters
    ----------
    settings
        The topics must exist.
    on_alert
        Called from the thread with each notification.
    """

    def __init__(self, settings: Settings, *, on_alert: Callable[[SeenAlert], None]) -> None:
        self.seen = Seen()
        self.first_alert: float | None = None
        self.evaluated_ms = 0  # end of the newest window of predictions
        self.last_news = time.monotonic()
        self.failure: Exception | None = None
        self._settings = settings
        self._on_alert = on_alert
        self._lock = threading.Lock()
        self._next = dict.fromkeys((settings.topics.alerts, settings.topics.metrics), 0)
        self._finish = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def drain(self) -> None:
        """Read on to the present ends of the topics, and stop: for when nothing writes any more."""
        self._finish.set()
        self._thread.join(_DRAIN_SECONDS)

    def counted(self) -> dict[str, int]:
        """Events in evaluated windows, by source."""
        with self._lock:
            return {source: self.seen.counted(source) for source in ("inference", "labels")}

    @property
    def final(self) -> int:
        """Windows whose labels have all had their time."""
        with self._lock:
            return self.seen.final

    def copy(self) -> Seen:
        """What was seen so far."""
        with self._lock:
            return Seen(dict(self.seen.windows), dict(self.seen.alerts))

    def _run(self) -> None:
        try:
            self._read()
        except (KafkaException, DependencyError, ValueError, KeyError) as exc:
            self.failure = exc

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka.bootstrap_servers,
                "group.id": f"{self._settings.consumer.group}-watching",  # asked for, never joined
                "enable.auto.commit": False,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self._next])
            while not self._stopping.is_set() and not self._finish.is_set():
                self._take(consumer.poll(_POLL_SECONDS))
            ends = {topic: _end(consumer, topic) for topic in self._next if self._finish.is_set()}
            while not self._stopping.is_set() and any(self._next[topic] < ends[topic] for topic in ends):
                self._take(consumer.poll(_POLL_SECONDS))
        finally:
            consumer.close()

    def _take(self, message: Message | None) -> None:
        if message is None:
            return
        error, topic = message.error(), str(message.topic())
        if error is not None:
            if error.fatal():
                raise DependencyError(f"{topic} cannot be read: {error.str()}")
            return
        self._next[topic] = int(message.offset() or 0) + 1
        body = json.loads(message.value() or b"{}")
        self.last_news = time.monotonic()
        if topic == self._settings.topics.alerts:
            self._take_alert(message, body)
            return
        with self._lock:
            self.seen.add_record(body)
            self.evaluated_ms = self.seen.latest("inference")

    def _take_alert(self, message: Message, body: dict[str, object]) -> None:
        ce_id = dict(message.headers() or [])["ce_id"]
        name = ce_id.decode() if isinstance(ce_id, bytes) else str(ce_id)
        with self._lock:
            new = self.seen.add_alert(name, body)
        if not new:
            return
        alert = self.seen.alerts[name]
        if alert.status == "firing" and self.first_alert is None:
            self.first_alert = self.last_news
        self._on_alert(alert)


def _end(consumer: Consumer, topic: str) -> int:
    """Offset of the next record that the topic will get."""
    _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_DRAIN_SECONDS)
    return int(high)
