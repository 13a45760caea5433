"""The Kafka and Redis of a benchmark, its topics, and the configuration of a worker."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.workload import Workload
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.embedded.topics import create_topics
from stream.settings.sections import TopicSettings

_FULL_QUEUE_POLL_S = 0.1
_PATIENCE_S = 60.0

Record = tuple[str, bytes, int]
"""Key, value and partition of a record."""


@dataclass(frozen=True)
class Broker:
    """Where Kafka is, and what it is called in a report."""

    bootstrap_servers: str
    title: str

    @property
    def client(self) -> dict[str, Any]:
        """Properties of a client."""
        return {"bootstrap.servers": self.bootstrap_servers, "log_level": 3}


@dataclass(frozen=True)
class Services:
    """Running services and the directory for what a run needs; the names of all topics start with ``tag``."""

    kafka: Broker
    redis: EmbeddedRedis
    directory: Path
    tag: str
    partitions: int
    _made: set[str] = field(default_factory=set)

    def topics(self, inference: str, *, dlq: str = "dlq") -> TopicSettings:
        """Return the topics of runs that read ``inference``; make those that are not there yet."""
        own = {name: f"{self.tag}.{name}" for name in ("labels", "alerts", "metrics", "actions", "panes")}
        names = TopicSettings(inference=f"{self.tag}.{inference}", dlq_suffix=f".{dlq}", **own)
        shared = (*names.inputs, names.panes)
        self._make({name: self.partitions if name in shared else 1 for name in names.all})
        return names

    def topic(self, name: str) -> str:
        """Return the topic of that name, for a peer; make it if it is not there yet."""
        topic = f"{self.tag}.{name}"
        self._make({topic: self.partitions})
        return topic

    def _make(self, topics: Mapping[str, int]) -> None:
        missing = {name: partitions for name, partitions in topics.items() if name not in self._made}
        if missing:
            create_topics(self.kafka.client, missing)
        self._made.update(missing)

    def configure(
        self,
        name: str,
        topics: TopicSettings,
        references: Mapping[str, Path],
        sections: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the configuration of a run that starts from nothing; return its path.

        All is as shipped: what is neither about where things are nor in ``sections`` is left at its default.
        """
        config = {
            "kafka": {"bootstrap.servers": self.kafka.bootstrap_servers},
            "redis": {"url": self.redis.url, "prefix": name},
            "topics": topics.model_dump(),
            "consumer": {"group": f"{self.tag}.{name}"},
            "metrics": {"port": 0},
            "models": {model: {"references": [str(path)]} for model, path in references.items()},
            **(sections or {}),
        }
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def ends(self, topic: str) -> int:
        """Return the number of records in a topic."""
        return sum(high - low for low, high in self._offsets(topic))

    def values(self, topic: str) -> list[bytes]:
        """Return the values of all records of a topic."""
        found: list[bytes] = []
        wanted = self.ends(topic)
        with _reader(self.kafka) as consumer:
            partitions = consumer.list_topics(topic).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            while len(found) < wanted:
                chunk = consumer.consume(1_000, _PATIENCE_S)
                if not chunk:
                    raise RuntimeError(f"{len(found)} of {wanted} records of {topic} could be read")
                found += [record.value() or b"" for record in chunk]
        return found

    def _offsets(self, topic: str) -> list[tuple[int, int]]:
        with _reader(self.kafka) as consumer:
            partitions = consumer.list_topics(topic).topics[topic].partitions
            return [consumer.get_watermark_offsets(TopicPartition(topic, each)) for each in partitions]


@contextmanager
def services(partitions: int, broker: str | None = None) -> Iterator[Services]:
    """Start Redis, and Kafka unless there is a ``broker``; input topics have ``partitions``.

    On a broker that was there before, the topics and groups that a run has made are deleted in the end.
    """
    tag = f"driftstream-bench-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="driftstream-bench-")))
        if broker is None:
            own = stack.enter_context(EmbeddedKafka())
            kafka = Broker(own.bootstrap_servers, own.title)
        else:
            kafka = Broker(broker, f"Kafka at {broker}")
            stack.callback(_delete, kafka, tag)
        yield Services(kafka, stack.enter_context(EmbeddedRedis()), directory, tag, partitions)


def records(load: Workload) -> Iterator[Record]:
    """Records as a producer sends them: keyed by id, Kafka chooses the partition."""
    return ((key, value, -1) for key, value in zip(load.ids, load.values, strict=True))


def fill(services: Services, topic: str, given: Iterable[Record], compression: str = "none") -> None:
    """Produce records to a new topic and wait until all of them are there."""
    producer = Producer(
        {
            **services.kafka.client,
            "compression.type": compression,
            "enable.idempotence": True,
            "linger.ms": 50,
            "queue.buffering.max.messages": 500_000,
        }
    )
    sent = 0
    for key, value, partition in given:
        while True:
            try:
                producer.produce(topic, key=key, value=value, partition=partition)
                break
            except BufferError:
                producer.poll(_FULL_QUEUE_POLL_S)
        sent += 1
    producer.flush(_PATIENCE_S)
    arrived = services.ends(topic)
    if arrived != sent:
        raise RuntimeError(f"{arrived} of {sent} records are in {topic}: is the broker full or too slow?")


@contextmanager
def _reader(kafka: Broker) -> Iterator[Consumer]:
    consumer = Consumer({**kafka.client, "group.id": "driftstream-bench", "enable.auto.commit": False})
    try:
        yield consumer
    finally:
        consumer.close()


def _delete(kafka: Broker, tag: str) -> None:
    admin = AdminClient(kafka.client)
    topics = [name for name in admin.list_topics(timeout=_PATIENCE_S).topics if tag in name]
    for done in admin.delete_topics(topics).values() if topics else ():
        done.result()
    listed = admin.list_consumer_groups().result().valid
    groups = [each.group_id for each in listed if tag in each.group_id]
    for done in admin.delete_consumer_groups(groups).values() if groups else ():
        done.exception()  # one that a killed peer has left is deleted by the broker itself
