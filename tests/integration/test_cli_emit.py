"""``driftstream emit`` against a broker: what arrives, when, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import typer
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from typer.testing import CliRunner, Result

from stream.cli.emit import emit
from stream.cli.pacing import Pace
from stream.errors import ConfigError, DependencyError
from stream.row_events import inference_events, paced_times
from stream.rows import Roles, RowRanges, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.embedded import EmbeddedKafka

HOUR_MS = 3_600_000
app = typer.Typer()
app.command()(emit)


@pytest.fixture(scope="module")
def mock_kafka() -> Iterator[str]:
    """Address of librdkafka's mock cluster; it creates topics on first use."""
    host = Producer({"test.mock.num.brokers": 1})
    (broker,) = host.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    host.flush(1)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    n = 400
    pl.DataFrame(
        {
            "x": [i / 7 for i in range(n)],
            "region": [f"r{i % 5}" for i in range(n)],
            "y": [None if i % 10 == 9 else i % 2 for i in range(n)],
        }
    ).write_parquet(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def summary_of(result: Result) -> dict[str, Any]:
    assert result.exception is None, result.exception
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@contextmanager
def reading(servers: str, topic: str) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "r", "auto.offset.reset": "earliest"})
    deadline = time.monotonic() + 30
    while not (partitions := consumer.list_topics(topic, timeout=10).topics[topic].partitions):
        assert time.monotonic() < deadline, f"topic {topic} never came"
        consumer.poll(0.1)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    try:
        yield consumer
    finally:
        consumer.close()


def consumed(servers: str, topic: str, count: int) -> list[Message]:
    """Every record of the topic: ``count`` of them, and not one more."""
    deadline, records = time.monotonic() + 30, list[Message]()
    with reading(servers, topic) as consumer:
        while len(records) < count and time.monotonic() < deadline:
            records += [record for record in consumer.consume(count, 0.2) if not record.error()]
        records += [record for record in consumer.consume(1, 0.3) if not record.error()]
    assert len(records) == count
    return records


def send_and_read(servers: str, topic: str, rows: Path) -> tuple[dict[str, Any], list[Message]]:
    to = ("--bootstrap-servers", servers, "--topic", topic, "--label", "y", "--output", "json")
    pick = ("--rows", "200:300,0:100", "--rate", "20", "--speedup", "100")
    result = run(rows, "--model", "m", "--model-version", "v2", *pick, *to)
    return summary_of(result), consumed(servers, topic, 200)


def assert_rows_arrived(summary: dict[str, Any], records: list[Message], rows: Path, now_ms: int) -> None:
    table = read_rows(rows, RowRanges.parse("200:300,0:100"))
    times = paced_times(200, 20, summary["first_ts_ms"])
    expected = list(inference_events(table, Roles.of(table, label="y"), times, model="m", version="v2"))
    assert sorted((r.key(), r.value(), r.timestamp()[1]) for r in records) == sorted(map(tuple, expected))
    assert {name: summary[name] for name in ("rows", "sent", "labels_sent", "failed")} == {
        "rows": 200,
        "sent": 200,
        "labels_sent": 0,
        "failed": 0,
    }
    assert (summary["first_ts_ms"], summary["last_ts_ms"]) == (expected[0].ts_ms, expected[-1].ts_ms)
    assert not summary["interrupted"]
    assert summary["first_ts_ms"] % HOUR_MS == 0
    assert now_ms - 2 * HOUR_MS < summary["last_ts_ms"] <= now_ms


def test_the_rows_arrive_as_their_events(mock_kafka: str, rows: Path) -> None:
    summary, records = send_and_read(mock_kafka, "arrive", rows)
    assert_rows_arrived(summary, records, rows, time.time_ns() // 1_000_000)
    assert len({record.partition() for record in records}) > 1
    assert summary["seconds"] >= 199 / 2000


@pytest.mark.services
def test_the_rows_arrive_on_apache_kafka(
    kafka: EmbeddedKafka, make_topic: Callable[..., str], rows: Path
) -> None:
    topic = make_topic("emitted", 8)
    summary, records = send_and_read(kafka.bootstrap_servers, topic, rows)
    assert_rows_arrived(summary, records, rows, time.time_ns() // 1_000_000)
    assert {record.partition() for record in records} == set(range(8))


@pytest.mark.services
def test_a_topic_that_apache_kafka_does_not_have_is_named(kafka: EmbeddedKafka, rows: Path) -> None:
    result = run(
        *(rows, "--model", "m", "--rate", "20", "--topic", "nowhere"),
        *("--bootstrap-servers", kafka.bootstrap_servers),
    )
    assert isinstance(result.exception, ConfigError)
    assert "topic 'nowhere' cannot be used on" in str(result.exception)


def test_labels_go_to_their_topic_after_their_predictions(mock_kafka: str, rows: Path) -> None:
    to = ("--bootstrap-servers", mock_kafka, "--topic", "predictions", "--labels-topic", "truth")
    label = ("--label", "y", "--label-delay", "30", "--start", "2026-01-01T00:00:00Z")
    result = run(
        *(rows, "--model", "m", "--rate", "1000", "--speedup", "max", "--rows", "0:100"),
        *(*to, *label, "--output", "json"),
    )
    summary = summary_of(result)
    assert (summary["sent"], summary["labels_sent"], summary["failed"]) == (100, 90, 0)
    labels = {record.key(): json.loads(record.value()) for record in consumed(mock_kafka, "truth", 90)}
    events = {record.key(): json.loads(record.value()) for record in consumed(mock_kafka, "predictions", 100)}
    assert set(labels) == {key for key in events if not key.endswith(b"9")}
    assert labels[b"rows:40"]["ts"] == events[b"rows:40"]["ts"] + 30
    assert labels[b"rows:95"]["ts"] == summary["last_ts_ms"]
    assert "y" not in events[b"rows:40"]["features"]
    assert "version" not in events[b"rows:40"]


def test_labels_without_a_topic_are_noted_and_kept_out(mock_kafka: str, rows: Path) -> None:
    to = ("--bootstrap-servers", mock_kafka, "--topic", "unlabelled", "--start", "2026-01-01T00:00:00Z")
    result = run(rows, "--model", "m", "--rate", "20", "--speedup", "0", "--label", "y", *to)
    assert result.exception is None
    assert "labels of column 'y' are not sent: give --labels-topic" in result.stderr
    assert result.stdout.startswith("400 of 400 events of m sent to unlabelled in ")
    assert result.stdout.endswith("event time 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:19.950Z\n")


def test_old_event_times_stay_in_the_event_and_leave_the_record_to_now(
    mock_kafka: str, tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_text("at,x\n2015-01-01T00:00:00Z,1\n2014-01-01T00:00:00Z,2\n")
    began_ms = time.time_ns() // 1_000_000
    to = ("--bootstrap-servers", mock_kafka, "--topic", "old")
    result = run(path, "--model", "m", "--rate", "20", "--timestamp", "at", *to)
    assert result.exception is None
    assert "goes back in time at 1 rows" in result.stderr
    assert "records carry the time of sending" in result.stderr
    records = consumed(mock_kafka, "old", 2)
    assert {json.loads(record.value())["ts"] for record in records} == {1_420_070_400_000, 1_388_534_400_000}
    assert all(record.timestamp()[1] >= began_ms for record in records)


def test_events_in_the_future_are_noted(mock_kafka: str, rows: Path) -> None:
    to = ("--bootstrap-servers", mock_kafka, "--topic", "future", "--start", "2999-01-01T00:00:00Z")
    result = run(rows, "--model", "m", "--rate", "20", "--speedup", "max", "--rows", "0:7", *to)
    assert "7 events lie in the future" in result.stderr


def test_the_configuration_says_where_kafka_is(mock_kafka: str, rows: Path, tmp_path: Path) -> None:
    config = tmp_path / "driftstream.yaml"
    config.write_text(
        f"kafka: {{bootstrap.servers: '{mock_kafka}'}}\n"
        "redis: {url: 'redis://127.0.0.1:6379/0'}\n"
        "topics: {inference: configured, labels: configured-labels}\n"
    )
    where = ("--config", config, "--output", "json")
    result = run(rows, "--model", "m", "--rate", "20", "--speedup", "max", "--label", "y", *where)
    summary = summary_of(result)
    assert (summary["topic"], summary["sent"], summary["labels_sent"]) == ("configured", 400, 360)


def test_without_kafka_the_two_ways_to_name_it_are_told(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(rows, "--model", "m", "--rate", "20")
    assert isinstance(result.exception, ConfigError)
    assert "give --bootstrap-servers HOST:PORT, or --config FILE" in str(result.exception)


def test_a_broker_that_is_not_there_is_a_dependency_error(rows: Path) -> None:
    began = time.monotonic()
    result = run(rows, "--model", "m", "--rate", "20", "--bootstrap-servers", "127.0.0.1:1")
    assert isinstance(result.exception, DependencyError)
    assert str(result.exception).startswith("cannot reach Kafka at 127.0.0.1:1: ")
    assert time.monotonic() - began < 15


def test_an_event_that_kafka_refuses_ends_with_exit_code_3(
    mock_kafka: str, rows: Path, tmp_path: Path
) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(
        f"kafka: {{bootstrap.servers: '{mock_kafka}', message.max.bytes: 1000}}\n"
        "redis: {url: 'redis://127.0.0.1:6379/0'}\n"
    )
    wide = tmp_path / "wide.jsonl"
    lines = [{"x": "a" * 2000 if i == 3 else "b"} for i in range(10)]
    wide.write_text("\n".join(map(json.dumps, lines)))
    result = run(
        *(wide, "--model", "m", "--rate", "20", "--speedup", "max", "--topic", "refused"),
        *("--config", config, "--output", "json"),
    )
    assert isinstance(result.exception, DependencyError)
    assert result.exception.exit_code == 3
    assert str(result.exception).startswith("1 events were not delivered: ")
    assert (json.loads(result.stdout)["sent"], json.loads(result.stdout)["failed"]) == (9, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rate", "0"], "--rate 0.0 must be a number above 0"),
        (["--rate", "inf"], "--rate inf must be a number above 0"),
        (["--rate", "1e-9"], "spreads 400 rows over 12652 years: raise it"),
        (["--rate", "20", "--speedup", "fast"], "--speedup 'fast' must be a number from 0 up, or 'max'"),
        (["--rate", "20", "--speedup", "-1"], "--speedup '-1' must be"),
        (["--rate", "20", "--start", "noon"], "--start 'noon' is not a time"),
        (["--rate", "20", "--rows", "0:401"], "rows.parquet has 400 rows"),
        (["--rate", "20", "--timestamp", "x", "--start", "2020-01-01"], "give one of them"),
        (["--rate", "20", "--features", "x,regoin"], "did you mean 'region'"),
    ],
)
def test_a_wrong_option_is_one_line_with_its_remedy(rows: Path, options: list[str], message: str) -> None:
    result = run(rows, "--model", "m", "--bootstrap-servers", "127.0.0.1:1", *options)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_the_pace_follows_the_clock() -> None:
    now = [100.0]
    pace = Pace(20.0, lambda: now[0])
    assert pace.allowed(0) == 1
    now[0] += 0.049
    assert pace.allowed(1) == 1
    now[0] += 0.001
    assert pace.allowed(1) == 2
    now[0] += 10.0
    assert pace.allowed(2) == 202
    assert Pace(None, lambda: now[0]).allowed(7) > 1000


def test_ctrl_c_delivers_what_was_sent_and_exits_130(mock_kafka: str, rows: Path) -> None:
    to = ["--bootstrap-servers", mock_kafka, "--topic", "cut", "--output", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stream", "emit", str(rows), "--model", "m", "--rate", "50", *to],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with reading(mock_kafka, "cut") as consumer:
            while not any(not record.error() for record in consumer.consume(5, 1)):
                assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    summary = json.loads(stdout)
    assert process.returncode == 130
    assert summary["interrupted"]
    assert 0 < summary["sent"] < 400
    consumed(mock_kafka, "cut", summary["sent"])
