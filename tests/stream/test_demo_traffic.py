from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stream.demo.seen import SeenAlert
from stream.demo.serving import Event
from stream.demo.story import WINDOW_MS, Story
from stream.demo.traffic import AHEAD_WINDOWS, Traffic
from stream.demo.watching import Watching
from stream.embedded import MockKafka
from stream.settings.configuration import Settings, parse_settings

STORY = Story(1_760_000_000_000)
FAST = 1e6


@pytest.fixture
def settings() -> Iterator[Settings]:
    with MockKafka() as mock:
        settings = parse_settings(
            {"kafka": {"bootstrap.servers": mock.bootstrap_servers}, "redis": {"url": "redis://127.0.0.1:1"}}
        )
        mock.create_topics(dict.fromkeys(settings.topics.all, 1))
        yield settings


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def events(windows: int) -> list[Event]:
    starts = range(STORY.start_ms, STORY.start_ms + windows * WINDOW_MS, WINDOW_MS)
    return [Event("inference", b"k", str(ms).encode(), ms) for ms in starts] + [
        Event("labels", b"k", b"label", starts[-1])
    ]


def length(settings: Settings, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": "length"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1])
    finally:
        consumer.close()


def test_every_event_is_sent_and_counted_when_acknowledged(settings: Settings) -> None:
    with Traffic(settings, STORY, events(5), evaluated_ms=lambda: 0, speed=FAST) as traffic:
        wait_for(lambda: traffic.ended)
        assert traffic.sent == {"inference": 5, "labels": 1}
    assert (length(settings, "inference"), length(settings, "labels")) == (5, 1)


def test_sender_waits_for_what_is_evaluated(settings: Settings) -> None:
    evaluated_ms = 0
    story = events(40)
    with Traffic(settings, STORY, story, evaluated_ms=lambda: evaluated_ms, speed=FAST) as traffic:
        wait_for(lambda: traffic.sent["inference"] == AHEAD_WINDOWS + 1)
        assert traffic.at_ms == STORY.start_ms + AHEAD_WINDOWS * WINDOW_MS
        evaluated_ms = STORY.end_ms(40)
        wait_for(lambda: traffic.ended)
    assert traffic.sent["inference"] == 40


def test_sender_that_waits_ends_with_its_context(settings: Settings) -> None:
    with Traffic(settings, STORY, events(40), evaluated_ms=lambda: 0, speed=FAST) as traffic:
        wait_for(lambda: traffic.sent["inference"] == AHEAD_WINDOWS + 1)
    assert not traffic.ended


def record(window: int) -> dict[str, Any]:
    own = {"source": "inference", "window_end_ms": STORY.end_ms(window), "n": 250, "revision": 0}
    return own | {"status": "ok", "drifted": []}


def alert(status: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "data_drift", "severity": "ticket"},
        "fingerprint": "incident",
        "evidence": {"incident_features": ["f1"], "window_start_ms": 0, "window_end_ms": STORY.end_ms(1)},
    }


def test_windows_and_alerts_are_read_to_the_end(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    told: list[SeenAlert] = []
    with Watching(settings, on_alert=told.append) as watching:
        producer.produce("drift.metrics", json.dumps(record(0)))
        for ce_id, status in (("a", "firing"), ("a", "firing"), ("b", "resolved")):
            producer.produce("drift.alerts", json.dumps(alert(status)), headers=[("ce_id", ce_id)])
        producer.flush()
        wait_for(lambda: watching.evaluated_ms == STORY.end_ms(0))
        for window in range(1, 200):
            producer.produce("drift.metrics", json.dumps(record(window)))
        producer.flush()
        watching.drain()
    assert watching.counted() == {"inference": 200 * 250, "labels": 0}
    assert [each.status for each in told] == ["firing", "resolved"]
    assert watching.first_alert is not None
    assert watching.failure is None


def test_record_that_is_not_ours_is_a_failure_not_silence(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    with Watching(settings, on_alert=print) as watching:
        producer.produce("drift.metrics", "{}")
        producer.flush()
        wait_for(lambda: watching.failure is not None)
