"""The Kafka and Redis of a benchmark, topics with the workload in them, and the worker's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from confluent_kafka import Producer

from benchmarks.workload import MODEL, Workload
from detectors import Reference
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.settings.sections import TopicSettings

TOPIC = "inference"
_FULL_QUEUE_POLL_S = 0.1


@dataclass(frozen=True)
class Services:
    """Running services and the directory for what a run needs."""

    kafka: EmbeddedKafka
    redis: EmbeddedRedis
    directory: Path

    @property
    def reference_path(self) -> Path:
        """The reference of the workload, once a run is configured."""
        return self.directory / "reference.json"

    def configure(self, name: str, reference: Reference) -> Path:
        """Write the configuration of a run that starts from nothing, and its reference; return its path.

        All is as shipped: what is not about where things are is left at its default.
        """
        self.reference_path.write_text(reference.to_json())
        config = {
            "kafka": {"bootstrap.servers": self.kafka.bootstrap_servers},
            "redis": {"url": self.redis.url, "prefix": name},
            "consumer": {"group": name},
            "metrics": {"port": 0},
            "models": {MODEL: {"references": [self.reference_path.name]}},
        }
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


@contextmanager
def services(partitions: int) -> Iterator[Services]:
    """Start Kafka and Redis, with every topic of a default configuration; the inputs have ``partitions``."""
    names = TopicSettings()
    with (
        TemporaryDirectory(prefix="driftstream-bench-") as directory,
        EmbeddedKafka() as kafka,
        EmbeddedRedis() as redis,
    ):
        kafka.create_topics({topic: partitions if topic in names.inputs else 1 for topic in names.all})
        yield Services(kafka, redis, Path(directory))


def fill(services: Services, load: Workload, compression: str) -> None:
    """Produce the workload to the inference topic, keyed by id, and wait until all of it is there."""
    failures: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": services.kafka.bootstrap_servers,
            "compression.type": compression,
            "enable.idempotence": True,
            "linger.ms": 50,
            "log_level": 3,  # a broker that has just started makes the producer try twice, and warn
        }
    )

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failures.append(error)

    for key, value in zip(load.ids, load.values, strict=True):
        while True:
            try:
                producer.produce(TOPIC, key=key, value=value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(_FULL_QUEUE_POLL_S)
        producer.poll(0)
    left = producer.flush(60.0)
    if left or failures:
        raise RuntimeError(f"{left + len(failures)} events did not reach Kafka: {failures[:1]}")
