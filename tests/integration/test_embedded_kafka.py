from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream.embedded import EmbeddedKafka
from stream.embedded.ports import accepts
from stream.errors import ConfigError, DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.services


def produce(kafka: EmbeddedKafka, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for number in range(count):
        producer.produce(topic, str(number))
    assert producer.flush(30) == 0


def consume(kafka: EmbeddedKafka, topic: str, count: int) -> set[int]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"read-{topic}",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    seen: list[int] = []
    while len(seen) < count:
        seen += [
            int(message.value() or b"") for message in consumer.consume(count, 0.1) if message.error() is None
        ]
    consumer.close()
    return set(seen)


def test_topic_has_its_partitions_and_carries_messages(
    kafka: EmbeddedKafka, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("carry", partitions=8)
    produce(kafka, topic, 200)
    assert consume(kafka, topic, 200) == set(range(200))
    seen = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(topic, 10).topics[topic]
    assert len(seen.partitions) == 8


def test_topic_that_exists_is_refused_by_name(kafka: EmbeddedKafka, make_topic: Callable[..., str]) -> None:
    topic = make_topic("twice")
    with pytest.raises(DependencyError, match=f"topic '{topic}' cannot be created: .*already exists"):
        kafka.create_topics({topic: 1})


def test_kill_and_stop_keep_data_and_port_and_close_leaves_nothing(kafka_parts: list[Path]) -> None:
    with EmbeddedKafka() as kafka:
        kafka.create_topics({"kept": 2})
        produce(kafka, "kept", 50)
        address, first = kafka.bootstrap_servers, kafka.pid
        kafka.kill()
        assert not kafka.running
        kafka.start()
        assert kafka.bootstrap_servers == address
        assert kafka.pid != first
        assert consume(kafka, "kept", 50) == set(range(50))
        kafka.restart()
        produce(kafka, "kept", 1)
        last = kafka.pid
    assert last is not None
    assert not psutil.pid_exists(last)
    assert not kafka.directory.exists()
    assert not any(accepts(port) for port in kafka.ports.values())


def test_kept_directory_opens_again_on_other_ports(kafka_parts: list[Path], tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path, properties={"log.retention.hours": "1"}) as first:
        first.create_topics({"kept": 1})
        produce(first, "kept", 5)
        assert "log.retention.hours=1" in (tmp_path / "server.properties").read_text()
    with EmbeddedKafka(tmp_path) as second:
        assert consume(second, "kept", 5) == set(range(5))
    assert (tmp_path / "kafka.log").exists()


def test_server_that_cannot_start_says_why_in_one_line(kafka_parts: list[Path]) -> None:
    kafka = EmbeddedKafka(properties={"log.segment.bytes": "none"})
    with pytest.raises(
        DependencyError, match=r"cannot format its data directory: .*log\.segment\.bytes"
    ) as caught:
        kafka.start()
    assert "\n" not in str(caught.value)
    kafka.close()
    assert not kafka.directory.exists()


def test_further_listener_asks_for_a_password(kafka_parts: list[Path]) -> None:
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    properties = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": login,
    }
    user = ["--add-scram", "SCRAM-SHA-512=[name=ada,password=right]"]
    with EmbeddedKafka(listeners=["SASL_PLAINTEXT"], properties=properties, format_options=user) as kafka:
        client: dict[str, str | int] = {
            "bootstrap.servers": kafka.listener("SASL_PLAINTEXT"),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "ada",
            "log_level": 0,
        }
        seen = AdminClient({**client, "sasl.password": "right"}).list_topics(timeout=10)
        assert seen.cluster_id == kafka.cluster_id
        with pytest.raises(KafkaException):
            AdminClient({**client, "sasl.password": "wrong"}).list_topics(timeout=2)


def test_unknown_listener_is_refused() -> None:
    with pytest.raises(ConfigError, match="listener 'TLS' is none of SSL, SASL_PLAINTEXT, SASL_SSL"):
        EmbeddedKafka(listeners=["TLS"])
