from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from stream.dead_letter_queue import DeadLetterQueue
from stream.dead_letters import PREFIX, SHORT_VALUE, dead_letter
from stream.embedded import EmbeddedKafka
from stream.errors import DependencyError
from stream.messages import Message
from stream.sinks import KafkaSink, OutboxDrain

pytestmark = pytest.mark.services


@pytest.fixture
def sink(kafka: EmbeddedKafka) -> Iterator[KafkaSink]:
    config = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": 5_000,
        "linger.ms": 0,
    }
    sink = KafkaSink(Producer(config))
    yield sink
    assert sink.close(timeout_s=10) == 0


def deliver(sink: KafkaSink, messages: list[Message]) -> None:
    queue = DeadLetterQueue(sink, timeout_s=20)
    queue.send(messages)
    queue.confirm()
    assert len(queue) == 0


def read(kafka: EmbeddedKafka, topic: str, count: int) -> list[Record]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reader", "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    records: list[Record] = []
    while len(records) < count:
        record = consumer.poll(20)
        assert record is not None, f"{len(records)} of {count} records of {topic} arrived"
        assert record.error() is None
        records.append(record)
    consumer.close()
    return records


def raise_limit(kafka: EmbeddedKafka, topic: str) -> None:
    entry = ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def drained(drain: OutboxDrain) -> None:
    """Serve delivery reports until nothing is under way."""
    for _ in range(2_000):
        if not len(drain):
            return
        drain.sink.wait(0.01)
    pytest.fail("messages are still under way")


def test_delivered_means_readable(
    kafka: EmbeddedKafka, sink: KafkaSink, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("out")
    sent = [Message(topic, b"k", str(n).encode(), [("id", b"7"), ("none", None)]) for n in range(50)]
    deliver(sink, sent)
    records = read(kafka, topic, 50)
    assert [record.value() for record in records] == [message.value for message in sent]
    assert records[0].headers() == [("id", b"7"), ("none", None)]


def test_what_kafka_refuses_is_kept_until_it_takes_it(
    kafka: EmbeddedKafka, sink: KafkaSink, make_topic: Callable[..., str]
) -> None:
    """Without room for even the shortened letter nothing may commit; with it all arrive, each once."""
    topic = make_topic("small", config={"max.message.bytes": "1000"})
    queue = DeadLetterQueue(sink, timeout_s=20)
    queue.send([Message(topic, None, b"small"), Message(topic, None, random.Random(1).randbytes(20_000))])
    with pytest.raises(DependencyError, match=f"{topic}: 1 records refused"):
        queue.confirm()
    assert len(queue) == 1
    raise_limit(kafka, topic)
    queue.confirm()
    assert len(queue) == 0
    sizes = sorted(len(record.value() or b"") for record in read(kafka, topic, 2))
    assert sizes in ([5, 20_000], [5, SHORT_VALUE])


def test_an_outbox_knows_up_to_where_it_was_delivered(
    kafka: EmbeddedKafka, sink: KafkaSink, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("outbox")
    drain = OutboxDrain(sink)
    assert drain.delivered_to is None
    drain.send([(n, Message(topic, b"m", str(n).encode())) for n in range(5, 12)])
    drained(drain)
    assert drain.delivered_to == 11
    assert [record.value() for record in read(kafka, topic, 7)] == [str(n).encode() for n in range(5, 12)]


def test_a_refused_message_stays_and_holds_the_trim_back(
    kafka: EmbeddedKafka, sink: KafkaSink, make_topic: Callable[..., str]
) -> None:
    good, small = make_topic("good"), make_topic("small", config={"max.message.bytes": "1000"})
    drain = OutboxDrain(sink)
    drain.send([(1, Message(good, None, b"1"))])
    drained(drain)
    drain.send([(2, Message(small, None, b"x" * 5_000)), (3, Message(good, None, b"3"))])
    for _ in range(2_000):
        sink.wait(0.01)
        if drain.refused:
            break
    assert drain.refused == 1
    assert drain.delivered_to == 1
    raise_limit(kafka, small)
    for _ in range(200):
        drain.retry()
        sink.wait(0.05)
        if not len(drain):
            break
    assert drain.delivered_to == 3


def test_a_dead_letter_keeps_bytes_key_and_headers(
    kafka: EmbeddedKafka, sink: KafkaSink, make_topic: Callable[..., str]
) -> None:
    topic, dlq = make_topic("in"), make_topic("in.dlq")
    deliver(sink, [Message(topic, b"\xff\xfe", b"\x00not json", [("trace", b"abc")])])
    (poison,) = read(kafka, topic, 1)
    letter = dead_letter(poison, dlq_topic=dlq, reason="not_json", detail="line 1")
    deliver(sink, [letter])
    (dead,) = read(kafka, dlq, 1)
    assert (dead.key(), dead.value()) == (b"\xff\xfe", b"\x00not json")
    headers = dict(dead.headers() or [])
    assert headers["trace"] == b"abc"
    assert headers[PREFIX + "id"] == f"{topic}-0-0".encode()
    assert headers[PREFIX + "reason"] == b"not_json"
    assert headers[PREFIX + "offset"] == b"0"
