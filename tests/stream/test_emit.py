from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.embedded import MockKafka
from stream.emit import Emitter
from stream.events import InferenceEvent

PARTITIONS = 4
NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with MockKafka() as mock:
        mock.create_topics({"inference": PARTITIONS, "labels": PARTITIONS})
        yield mock.bootstrap_servers


def consume(broker: str, topic: str, ids: set[str]) -> dict[str, tuple[int, dict[str, Any]]]:
    """Partition and event of each of ``ids`` on ``topic``."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    deadline = time.monotonic() + 20
    while ids - found.keys() and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None and message.key().decode() in ids:
            found[message.key().decode()] = (message.partition(), json.loads(message.value()))
    consumer.close()
    return found


def sent(broker: str, **fields: Any) -> dict[str, Any]:
    """The event that arrives for ``fields``."""
    identity = os.urandom(8).hex()
    with Emitter(bootstrap_servers=broker) as emitter:
        emitter.emit(prediction_id=identity, model="loan", **fields)
        assert emitter.flush() == 0
        assert emitter.counts == (1, 0, 0)
    return consume(broker, "inference", {identity})[identity][1]


def test_an_event_arrives_as_the_schema_says(broker: str) -> None:
    event = sent(
        broker, version="v2", features={"age": 41, "home": "RENT"}, score=0.7, measures={"latency_ms": 3}
    )
    assert abs(event["ts"] - time.time() * 1000) < 60_000
    decoded = msgspec.convert(event, InferenceEvent)
    assert (decoded.version, decoded.score, decoded.measures) == ("v2", 0.7, {"latency_ms": 3.0})
    assert decoded.features == {"age": 41, "home": "RENT"}


def test_numpy_scalars_and_numbers_that_json_does_not_have(broker: str) -> None:
    event = sent(
        broker,
        features={
            "a": np.float64(1.5), "b": np.float32(2.5), "c": np.int64(3), "d": np.bool_(True),
            "e": np.str_("x"), "f": float("nan"), "g": np.float32("inf"), "h": None, "i": True,
        },
        prediction=np.int64(1),
        score={"yes": np.float64(0.25), "no": float("nan")},
        ts=datetime(2026, 11, 21, 12, tzinfo=UTC),
    )  # fmt: skip
    assert event["features"] == {
        "a": 1.5, "b": 2.5, "c": 3, "d": True, "e": "x", "f": None, "g": "Infinity", "h": None, "i": True,
    }  # fmt: skip
    assert (event["prediction"], event["score"]) == (1, {"yes": 0.25, "no": None})
    assert event["ts"] == "2026-11-21T12:00:00Z"


def test_a_label_lands_in_the_partition_number_of_its_event(broker: str) -> None:
    ids = {os.urandom(8).hex() for _ in range(20)}
    with Emitter(bootstrap_servers=broker) as emitter:
        for identity in ids:
            emitter.emit(prediction_id=identity, model="loan", features={"age": 1})
            emitter.label(
                prediction_id=identity, model="loan", label="good", value=np.float64(2.5), source="crm"
            )
    assert emitter.counts == (40, 0, 0)
    events, labels = consume(broker, "inference", ids), consume(broker, "labels", ids)
    assert {name: place for name, (place, _) in events.items()} == {
        name: place for name, (place, _) in labels.items()
    }
    assert len({place for place, _ in events.values()}) > 1
    label = next(iter(labels.values()))[1]
    assert (label["label"], label["value"], label["source"]) == ("good", 2.5, "crm")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prediction_id": ""}, "prediction_id: Expected `str` of length >= 1"),
        ({"prediction_id": 7}, "prediction_id: Expected `str`, got `int`"),
        ({"model": None}, "model: Expected `str`, got `null`"),
        ({"version": 2}, "version: Expected"),
        ({"features": {"age": [1]}}, r"features\['age'\] is a list"),
        ({"features": {"age": np.zeros(2)}}, r"features\['age'\] is a ndarray"),
        ({"features": {3: 1}}, "features"),
        ({"features": "age"}, "features: Expected"),
        ({"score": {"yes": "high"}}, "score"),
        ({"prediction": object()}, "prediction is a object"),
        ({"ts": datetime(2026, 11, 21)}, "ts: 2026-11-21T00:00:00 has no time zone"),  # noqa: DTZ001
        ({"ts": "yesterday"}, "ts: Invalid RFC3339"),
        ({"weight": -1}, "weight: Expected `float` > 0"),
        ({"status": "fine"}, "status: Invalid enum value 'fine'"),
        ({"colour": "red"}, "colour is no field: take one of prediction_id, "),
    ],
)
def test_a_wrong_field_raises_and_is_named(fields: dict[str, Any], message: str) -> None:
    emitter = Emitter(bootstrap_servers=NOBODY)
    given = {"prediction_id": "p", "model": "m"} | fields
    with pytest.raises(ValueError, match=message):
        emitter.emit(**given)
    emitter.close()
    assert emitter.counts == (0, 0, 0)


def test_a_full_queue_drops_the_newest_and_never_waits() -> None:
    emitter = Emitter(bootstrap_servers=NOBODY, queue=10, close_timeout_ms=50)
    started = time.monotonic()
    for number in range(100):
        emitter.emit(prediction_id=str(number), model="m", features={"age": number})
    assert time.monotonic() - started < 5
    assert emitter.dropped == 90
    started = time.monotonic()
    emitter.close()
    assert time.monotonic() - started < 5
    emitter.emit(prediction_id="late", model="m")
    assert emitter.dropped == 91


def test_what_kafka_cannot_take_is_counted_as_failed() -> None:
    emitter = Emitter(bootstrap_servers=NOBODY, properties={"message.max.bytes": 1_000}, close_timeout_ms=50)
    emitter.emit(prediction_id="p", model="m", features={"text": "x" * 2_000})
    assert emitter.failed == 1
    emitter.close()


def test_events_that_are_not_delivered_in_time_are_counted_as_failed() -> None:
    with Emitter(bootstrap_servers=NOBODY, properties={"message.timeout.ms": 100}) as emitter:
        emitter.emit(prediction_id="p", model="m")
        assert emitter.flush(10_000) == 0
        assert (emitter.delivered, emitter.failed) == (0, 1)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="queue is 0"):
        Emitter(bootstrap_servers=NOBODY, queue=0)
    emitter = Emitter(bootstrap_servers=NOBODY, properties={"lingr.ms": 1})
    with pytest.raises(ValueError, match="lingr"):
        emitter.emit(prediction_id="p", model="m")
    emitter.close()


FORKING = """
import os, sys
from stream.emit import Emitter
emitter = Emitter(bootstrap_servers=sys.argv[1])
emitter.emit(prediction_id="parent-" + sys.argv[2], model="m")
emitter.flush()
child = os.fork()
emitter.emit(prediction_id=("child-" if child == 0 else "after-") + sys.argv[2], model="m")
if child == 0:
    sys.exit(0 if emitter.flush() == 0 and emitter.counts == (1, 0, 0) else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_sends_its_own_events_and_exit_delivers_the_rest(broker: str) -> None:
    mark = os.urandom(4).hex()
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, broker, mark], check=True, timeout=60, cwd=root
    )
    ids = {f"{who}-{mark}" for who in ("parent", "child", "after")}
    assert consume(broker, "inference", ids).keys() == ids
