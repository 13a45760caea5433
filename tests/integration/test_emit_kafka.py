"""What serving code emits is what the decoder reads, through an Apache Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from detectors.reference import Reference
from stream.codec import Block, JsonInferenceDecoder, JsonLabelDecoder
from stream.embedded import EmbeddedKafka
from stream.emit import Emitter

pytestmark = pytest.mark.services

EVENTS = 500
PARTITIONS = 3
AGES = np.arange(EVENTS) / 7
HOMES = ["RENT", "OWN", None, "CASTLE", "RENT"] * (EVENTS // 5)


def records(bootstrap: str, topic: str) -> list[tuple[int, bytes, bytes, int]]:
    """Partition, key, value and time of every record of ``topic``."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[tuple[int, bytes, bytes, int]] = []
    deadline = time.monotonic() + 60
    while len(found) < EVENTS and time.monotonic() < deadline:
        for message in consumer.consume(500, timeout=0.5):
            assert message.error() is None
            found.append((message.partition(), message.key(), message.value(), message.timestamp()[1]))
    consumer.close()
    return found


def column(block: Block, name: str) -> dict[str, float]:
    return dict(zip(block.ids, block.columns[name].tolist(), strict=True))


def test_events_and_labels_are_read_as_they_were_emitted(
    kafka: EmbeddedKafka, make_topic: Callable[..., str]
) -> None:
    topic, labels_topic = make_topic("inference", PARTITIONS), make_topic("labels", PARTITIONS)
    history = {"age": AGES, "home": ["RENT", "OWN"] * (EVENTS // 2), "truth": ["good", "bad"] * (EVENTS // 2)}
    reference = Reference.build(history, window_rows=100, label="truth", model="loan", version="v1")
    servers = kafka.bootstrap_servers
    with Emitter(bootstrap_servers=servers, topic=topic, labels_topic=labels_topic) as emitter:
        for number in range(EVENTS):
            features = {"age": AGES[number], "home": HOMES[number]}
            emitter.emit(prediction_id=f"p-{number}", model="loan", version="v1", features=features)
            emitter.label(prediction_id=f"p-{number}", model="loan", label="bad")
    assert emitter.counts == (2 * EVENTS, 0, 0)

    inference, labels = records(servers, topic), records(servers, labels_topic)
    assert {key: place for place, key, *_ in inference} == {key: place for place, key, *_ in labels}
    references = {("loan", "v1"): reference}
    values, times = [record[2] for record in inference], [record[3] for record in inference]
    batch = JsonInferenceDecoder(references).decode(values, times)
    (block,) = batch.blocks
    assert (batch.rejected, batch.unknown, batch.ts_fallbacks, len(block.rows)) == ([], {}, 0, EVENTS)
    assert column(block, "age") == {f"p-{number}": age for number, age in enumerate(AGES.tolist())}
    codes = reference.binning.lookup("home")
    assert column(block, "home") == {f"p-{number}": codes.get(home, -2) for number, home in enumerate(HOMES)}
    assert np.abs(block.ts_ms - np.array(times)[block.rows]).max() < 60_000
    (truth,) = JsonLabelDecoder(references).decode([record[2] for record in labels], times).blocks
    assert set(column(truth, "truth").values()) == {reference.binning.lookup("truth")["bad"]}
    assert sorted(truth.ids) == sorted(block.ids)
