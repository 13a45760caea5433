"""``driftstream status`` on a real Redis and a real Kafka."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from redis import Redis

from detectors import Counts, Reference
from stream.cli import main
from stream.embedded import EmbeddedKafka
from stream.evaluate import ModelEvaluation
from stream.flood_register import FloodRegister
from stream.keys import ModelKeys, PaneKey, worker_key
from stream.messages import Message
from stream.one_model import commit_model
from stream.outcomes.join import Labels, Predictions
from stream.panes import Pane
from stream.plans import series_references
from stream.presence import Presence
from stream.series import ClosedWindow, ModelPlan
from stream.store import PartitionCommit
from stream.store_redis import RedisStore
from stream.windows import WindowSpec

END_MS = 1_577_836_810_000


@pytest.fixture(scope="module")
def reference() -> Reference:
    values = np.random.default_rng(2).normal(size=4000)
    return Reference.build({"x": values}, window_rows=200, model="loans", version="v2")


def configure(
    directory: Path, *, redis: str, kafka: str = "127.0.0.1:1", inference: str = "inference"
) -> str:
    file = directory / "driftstream.yaml"
    file.write_text(
        f"kafka: {{bootstrap.servers: '{kafka}'}}\nredis: {{url: '{redis}', prefix: dd}}\n"
        f"topics: {{inference: {inference}, labels: null}}\n"
        "models: {loans: {references: [not-needed.json]}}\n"
    )
    return str(file)


def count(store: RedisStore, topic: str, reference: Reference, offset: int) -> None:
    """What an ingest leaves of partition 1 of 2."""
    store.declare_topic(topic, 2)
    claim = store.claim(topic, 1)
    key = PaneKey("loans", "v2", END_MS - 10_000, reference.fingerprint)
    commit = PartitionCommit(
        epoch=claim.epoch,
        expected_offset=None,
        offset=offset,
        watermark_ms=END_MS,
        idle_beat=3,
        panes={key: Pane(Counts.empty(reference.binning), END_MS, END_MS)},
        messages=[(1, Message("drift.panes", b"loans", b"{}"))],
        totals={"events": offset - 1, "rejected": 1, "sequence": 1, "unknown": 5},
        unknown={'["ghost",""]': 4, '["loans","v9"]': 1},
    )
    assert store.commit(topic, {1: commit}) == {1: None}


def decide(store: RedisStore, reference: Reference) -> None:
    """What an evaluation leaves after one drifted window."""
    plan = ModelPlan(
        model="loans",
        windows=WindowSpec(size_ms=10_000, slide_ms=10_000),
        references=series_references("loans", {("loans", "v2"): reference}, ["inference"]),
        min_samples=50,
        min_effect=0.05,
        arl=1000,
        restate_ms=60_000,
    )
    evaluation = ModelEvaluation(plan)
    (key,) = plan.references
    shifted = reference.count({"x": np.full(200, 3.0)})
    evaluation.evaluate(key, ClosedWindow(end_ms=END_MS, newest=shifted, whole=shifted))
    assert (
        commit_model(store, "loans", 0, evaluation.to_bytes(), [(1, Message("drift.alerts", None, b"{}"))])
        == 1
    )


def join(store: RedisStore) -> None:
    """Three predictions, two of which have their label, and a label without a prediction."""
    key = np.arange(3, dtype=np.uint64)
    at_ms, known = np.full(3, END_MS), np.ones(3)
    predictions = Predictions(key, at_ms, np.zeros(3, np.uint16), known, known)
    labels = Labels(np.array([0, 1, 9], np.uint64), at_ms, known, known > 1.0, known)
    store.joins.join("loans", predictions, labels, horizon_ms=60_000)


@pytest.mark.services
def test_status_tells_what_redis_holds(
    redis_url: str, tmp_path: Path, reference: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(tmp_path, redis=redis_url)
    with Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="dd")
        count(store, "inference", reference, 100)
        decide(store, reference)
        join(store)
        client_pieces = client.llen(ModelKeys("dd", "loans").journal)
        client.hset("other:worker:stranger", mapping={"stage": "both"})
        with Presence(Redis.from_url(redis_url), "dd", "host-1", {"stage": "both", "metrics": "h:1"}):
            appeared = threading.Event()
            while not client.exists(worker_key("dd", "host-1")):
                appeared.wait(0.01)
            assert main(["status", "--config", config, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(w["name"], w["stage"]) for w in found["workers"]] == [("host-1", "both")]
    (topic,) = found["topics"]
    refused = {"rejected": 1, "late": 0, "lost": 0, "unknown": 5, "unmonitored": 0, "learning": 0}
    assert topic["totals"] == {"events": 99, **refused}
    assert topic["flood_since_ms"] is None
    first, second = topic["partitions"]
    assert (first["offset"], first["watermark_ms"], first["epoch"]) == (None, None, 0)
    assert (second["offset"], second["watermark_ms"], second["epoch"]) == (100, END_MS, 1)
    assert (second["idle"], second["lag"], second["outbox"], second["open_panes"]) == (True, None, 1, 1)
    assert found["kafka"].startswith("Kafka at 127.0.0.1:1 told no offsets")
    (model,) = found["models"]
    assert (model["model"], model["revision"], model["outbox"], model["error"]) == ("loans", 1, 1, None)
    (series,) = model["series"]
    assert {name: n for name, n in model["joins"].items() if n} == {"predictions": 3, "joined": 2, "early": 1}
    assert model["journal"] == client_pieces > 0
    assert series["performance"] is None
    assert (series["version"], series["source"], series["n"]) == ("v2", "inference", 200)
    assert (series["window_end_ms"], series["status"], series["drifted"]) == (END_MS, "drift", ["x"])
    assert [incident["kind"] for incident in series["incidents"]] == ["data_drift"]
    assert found["unknown_models"] == [
        {"topic": "inference", "model": "ghost", "version": "", "events": 4},
        {"topic": "inference", "model": "loans", "version": "v9", "events": 1},
    ]


@pytest.mark.services
def test_lag_comes_from_kafka(
    redis_url: str,
    kafka: EmbeddedKafka,
    make_topic: Callable[..., str],
    tmp_path: Path,
    reference: Reference,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic("inference", 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for partition, n in ((0, 7), (1, 120)):
        for _ in range(n):
            producer.produce(topic, b"{}", partition=partition)
    assert producer.flush(30) == 0
    config = configure(tmp_path, redis=redis_url, kafka=kafka.bootstrap_servers, inference=topic)
    with Redis.from_url(redis_url) as client:
        count(RedisStore(client, prefix="dd"), topic, reference, 100)
    assert main(["status", "--config", config, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kafka"] is None
    assert [(p["end"], p["lag"]) for p in found["topics"][0]["partitions"]] == [(7, 7), (120, 20)]
    assert found["topics"][0]["lag"] == 27
    assert main(["status", "--config", config]) == 0
    assert f"topic {topic} (2 partitions): lag 27, 99 events" in capsys.readouterr().out


@pytest.mark.services
def test_an_empty_redis_has_a_status_too(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--config", configure(tmp_path, redis=redis_url)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "workers (0)",
        "",
        "topic inference: no worker has read it yet",
        "",
        "models (1)",
        "  loans      no window evaluated yet",
    ]


@pytest.mark.services
def test_a_flood_is_told_until_its_end_is(
    redis_url: str, tmp_path: Path, reference: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(tmp_path, redis=redis_url)
    told = (
        "  flood since 2020-01-01T00:00:10Z: most records are no events, docs/runbooks/dead_letter_flood.md"
    )
    with Redis.from_url(redis_url) as client:
        count(RedisStore(client, prefix="dd"), "inference", reference, 100)
        register = FloodRegister(client, prefix="dd", worker="host-1")
        register.join("inference", END_MS)
        assert main(["status", "--config", config]) == 0
        assert told in capsys.readouterr().out.splitlines()
        assert main(["status", "--config", config, "--output", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["topics"][0]["flood_since_ms"] == END_MS
        register.forget("inference")
        assert main(["status", "--config", config]) == 0
        assert "flood" not in capsys.readouterr().out


@pytest.mark.services
def test_status_changes_nothing(redis_url: str, tmp_path: Path, reference: Reference) -> None:
    def content(client: Redis) -> dict[Any, Any]:
        return {key: client.dump(key) for key in client.scan_iter()}

    with Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="dd")
        count(store, "inference", reference, 100)
        decide(store, reference)
        before = content(client)
        assert main(["status", "--config", configure(tmp_path, redis=redis_url)]) == 0
        assert content(client) == before


def test_redis_away_is_one_line_and_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", configure(tmp_path, redis="redis://:secret@127.0.0.1:1/0")]) == 3
    told = capsys.readouterr()
    assert "cannot be used: Connection refused; start Redis or mend redis.url" in told.err
    assert "secret" not in told.err
    assert told.err.count("\n") == 1
    assert not told.out
