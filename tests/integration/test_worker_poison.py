"""Records that are no events: each alone goes to the dead-letter topic, unchanged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from confluent_kafka import Message

from stream.dead_letters import SHORT_VALUE
from stream.embedded import EmbeddedKafka
from tests.integration.ledger import Ledger, event
from tests.integration.pipeline import Pipeline, eventually, header, send, synthetic_reference, values

pytestmark = pytest.mark.services


def dead_letters(pipeline: Pipeline, count: int) -> list[Message]:
    """Every dead letter, once all input is counted: ``count`` and not one more."""
    reader = pipeline.reader("inference.dlq")
    eventually(
        lambda: len(reader.poll()) >= count, lambda: f"{count} dead letters, got {len(reader.records)}"
    )
    assert len(reader.poll()) == count
    return reader.records


def test_one_bad_record_among_ten_thousand(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    ledger = Ledger(9_999)
    key, value = b"\xff\x00key", b'{"prediction_id": "1", "model": "m", "features": {'
    headers = [("trace", b"\xfe\x01"), ("twice", b"a"), ("twice", b"b"), ("none", None)]
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        producer, topic = pipeline.producer(), pipeline.topics["inference"]
        stream = ledger.stream()
        send(producer, topic, (next(stream) for _ in range(5_000)))
        producer.produce(topic, value, key, partition=3, headers=headers)
        send(producer, topic, stream)
        worker = pipeline.ready_worker()
        eventually(lambda: pipeline.total("events") >= 9_999, lambda: f"{pipeline.cursors()}")
        assert (pipeline.total("events"), pipeline.total("rejected")) == (9_999, 1)
        (letter,) = dead_letters(pipeline, 1)
        assert (letter.key(), letter.value()) == (key, value)
        assert (letter.headers() or [])[:4] == headers
        about = {
            name: header(letter, f"driftstream.errors.{name}") for name in ("topic", "partition", "reason")
        }
        assert about == {"topic": topic, "partition": "3", "reason": "not_json"}
        offset = header(letter, "driftstream.errors.offset")
        assert header(letter, "driftstream.errors.id") == f"{topic}-3-{offset}"
        assert header(letter, "driftstream.errors.stage") == "decode"
        assert header(letter, "driftstream.errors.exception.message")
        assert worker.metric("driftstream_events_rejected_total") == 1


def test_every_kind_of_poison_has_its_reason(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> None:
    ledger = Ledger(200)
    good = event(1, ledger.start_ms)
    deep = good.replace(b'"x":0.0', b'"x":' + b"[" * 5_000 + b"]" * 5_000)
    poison: dict[str, bytes | None] = {
        "empty": None,
        "not_utf8": good.replace(b'"c":"a"', b'"c":"\xff\xfe"'),
        "too_deep": deep,
        "too_large": good + b" " * 100_000,
        "not_an_object": b"[1, 2]",
        "missing_field": b'{"prediction_id": "1"}',
        "bad_timestamp": good.replace(str(ledger.start_ms).encode(), b'"yesterday"'),
        "future_timestamp": event(1, ledger.start_ms + 86_400_000),
        "not_json": b"\x00\x01\x02",
    }
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        limits={"record_bytes": "64KiB"},
    ) as pipeline:
        producer, topic = pipeline.producer(), pipeline.topics["inference"]
        worker = pipeline.ready_worker()
        for reason, value in poison.items():
            producer.produce(topic, value, reason.encode(), partition=0)
        send(producer, topic, ledger.stream())
        eventually(lambda: pipeline.total("events") >= 200, lambda: f"{pipeline.cursors()}")
        letters = dead_letters(pipeline, len(poison))
        assert {(letter.key() or b"").decode(): letter.value() for letter in letters} == poison
        reasons = [header(letter, "driftstream.errors.reason") for letter in letters]
        assert sorted(reasons) == sorted(poison)
        assert (pipeline.total("events"), pipeline.total("rejected")) == (200, len(poison))
        assert worker.process.poll() is None


def test_a_dead_letter_that_its_topic_refuses_does_not_stop_the_others(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    """A record just under the limit of its topic is over it with the headers that say why it is dead."""
    bad = random.Random(1).randbytes(1_048_300)  # does not compress
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        limits={"record_bytes": "512KiB"},
        dead_letter_bytes=1_048_588,
    ) as pipeline:
        producer, topic = pipeline.producer(), pipeline.topics["inference"]
        pipeline.ready_worker()
        producer.produce(topic, bad, b"key", partition=0)
        send(producer, topic, Ledger(100).stream())
        eventually(lambda: pipeline.total("events") >= 100, lambda: f"{pipeline.cursors()}")
        (letter,) = dead_letters(pipeline, 1)
        assert letter.key() == b"key"
        assert header(letter, "driftstream.errors.reason") == "too_large"
        assert header(letter, "driftstream.errors.value.bytes") == str(len(bad))
        assert letter.value() == bad[:SHORT_VALUE]


def test_a_flood_pauses_its_topic_tells_once_and_ends_by_itself(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str
) -> None:
    """Every record is counted or dead-lettered once, whatever the breaker does."""
    ledger, bad = Ledger(3_000), 3_000
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        errors={"flood_records": 200, "probe_every": "300ms"},
    ) as pipeline:
        producer, topic = pipeline.producer(), pipeline.topics["inference"]
        send(producer, topic, ((n % 8, b"no event") for n in range(bad)))
        worker, alerts = pipeline.worker(), pipeline.reader("alerts")
        paused = eventually(
            lambda: "paused" in (page := worker.get("/readyz"))[1] and page, lambda: worker.get("/readyz")
        )
        assert paused[0] == 503
        eventually(lambda: worker.metric("driftstream_dead_letter_flood") == 1, "the gauge of the flood")
        send(producer, topic, ledger.stream())
        eventually(lambda: pipeline.total("events") >= 3_000, lambda: f"{pipeline.cursors()}")
        eventually(lambda: len(alerts.poll()) >= 2, lambda: f"{alerts.records}")
        worker.await_ready()
        assert (pipeline.total("events"), pipeline.total("rejected")) == (3_000, bad)
        dead_letters(pipeline, bad)
        floods = [
            each for each in values(alerts.poll()) if each["labels"]["alertname"] == "dead_letter_flood"
        ]
        assert [each["status"] for each in floods] == ["firing", "resolved"]
        assert len({each["fingerprint"] for each in floods}) == 1
        assert floods[0]["labels"]["topic"] == topic
        assert floods[0]["evidence"]["rejected"].keys() == {"not_json"}
