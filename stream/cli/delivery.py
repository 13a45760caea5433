"""Where ``driftstream emit`` sends events to, and what Kafka made of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import ConfigError, DependencyError
from stream.kafka_config import producer_config, validate_kafka
from stream.row_events import Record, Source
from stream.settings.configuration import DEFAULT_FILE, load_settings
from stream.topics import reason_of
from stream.transport import require_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_REACH_S = 5.0  # how long the brokers may take to answer at all
_CREATE_S = 2.0  # ... and to create a topic on first use, where they do that
_DEFAULTS = {"linger.ms": "5", "compression.type": "lz4", "message.timeout.ms": "30000", "log_level": "2"}
_OWNED = {"enable.idempotence": "true", "acks": "all"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the events go: librdkafka properties, and the topic of each kind of event that is sent."""

    properties: Mapping[str, Any]
    topics: Mapping[Source, str]

    @classmethod
    def of(
        cls,
        config: Path | None,
        servers: str | None,
        topic: str | None,
        labels_topic: str | None,
        *,
        insecure: bool = False,
    ) -> Target:
        """Take the brokers from ``--bootstrap-servers``, else from the configuration file.

        Raises
        ------
        ConfigError
            If neither says where Kafka is, or the way there is in clear and that is not allowed.
        """
        properties: dict[str, Any] = {}
        if config is not None or servers is None:
            if config is None and not DEFAULT_FILE.is_file():
                raise ConfigError(
                    "no Kafka to send to: give --bootstrap-servers HOST:PORT, or --config FILE "
                    f"(there is no {DEFAULT_FILE} here)"
                )
            settings = load_settings(config, insecure=insecure)
            if servers is not None:
                settings = settings.reached_at(servers)
            validate_kafka(settings)
            properties = producer_config(settings)
            topic, labels_topic = topic or settings.topics.inference, labels_topic or settings.topics.labels
        elif servers is not None:
            if not insecure:
                require_loopback(servers)
            properties["bootstrap.servers"] = servers
        topics: dict[Source, str] = {"inference": topic or "inference"}
        if labels_topic is not None:
            topics["labels"] = labels_topic
        return cls(properties, topics)

    def without_labels(self) -> Target:
        """Return the target for inference events alone."""
        return Target(self.properties, {"inference": self.topics["inference"]})


@dataclass(slots=True)
class Summary:
    """What became of the rows; ``sent`` and ``labels_sent`` count events that Kafka has acknowledged."""

    file: str
    model: str
    topic: str
    rows: int
    sent: int = 0
    labels_sent: int = 0
    failed: int = 0
    first_ts_ms: int | None = None
    last_ts_ms: int | None = None
    seconds: float = 0.0
    interrupted: bool = False


class Delivery:
    """Sends records through one idempotent producer and counts in ``summary`` what Kafka made of them.

    ``error`` is the first refusal, in librdkafka's words.
    """

    def __init__(self, target: Target, summary: Summary, *, event_time: bool) -> None:
        self._reason: str | None = None
        try:
            config = _DEFAULTS | dict(target.properties) | _OWNED
            self._producer = Producer({**config, "error_cb": self._on_error})
        except (KafkaException, ValueError) as exc:
            raise ConfigError(f"Kafka client refused its properties: {exc}") from exc
        self._target = target
        self._began = time.monotonic()
        self.summary = summary
        self._event_time = event_time
        self.error: str | None = None

    def check(self) -> None:
        """Raise DependencyError when no broker answers, ConfigError when a topic is not there."""
        servers = self._target.properties["bootstrap.servers"]
        for topic in self._target.topics.values():
            deadline = time.monotonic() + _CREATE_S
            while (error := self._topic_error(topic, servers)) is not None:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"topic {topic!r} cannot be used on {servers}: {error}; "
                        "create it with `driftstream topics create`, or name another"
                    )
                self._producer.poll(0.1)
        self._began = time.monotonic()

    def _topic_error(self, topic: str, servers: str) -> str | None:
        try:
            found = self._producer.list_topics(topic, timeout=_REACH_S).topics[topic]
        except KafkaException as exc:
            self._producer.poll(0)
            reason = self._reason or exc.args[0].str()
            raise DependencyError(
                f"cannot reach Kafka at {servers}: {reason}; is it up, and are its address and your "
                "credentials right?"
            ) from exc
        return None if found.error is None else found.error.str()

    def send(self, source: Source, record: Record) -> None:
        """Enqueue one record; a full queue serves deliveries until there is room."""
        ts_ms = record.ts_ms if self._event_time else 0
        while True:
            try:
                self._producer.produce(
                    self._target.topics[source],
                    record.value,
                    record.key,
                    timestamp=ts_ms,
                    on_delivery=self._on_inference if source == "inference" else self._on_label,
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as exc:  # refused on this side, such as a record over message.max.bytes
                self._refused(exc.args[0])
            break
        if source == "inference":
            self.summary.last_ts_ms = record.ts_ms
            if self.summary.first_ts_ms is None:
                self.summary.first_ts_ms = record.ts_ms

    def poll(self, seconds: float) -> None:
        """Serve acknowledgements, waiting for the first at most ``seconds``."""
        self._producer.poll(seconds)

    def finish(self, give_up: Callable[[], bool]) -> None:
        """Wait until every record is acknowledged or refused, or until ``give_up`` says so."""
        while self._producer.flush(0.2) and not give_up():
            continue
        self.summary.seconds = round(time.monotonic() - self._began, 3)

    def _on_error(self, error: KafkaError) -> None:
        """Keep what a broker says, which tells more than that none could be used."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._reason = reason_of(str(error.str()))

    def _on_inference(self, error: KafkaError | None, _: Message) -> None:
        if self._refused(error):
            return
        self.summary.sent += 1

    def _on_label(self, error: KafkaError | None, _: Message) -> None:
        if self._refused(error):
            return
        self.summary.labels_sent += 1

    def _refused(self, error: KafkaError | None) -> bool:
        if error is not None:
            self.summary.failed += 1
            self.error = self.error or error.str()
        return error is not None
