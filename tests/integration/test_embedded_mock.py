from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from stream.embedded import MockKafka
from stream.errors import DependencyError


def test_topic_of_eight_partitions_carries_messages() -> None:
    with MockKafka() as mock:
        mock.create_topics({"events": 8})
        producer = Producer({"bootstrap.servers": mock.bootstrap_servers, "enable.idempotence": True})
        for number in range(800):
            producer.produce("events", str(number), partition=number % 8)
        assert producer.flush(30) == 0
        consumer = Consumer(
            {"bootstrap.servers": mock.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(["events"])
        seen: list[tuple[int | None, int]] = []
        while len(seen) < 800:
            batch = consumer.consume(800, 0.1)
            seen += [(message.partition(), int(message.value() or b"")) for message in batch]
        consumer.close()
    assert sorted(seen) == sorted((number % 8, number) for number in range(800))


def test_cluster_of_three_brokers() -> None:
    with MockKafka(brokers=3) as mock:
        seen = AdminClient({"bootstrap.servers": mock.bootstrap_servers}).list_topics(timeout=10)
        assert sorted(seen.brokers) == [1, 2, 3]


def test_topic_that_exists_is_refused_by_name() -> None:
    with MockKafka() as mock:
        mock.create_topics({"twice": 1})
        with pytest.raises(DependencyError, match="topic 'twice' cannot be created: it already exists"):
            mock.create_topics({"twice": 1})


def test_topics_need_a_started_cluster() -> None:
    with pytest.raises(DependencyError, match="the mock cluster is not started"):
        MockKafka().create_topics({"events": 1})
