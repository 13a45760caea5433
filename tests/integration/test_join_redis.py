"""What the label join leaves in Redis: small buckets that expire, bounded waiting, contained damage."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import redis

from stream.keys import ModelKeys
from stream.one_model import commit_model, load_model
from stream.outcomes.join import JoinCounts, Labels, OutcomeCommit, Predictions
from stream.outcomes.join_redis import RedisJoin
from stream.quarantine import found
from stream.store_redis import RedisStore

pytestmark = pytest.mark.services
HOUR = 3_600_000
HORIZON = 8 * HOUR
T0 = 1_700_006_400_000  # the start of a block
KEYS = ModelKeys("ds", "m")
EARLY_BUCKETS = 4096
ROOM = 256


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def store(client: redis.Redis) -> RedisStore:
    return RedisStore(client, prefix="ds")


def predictions(keys: np.ndarray, ts_ms: int = T0) -> Predictions:
    n = len(keys)
    score = np.linspace(0, 1, n)
    return Predictions(keys, np.full(n, ts_ms), np.zeros(n, np.uint16), np.rint(score), score)


def labels(keys: np.ndarray, ts_ms: int = T0) -> Labels:
    n = len(keys)
    return Labels(keys, np.full(n, ts_ms), np.ones(n), np.zeros(n, np.bool_), np.full(n, np.nan))


def random_keys(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def send(join: RedisJoin, p: Predictions | None, lab: Labels | None, horizon_ms: int = HORIZON) -> JoinCounts:
    return join.join("m", p, lab, horizon_ms=horizon_ms)


def buckets(client: redis.Redis) -> list[bytes]:
    return cast("list[bytes]", client.keys(KEYS.stem + "pending:*"))


def test_buckets_stay_small_while_a_block_grows(client: redis.Redis, store: RedisStore) -> None:
    keys = random_keys(30_000)
    assert send(store.joins, predictions(keys), None).predictions == 30_000
    assert send(store.joins, predictions(keys), None) == JoinCounts()
    held = buckets(client)
    assert len(held) > 30_000 / 120
    assert max(client.hlen(bucket) for bucket in held) <= 120
    assert all(client.pttl(bucket) > 0 for bucket in held)
    assert {client.object("encoding", bucket) for bucket in held[:50]} <= {b"listpack", b"ziplist"}
    assert send(store.joins, None, labels(keys)).joined == 30_000
    assert {client.object("encoding", bucket) for bucket in held[:50]} <= {b"listpack", b"ziplist"}


def test_the_next_block_starts_with_the_size_of_the_last(client: redis.Redis, store: RedisStore) -> None:
    send(store.joins, predictions(random_keys(30_000)), None)
    send(store.joins, predictions(random_keys(30_000, seed=2), T0 + HORIZON // 4), None)
    sizes = sorted(text.split()[1:] for text in client.hgetall(KEYS.blocks).values())
    assert [b"30000", b"512"] in sizes  # 512 buckets of 59


@pytest.mark.parametrize(
    ("rows", "covered_ms", "buckets"),
    [
        (10_000, 60_000, 1024),  # eight times as many, at most, would fill 1,000
        (10_000, HORIZON // 8, 256),  # half a block: twice as many would fill 250
        (20, 1, 16),
    ],
)
def test_the_first_block_starts_with_room_for_what_is_likely(
    client: redis.Redis, store: RedisStore, rows: int, covered_ms: int, buckets: int
) -> None:
    sent = replace(predictions(random_keys(rows)), ts_ms=T0 + np.arange(rows) * covered_ms // rows)
    send(store.joins, sent, None)
    (stored,) = client.hgetall(KEYS.blocks).values()
    assert stored.split()[1:] == [str(rows).encode(), str(buckets).encode()]


def test_a_block_that_started_too_small_grows_to_what_is_likely(
    client: redis.Redis, store: RedisStore
) -> None:
    send(store.joins, predictions(random_keys(1)), None)
    keys = random_keys(10_000, seed=2)
    assert send(store.joins, predictions(keys), None).predictions == 10_000
    (stored,) = client.hgetall(KEYS.blocks).values()
    assert stored.split()[1:] == [b"10001", b"16", b"1024"]
    assert send(store.joins, predictions(keys), None) == JoinCounts()
    assert send(store.joins, None, labels(keys)).joined == 10_000


def test_a_pending_prediction_takes_at_most_40_bytes(client: redis.Redis, store: RedisStore) -> None:
    for block in range(2):
        send(store.joins, predictions(random_keys(30_000, seed=block), T0 + block * HORIZON // 4), None)
    second = [
        bucket
        for bucket in buckets(client)
        if f":{(T0 + HORIZON // 4) // (HORIZON // 4)}:".encode() in bucket
    ]
    assert len(second) == 512
    assert sum(client.memory_usage(bucket, samples=0) for bucket in second) / 30_000 <= 40


def test_everything_that_holds_rows_expires(client: redis.Redis, store: RedisStore) -> None:
    send(store.joins, predictions(random_keys(500)), labels(random_keys(500, seed=2)))
    lasting = {KEYS.join.encode(), KEYS.journal.encode()}
    lifetimes = {key: client.pttl(key) for key in client.keys("*") if key not in lasting}
    assert len(lifetimes) > 10
    assert all(HORIZON < each <= HORIZON * 5 // 4 + HOUR for each in lifetimes.values())


def test_an_expired_prediction_is_gone(client: redis.Redis) -> None:
    join = RedisJoin(client, prefix="ds", slack_ms=0)
    keys = random_keys(1)
    send(join, predictions(keys, 1000), None, horizon_ms=40)
    deadline = time.monotonic() + 10
    while client.exists(*buckets(client), KEYS.blocks) and time.monotonic() < deadline:
        client.ping()
    assert send(join, None, labels(keys, 1001), horizon_ms=40) == JoinCounts(early=1)
    assert send(join, predictions(keys, 1000), None, horizon_ms=40).early_joined == 1


def test_waiting_labels_have_bounded_room(client: redis.Redis, store: RedisStore) -> None:
    of_one_bucket = np.arange(ROOM + 10, dtype=np.uint64) * np.uint64(EARLY_BUCKETS) + np.uint64(5)
    counts = send(store.joins, None, labels(of_one_bucket))
    assert (counts.early, counts.refused) == (ROOM, 10)
    assert client.hlen(KEYS.stem + "early:5") == ROOM
    assert send(store.joins, predictions(of_one_bucket), None).early_joined == ROOM


def test_a_full_bucket_gives_up_what_has_waited_too_long(client: redis.Redis, store: RedisStore) -> None:
    of_one_bucket = np.arange(64, dtype=np.uint64) * np.uint64(EARLY_BUCKETS)
    send(store.joins, None, labels(of_one_bucket))
    name = KEYS.stem + "early:0"
    for field, value in client.hgetall(name).items():
        (arrival,) = struct.unpack_from("<I", value)
        client.hset(name, field, struct.pack("<I", arrival - 2 * HORIZON // 1000) + value[4:])
    counts = send(store.joins, None, labels(np.array([64 * EARLY_BUCKETS], np.uint64)))
    assert counts == JoinCounts(early=1, early_expired=64)
    assert client.hlen(name) == 1


def test_at_most_eight_labels_of_one_id_wait(store: RedisStore) -> None:
    key = np.array([9], np.uint64)
    counts = [send(store.joins, None, labels(key, T0 + i)) for i in range(10)]
    assert [c.refused for c in counts] == [0] * 8 + [1, 1]


def test_damaged_entries_count_as_absent(client: redis.Redis, store: RedisStore) -> None:
    keys = random_keys(20)
    send(store.joins, predictions(keys), None)
    for bucket in buckets(client):
        for field, junk in zip(
            client.hkeys(bucket), (b"", b"\x08ab", b"\x10" + b"x" * 30) * 20, strict=False
        ):
            client.hset(bucket, field, junk)
    assert send(store.joins, None, labels(keys)) == JoinCounts(early=20, damaged=20)
    again = send(store.joins, predictions(keys), None)
    assert again == JoinCounts(predictions=20, joined=20, early_joined=20, damaged=20)


def test_a_damaged_piece_of_the_journal_holds_nothing_up(client: redis.Redis, store: RedisStore) -> None:
    send(store.joins, predictions(random_keys(3)), None)
    damaged = bytearray(cast("bytes", client.lindex(KEYS.journal, 0)))
    damaged[-1] ^= 1
    client.lpush(KEYS.journal, b"junk", bytes(damaged))
    before = found("outcomes")
    piece = store.joins.journal("m", 100)
    assert (len(piece.transitions), piece.upto, found("outcomes") - before) == (3, 3, 2)
    commit_model(store, "m", 0, b"", [], outcomes=OutcomeCommit(base=0, upto=3, panes={}, ttl_ms=1))
    assert client.llen(KEYS.journal) == 0


def test_an_error_in_a_row_keeps_the_rows_before_it(client: redis.Redis, store: RedisStore) -> None:
    keys = random_keys(300)
    client.set(KEYS.stem + f"early:{int(keys[200]) % EARLY_BUCKETS}", b"not a hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        send(store.joins, None, labels(keys))
    assert store.joins.join_counts("m").early == 200
    send(store.joins, predictions(keys[:100]), None)
    client.set(KEYS.stem + f"early:{int(keys[150]) % EARLY_BUCKETS}", b"not a hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        send(store.joins, predictions(keys[100:200]), None)
    assert len(store.joins.journal("m", 1000).transitions) == store.joins.join_counts("m").joined == 150
    client.delete(KEYS.stem + f"early:{int(keys[150]) % EARLY_BUCKETS}")
    assert send(store.joins, predictions(keys[100:200]), None).predictions == 50


def test_a_journal_longer_than_the_limit_comes_in_pieces(store: RedisStore) -> None:
    for at in range(50):
        send(store.joins, predictions(random_keys(10, seed=at)), None)
    seen, base, more = 0, 0, True
    while more:
        piece = store.joins.journal("m", 335)
        assert (piece.base, len(piece.transitions) <= 340) == (base, True)
        revision, _ = load_model(store, "m")
        commit_model(
            store,
            "m",
            revision,
            b"",
            [],
            outcomes=OutcomeCommit(base=base, upto=piece.upto, panes={}, ttl_ms=1),
        )
        seen, base, more = seen + len(piece.transitions), piece.upto, piece.more
    assert (seen, base) == (500, 50)


def test_outcome_panes_expire(client: redis.Redis, store: RedisStore) -> None:
    commit = OutcomeCommit(base=0, upto=0, panes={T0: b"a", T0 + 1: b"b"}, ttl_ms=60_000)
    commit_model(store, "m", 0, b"", [], outcomes=commit)
    assert store.joins.outcome_panes("m", [T0, T0 + 1, T0 + 2]) == {T0: b"a", T0 + 1: b"b"}
    assert 0 < client.pttl(KEYS.outcome(T0)) <= 60_000
