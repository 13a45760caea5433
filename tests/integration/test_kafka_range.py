"""Stretches of topics read once, and references built from them by the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

from detectors import Reference
from stream.cli import app
from stream.embedded import EmbeddedKafka
from stream.errors import DependencyError
from stream.learning.kafka_range import RangeReader, Stretch
from stream.row_events import column_times, inference_events, rfc3339
from stream.row_labels import label_events
from stream.rows import Roles, read_rows
from stream.settings.configuration import Settings, parse_settings

pytestmark = pytest.mark.services
HOUR_MS = 3_600_000


def settings_of(kafka: EmbeddedKafka, **topics: str) -> Settings:
    return parse_settings(
        {
            "kafka": {"bootstrap.servers": kafka.bootstrap_servers},
            "redis": {"url": "redis://127.0.0.1:1/0"},
            "topics": topics,
        }
    )


def produce(kafka: EmbeddedKafka, topic: str, records: list[tuple[int, bytes]], first_ms: int = 0) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5})
    for i, (partition, value) in enumerate(records):
        producer.produce(topic, value, partition=partition, timestamp=first_ms + i if first_ms else 0)
    assert producer.flush(30) == 0


def test_a_stretch_is_read_from_its_first_to_before_its_last_offset(
    kafka: EmbeddedKafka, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("range", partitions=3)
    produce(kafka, topic, [(i % 3, b"%d" % i) for i in range(3_000)])
    with RangeReader(settings_of(kafka, inference=topic)) as reader:
        bounds = sorted(reader.bounds(topic))
        assert bounds == [Stretch(topic, partition, 0, 1_000) for partition in range(3)]
        stretches = [
            Stretch(topic, 0, 10, 500),
            Stretch(topic, 1, 1_000, 1_000),
            Stretch(topic, 2, 999, 1_000),
        ]
        read = [int(record.value() or b"") for records in reader.read(stretches) for record in records]
        assert sorted(read) == [*range(30, 1_500, 3), 2_999]
        again = [record for records in reader.read([Stretch(topic, 1, 0, 5)]) for record in records]
        assert [record.offset() for record in again] == [0, 1, 2, 3, 4]
        assert list(reader.read(stretches, unless=lambda: True)) == []


def test_a_stretch_can_begin_at_a_record_time(kafka: EmbeddedKafka, make_topic: Callable[..., str]) -> None:
    topic, now_ms = make_topic("range"), time.time_ns() // 1_000_000
    produce(kafka, topic, [(0, b"x")] * 100, first_ms=now_ms)
    with RangeReader(settings_of(kafka, inference=topic)) as reader:
        whole = reader.bounds(topic)
        assert reader.since(whole, now_ms + 40) == [Stretch(topic, 0, 40, 100)]
        assert reader.since(whole, now_ms + HOUR_MS) == [Stretch(topic, 0, 100, 100)]
        assert reader.since(whole, 0) == whole


def test_offsets_that_are_gone_and_topics_that_are_not_there_are_told(
    kafka: EmbeddedKafka, make_topic: Callable[..., str]
) -> None:
    topic = make_topic("range")
    produce(kafka, topic, [(0, b"x")] * 5)
    with RangeReader(settings_of(kafka, inference=topic)) as reader:
        with pytest.raises(DependencyError, match="cannot be read"):
            list(reader.read([Stretch(topic, 0, 50, 60)]))
        with pytest.raises(DependencyError, match="nobody-made-this"):
            reader.bounds("nobody-made-this")


# ---- the command line


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng, n = np.random.default_rng(9), 4_000
    start_ms = (time.time_ns() // 1_000_000 - 20 * HOUR_MS) // HOUR_MS * HOUR_MS
    score = rng.beta(2, 5, n)
    pl.DataFrame(
        {
            "at": start_ms + np.arange(n) * 10_000,
            "income": rng.lognormal(10, 0.4, n),
            "region": rng.choice(["north", "south"], n),
            "debt": [None if u < 0.1 else float(u) for u in rng.random(n)],
            "class": np.where(score > 0.3, "bad", "good"),
            "p": score,
            "truth": np.where(rng.random(n) < score, "bad", "good"),
        }
    ).write_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.fixture
def config(tmp_path: Path, kafka: EmbeddedKafka, make_topic: Callable[..., str]) -> Path:
    path = tmp_path / "driftstream.yaml"
    document = {
        "kafka": {"bootstrap.servers": kafka.bootstrap_servers},
        "redis": {"url": "redis://127.0.0.1:1/0"},
        "topics": {"inference": make_topic("inference", 4), "labels": make_topic("labels", 2)},
        "defaults": {"window": "10m", "slide": "10m"},
        "models": {"m": {"learn": "24h"}},
    }
    path.write_text(yaml.safe_dump(document))
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def emitted(kafka: EmbeddedKafka, config: Path, rows: Path, **event: str | None) -> int:
    """Send the rows' events and labels to the topics, over all partitions; the first event time."""
    topics = yaml.safe_load(config.read_text())["topics"]
    table = read_rows(rows)
    roles = Roles.of(table, timestamp="at", prediction="class", score="p", label="truth")
    times = column_times(table, "at")
    events = list(inference_events(table, roles, times, model="m", version=event.get("version")))
    labels = [record for record in label_events(table, roles, times, model="m") if record]
    produce(kafka, topics["inference"], [(i % 4, record.value) for i, record in enumerate(events)])
    produce(kafka, topics["labels"], [(i % 2, record.value) for i, record in enumerate(labels)])
    return int(times.ms[0])


BUILD = ("reference", "build", "--model", "m")
ROLES = ("--timestamp", "at", "--prediction", "class", "--score", "p", "--label", "truth")


def test_events_of_the_stream_build_the_reference_of_the_rows(
    kafka: EmbeddedKafka, config: Path, rows: Path, tmp_path: Path
) -> None:
    start_ms = emitted(kafka, config, rows, version="v1")
    from_file, from_kafka, part = (tmp_path / name for name in ("file.json", "kafka.json", "part.json"))
    options = ("--model-version", "v1", "--input", rows, *ROLES, "--window", "10m", "--slide", "10m")
    assert run(*BUILD, *options, "--output", from_file).exit_code == 0
    built = run(*BUILD, "--from-kafka", "--config", config, "--output", from_kafka)
    assert built.exit_code == 0, built.output
    assert "m v1" in built.output
    assert from_kafka.read_text() == from_file.read_text()

    span = ("--from", rfc3339(start_ms), "--to", rfc3339(start_ms + 5 * HOUR_MS))
    assert run(*BUILD, "--from-kafka", *span, "--config", config, "--output", part).exit_code == 0
    assert Reference.from_json(part.read_text()).counts.n == 5 * 360
    latest = run(*BUILD, "--from-kafka", "--last", "100h", "--config", config, "--output", part)
    assert latest.exit_code == 0, latest.output
    assert part.read_text() == from_file.read_text()


def test_versions_are_told_apart_or_named(
    kafka: EmbeddedKafka, config: Path, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    from_kafka = (*BUILD, "--from-kafka", "--config", config, "--output", out)
    nothing = run(*from_kafka)
    assert "has no events of model 'm' in this range" in str(nothing.exception or nothing.output)
    emitted(kafka, config, rows)
    assert "say which with --model-version" in str(run(*from_kafka).exception)
    assert run(*from_kafka, "--model-version", "v0").exit_code == 0
    assert Reference.from_json(out.read_text()).version == "v0"
    emitted(kafka, config, rows, version="v2")
    several = str(run(*from_kafka).exception)
    assert "several versions: " in several
    assert "v2 (4000)" in several
    assert run(*from_kafka, "--model-version", "v2").exit_code == 0
    assert Reference.from_json(out.read_text()).version == "v2"
    assert "known: v2" in str(run(*from_kafka, "--model-version", "v3").exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from-kafka", "--input", "x.csv"), "--input is of --input, not of --from-kafka"),
        (("--from-kafka", "--last", "1h", "--to", "2026-01-01"), "--last 1h and --from or --to both say"),
        (("--from-kafka", "--from", "2026-01-02", "--to", "2026-01-01"), "is not later than --from"),
        (("--from-kafka", "--last", "soon"), "--last 'soon'"),
        (("--last", "1h", "--input", "x.csv", "--model-version", "1"), "--last is of --from-kafka"),
        (("--model-version", "1"), "--input is missing: give it, or --from-kafka"),
        (("--input", "x.csv"), "--model-version is missing"),
    ],
)
def test_options_that_do_not_fit_are_refused(config: Path, options: tuple[str, ...], message: str) -> None:
    refused = run(*BUILD, *options, "--output", config.parent / "r.json")
    assert refused.exit_code != 0
    assert message in str(refused.exception)


def test_events_too_few_for_a_reference(kafka: EmbeddedKafka, config: Path, tmp_path: Path) -> None:
    topics = yaml.safe_load(config.read_text())["topics"]
    lone = {"prediction_id": "1", "model": "m", "version": "v1", "features": {"x": 1}}
    produce(kafka, topics["inference"], [(0, json.dumps(lone).encode())])
    refused = run(*BUILD, "--from-kafka", "--config", config, "--output", tmp_path / "r.json")
    assert "no reference of m v1: 1 events, at least 2 are needed; take a longer range" in str(
        refused.exception
    )
