"""Forgetting on a real Redis: what is kept of an id goes, for good, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from stream.cli import main
from stream.forgetting import Forgetter, Forgotten
from stream.keys import ModelKeys
from stream.outcomes.join import JoinCounts, Labels, Predictions, id_keys
from stream.outcomes.join_redis import RedisJoin

pytestmark = pytest.mark.services

T0, HOUR = 1_700_000_000_000, 3_600_000
HORIZON = 8 * HOUR
OLD, NEW = b"the key of last year", b"the key of now"
IDS = [f"p-{i}" for i in range(3_000)]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def join(client: Redis) -> RedisJoin:
    return RedisJoin(client, prefix="f")


def predicted(ids: list[str], secret: bytes = NEW, *, step_ms: int = 5_000) -> Predictions:
    n = len(ids)
    times = T0 + step_ms * np.arange(n, dtype=np.int64)
    ones = np.ones(n)
    return Predictions(id_keys("m", ids, secret), times, np.full(n, 3, np.uint16), ones, ones / 2)


def labelled(ids: list[str], secret: bytes = NEW) -> Labels:
    n = len(ids)
    times = np.full(n, T0 + HOUR, np.int64)
    return Labels(id_keys("m", ids, secret), times, np.ones(n), np.zeros(n, bool), np.full(n, np.nan))


def joined(
    join: RedisJoin, *, predictions: Predictions | None = None, labels: Labels | None = None
) -> JoinCounts:
    return join.join("m", predictions, labels, horizon_ms=HORIZON)


def held(client: Redis, ids: list[str], secret: bytes = NEW) -> int:
    """How many of the ids have an entry, wherever it is."""
    wanted = {key.tobytes() for key in id_keys("m", ids, secret)}
    entries = set()
    for pattern in ("*:pending:*", "*:early:*"):
        for name in client.scan_iter(match=pattern, count=1_000):
            entries |= set(client.hkeys(name))
    return len(wanted & entries)


def forgetter(client: Redis, *secrets: bytes, remember_ms: int = HOUR) -> Forgetter:
    return Forgetter(client, prefix="f", secrets=secrets or (NEW, OLD), remember_ms=remember_ms)


def test_entries_under_every_key_go_and_all_others_stay(client: Redis, join: RedisJoin) -> None:
    joined(join, predictions=predicted(IDS[:1]))  # a block that starts with too few buckets
    joined(join, predictions=predicted(IDS, step_ms=1_000), labels=labelled(IDS[:100]))
    joined(join, predictions=predicted(["before", "other"], OLD), labels=labelled(["early", "too early"]))
    blocks = client.hgetall(ModelKeys("f", "m").blocks)
    assert any(len(sizes.split()) > 3 for sizes in blocks.values())  # one at least has grown
    gone = [*IDS[::10], "before", "early", "never seen"]
    assert forgetter(client).forget("m", gone) == Forgotten(
        "m", ids=len(gone), predictions=301, labels=1, known=0
    )
    assert held(client, gone) == held(client, gone, OLD) == 0
    assert held(client, IDS) == len(IDS) - 300
    assert held(client, ["other"], OLD) == held(client, ["too early"]) == 1


def test_what_is_forgotten_does_not_come_back_when_kafka_is_read_again(
    client: Redis, join: RedisJoin
) -> None:
    joined(join, predictions=predicted(IDS[:10]), labels=labelled(["early"]))
    journal = client.lrange(ModelKeys("f", "m").journal, 0, -1)
    forgetter(client).forget("m", [*IDS[:5], "early"])
    again = joined(join, predictions=predicted([*IDS[:10], "early"]), labels=labelled([*IDS[:5], "early"]))
    assert again == JoinCounts()
    assert held(client, [*IDS[:5], "early"]) == 0
    assert client.lrange(ModelKeys("f", "m").journal, 0, -1) == journal
    assert joined(join, labels=labelled(IDS[5:10])).joined == 5  # the others are as they were


def test_an_id_is_kept_out_no_longer_than_it_was_said(client: Redis, join: RedisJoin) -> None:
    forgetter(client, remember_ms=0).forget("m", ["a"])
    assert joined(join, predictions=predicted(["a"])).predictions == 1
    forgetter(client, remember_ms=HOUR).forget("m", ["a"])
    forgetter(client, remember_ms=1).forget("m", ["a"])  # never shortened
    assert joined(join, predictions=predicted(["a"])).predictions == 0
    assert 0 < client.pttl("f:{model:m}:forgotten") <= HOUR


def test_doing_it_twice_removes_nothing_more_and_both_acts_are_noted_without_the_ids(
    client: Redis, join: RedisJoin
) -> None:
    joined(join, predictions=predicted(IDS[:4]))
    first, second = (forgetter(client).forget("m", IDS[:2]) for _ in range(2))
    assert (first.predictions, first.known) == (2, 0)
    assert (second.predictions, second.known) == (0, 2)
    acts = forgetter(client).acts("m")
    assert [act["predictions"] for act in acts] == [0, 2]
    assert all(act.keys() == {"at_ms", "ids", "predictions", "labels"} for act in acts)


def test_the_command_forgets_says_what_stays_and_prints_no_id(
    client: Redis,
    join: RedisJoin,
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, ids, key = tmp_path / "c.yaml", tmp_path / "ids", tmp_path / "key"
    config.write_text(
        f"kafka: {{bootstrap.servers: 127.0.0.1:1}}\nredis: {{url: '{redis_url}', prefix: f}}\n"
        "models: {m: {learn: 24h}, other: {learn: 24h}}\n"
    )
    key.write_text(NEW.decode() + "\n")
    ids.write_text("\n".join(IDS[:3]) + "\n\n")
    monkeypatch.setenv("DRIFTSTREAM_PRIVACY__ID_KEY_FILE", str(key))
    monkeypatch.setenv("DRIFTSTREAM_PRIVACY__PREVIOUS_ID_KEYS", OLD.decode())
    joined(join, predictions=predicted(IDS[:3]))
    joined(join, predictions=predicted(["p-old"], OLD))
    argv = ["forget", "--config", str(config), "--remember", "30d", "--output", "json"]
    assert main([*argv, "--file", str(ids), "--subject", "p-old"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["forgotten"][0] == {"model": "m", "ids": 4, "predictions": 4, "labels": 0, "known": 0}
    assert [each["model"] for each in answer["forgotten"]] == ["m", "other"]
    assert "until their topics' retention has passed" in answer["stays"][1]
    assert "p-" not in out
    assert "p-" not in err
    assert 'forgotten model="m" ids="4" predictions="4"' in err
    assert main([*argv[:-2], "--subject", "p-1", "--model", "m"]) == 0
    out = capsys.readouterr().out
    assert "m: 0 pending predictions and 0 waiting labels of 1 ids removed, 1 forgotten before" in out
    assert main([*argv, "--subject", "x", "--model", "n"]) == 2
    assert main(argv) == 2
