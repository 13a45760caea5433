"""One contract, two stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from detectors import Counts
from stream.errors import Conflict, Fenced, OffsetMismatch
from stream.keys import ModelKeys, PaneKey, PartitionKeys
from stream.messages import Message
from stream.one_model import commit_model, load_memory, load_model, outbox
from stream.panes import Pane
from stream.quarantine import found
from stream.store import ModelCommit, NotBrought, PartitionCommit
from stream.store_memory import MemoryStore
from stream.store_redis import BROUGHT_TTL_MS, RedisStore
from stream.watermarks import PartitionClock

TOPIC = "inference"
KEY = PaneKey("m", "v1", 60_000, "f")
NOTE = Message("panes", b"m", b"{}")
NOTE_TOO = Message("panes", b"m", b"[]")
Store = MemoryStore | RedisStore


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")


def pane(n: int) -> Pane:
    return Pane(Counts([[n, 0, 0]]), 60_000, 60_000 + n)


def first_commit(epoch: int) -> PartitionCommit:
    return PartitionCommit(
        epoch=epoch,
        expected_offset=None,
        offset=10,
        watermark_ms=60_500,
        panes={KEY: pane(10)},
        messages=[(1, NOTE)],
        totals={"events": 10, "sequence": 1},
    )


def committed(store: Store) -> int:
    epoch = store.claim(TOPIC, 0).epoch
    assert store.commit(TOPIC, {0: first_commit(epoch)}) == {0: None}
    return epoch


def test_a_claim_starts_where_the_last_commit_ended(store: Store) -> None:
    epoch = committed(store)
    claim = store.claim(TOPIC, 0)
    assert claim.epoch == epoch + 1
    assert (claim.offset, claim.watermark_ms, claim.sequence) == (10, 60_500, 1)


def test_counts_messages_and_offset_land_together(store: Store) -> None:
    committed(store)
    assert store.load_panes(TOPIC, 0, [KEY])[KEY].counts.n == 10
    assert store.undelivered(TOPIC, 0) == [(1, NOTE)]
    assert store.clocks(TOPIC, 2) == {0: PartitionClock(60_500, 0), 1: PartitionClock(None, 0)}
    assert store.open_panes(TOPIC, 2) == [KEY]


def test_windows_may_be_closed_by_the_newest_watermark_or_what_was_told(store: Store) -> None:
    assert store.passed_ms(TOPIC) is None
    store.declare_topic(TOPIC, 2)
    committed(store)
    assert store.passed_ms(TOPIC) == 60_500
    for told_ms in (70_000, 65_000):  # it never goes back
        store.tell_passed(TOPIC, told_ms)
        assert store.passed_ms(TOPIC) == 70_000


def test_a_fenced_owner_changes_nothing(store: Store) -> None:
    epoch = committed(store)
    store.claim(TOPIC, 0)
    late = replace(first_commit(epoch), expected_offset=10, offset=20, panes={KEY: pane(99)})
    refusal = store.commit(TOPIC, {0: late})[0]
    assert isinstance(refusal, Fenced)
    assert refusal.stored == epoch + 1
    assert store.load_panes(TOPIC, 0, [KEY])[KEY].counts.n == 10
    assert store.claim(TOPIC, 0).offset == 10


def test_an_offset_that_is_not_the_next_changes_nothing(store: Store) -> None:
    epoch = committed(store)
    skipping = replace(first_commit(epoch), expected_offset=15, offset=20, panes={KEY: pane(99)})
    refusal = store.commit(TOPIC, {0: skipping})[0]
    assert isinstance(refusal, OffsetMismatch)
    assert refusal.stored == 10
    assert store.load_panes(TOPIC, 0, [KEY])[KEY].counts.n == 10


def test_a_commit_whose_reply_was_lost_is_taken_as_done_once(store: Store) -> None:
    epoch = committed(store)
    assert store.commit(TOPIC, {0: first_commit(epoch)}) == {0: None}
    assert store.undelivered(TOPIC, 0) == [(1, NOTE)]
    assert store.claim(TOPIC, 0).sequence == 1


def test_delivered_messages_leave_with_the_next_commit(store: Store) -> None:
    epoch = committed(store)
    following = PartitionCommit(
        epoch=epoch, expected_offset=10, offset=11, watermark_ms=None, delivered_to=1, messages=[(2, NOTE)]
    )
    assert store.commit(TOPIC, {0: following}) == {0: None}
    assert store.undelivered(TOPIC, 0) == [(2, NOTE)]
    assert store.clocks(TOPIC, 1)[0].watermark_ms == 60_500


def test_one_refused_partition_does_not_hold_the_others_up(store: Store) -> None:
    epoch = store.claim(TOPIC, 0).epoch
    store.claim(TOPIC, 1)
    other = store.claim(TOPIC, 1).epoch
    outcomes = store.commit(TOPIC, {0: first_commit(epoch), 1: first_commit(other - 1)})
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Fenced)


def test_panes_of_all_partitions_are_read_and_retired(store: Store) -> None:
    for partition in (0, 2):
        epoch = store.claim(TOPIC, partition).epoch
        assert store.commit(TOPIC, {partition: first_commit(epoch)}) == {partition: None}
    missing = KEY._replace(start_ms=0)
    read = store.read_panes(TOPIC, 3, [missing, KEY])
    assert read[missing] == []
    assert [each.counts.n for each in read[KEY]] == [10, 10]
    whole = store.stored_panes(TOPIC, 3, [missing, KEY])
    assert store.pane_heads(TOPIC, 3, [missing, KEY], 20) == [[], [part[:20] for part in whole[1]]]
    store.retire_panes(TOPIC, 3, [KEY])
    assert store.open_panes(TOPIC, 3) == []


def test_an_idle_beat_is_kept_and_a_claim_ends_it(store: Store) -> None:
    epoch = committed(store)
    beat = PartitionCommit(epoch=epoch, expected_offset=10, offset=10, watermark_ms=60_500, idle_beat=4)
    assert store.commit(TOPIC, {0: beat}) == {0: None}
    assert store.clocks(TOPIC, 1)[0] == PartitionClock(60_500, 4)
    store.claim(TOPIC, 0)
    assert store.clocks(TOPIC, 1)[0] == PartitionClock(60_500, 0)


def test_topics_are_declared(store: Store) -> None:
    assert store.partitions(TOPIC) is None
    store.declare_topic(TOPIC, 8)
    assert store.partitions(TOPIC) == 8


def test_of_two_evaluators_one_decides(store: Store) -> None:
    assert load_model(store, "m") == (0, None)
    assert commit_model(store, "m", 0, b"first", [(1, NOTE), (2, NOTE)]) == 1
    with pytest.raises(Conflict):
        commit_model(store, "m", 0, b"second", [(3, NOTE)])
    assert load_model(store, "m") == (1, b"first")
    assert load_memory(store, "m") == {}


def test_memory_commits_with_the_state(store: Store) -> None:
    commit_model(store, "m", 0, b"state", [], memory={"a": b"1", "b": b"2"})
    commit_model(store, "m", 1, b"state", [(1, NOTE)], memory={"a": None, "c": b"3"})
    with pytest.raises(Conflict):
        commit_model(store, "m", 1, b"late", [], memory={"b": b"lost"})
    assert load_memory(store, "m") == {"b": b"2", "c": b"3"}
    assert [number for number, _ in outbox(store, "m")] == [1]


def test_the_outbox_of_a_model_is_trimmed_up_to_what_was_delivered(store: Store) -> None:
    messages = [(n, replace_value(n)) for n in (1, 2, 3)]
    commit_model(store, "m", 0, b"state", messages)
    store.trim_outboxes({"m": 2})
    assert outbox(store, "m") == messages[2:]


def replace_value(n: int) -> Message:
    return Message("metrics", b"m", str(n).encode())


@pytest.mark.services
def test_a_damaged_pane_is_quarantined(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="q")
        committed(store)
        client.setrange(PartitionKeys("q", TOPIC, 0).pane(KEY), 20, b"\xff\xff\xff")
        before = found("pane")
        assert store.load_panes(TOPIC, 0, [KEY]) == {KEY: None}
        assert found("pane") == before + 1


@pytest.mark.services
def test_a_damaged_message_does_not_hold_the_others_up(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="q")
        commit_model(store, "m", 0, b"state", [(1, NOTE), (3, NOTE_TOO)])
        client.zadd(ModelKeys("q", "m").outbox, {b"damaged": 2})
        before = found("message")
        assert outbox(store, "m") == [(1, NOTE), (3, NOTE_TOO)]
        assert found("message") == before + 1


@pytest.mark.services
def test_unknown_models_are_counted_by_name_up_to_a_bound(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="u", max_unknown=2)
        epoch = store.claim(TOPIC, 0).epoch
        names = {f'["m{n}","v1"]': n + 1 for n in range(4)}
        commit = PartitionCommit(
            epoch=epoch, expected_offset=None, offset=10, watermark_ms=None, unknown=names
        )
        assert store.commit(TOPIC, {0: commit}) == {0: None}
        counted = client.hgetall(PartitionKeys("u", TOPIC, 0).unknown)
        assert counted == {b'["m0","v1"]': b"1", b'["m1","v1"]': b"2", b'["__other__",""]': b"7"}


def next_commit(state: bytes | None) -> ModelCommit:
    return ModelCommit(model="m", revision=1, state=state, messages=[(1, NOTE)])


def test_what_is_brought_is_not_decided(store: Store) -> None:
    commit_model(store, "m", 0, b"old", [])
    (brought,) = store.bring([next_commit(b"new")])
    assert load_model(store, "m") == (1, b"old")
    assert store.decide_all([brought]) == [2]
    assert load_model(store, "m") == (2, b"new")
    assert outbox(store, "m") == [(1, NOTE)]
    (refused,) = store.decide_all([brought])
    assert isinstance(refused, Conflict)


def test_a_commit_without_a_state_leaves_it(store: Store) -> None:
    commit_model(store, "m", 0, b"old", [])
    assert store.decide_all([next_commit(None)]) == [2]
    assert load_model(store, "m") == (2, b"old")


@pytest.mark.services
@pytest.mark.parametrize("is_brought", [False, True])
def test_nothing_of_before_commits_when_redis_was_emptied(redis_url: str, is_brought: bool) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix="e")

        def commit(revision: int) -> ModelCommit:
            incarnation = store.load_models(["m"])["m"].incarnation
            made = replace(next_commit(b"state"), revision=revision, incarnation=incarnation)
            return store.bring([made])[0] if is_brought else made

        before = commit(0)
        client.flushall()
        (refused,) = store.decide_all([before])
        assert isinstance(refused, Conflict)
        assert load_model(store, "m") == (0, None)
        assert [*store.decide_all([commit(0)]), *store.decide_all([commit(1)])] == [1, 2]


@pytest.mark.services
def test_of_two_who_bring_a_state_one_is_asked_for_it_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")
        commit_model(store, "m", 0, b"old", [])
        (mine,) = store.bring([next_commit(b"mine")])
        (theirs,) = store.bring([next_commit(b"theirs")])
        names = ModelKeys(store.prefix, "m")
        assert 0 < client.pttl(names.ahead) <= BROUGHT_TTL_MS
        (refused,) = store.decide_all([mine])
        assert isinstance(refused, NotBrought)
        assert load_model(store, "m") == (1, b"old")
        assert store.decide_all([replace(mine, state=b"mine", brought=b"")]) == [2]
        (late,) = store.decide_all([theirs])
        assert isinstance(late, Conflict)
        assert load_model(store, "m") == (2, b"mine")
        (again,) = store.bring([replace(next_commit(b"next"), revision=2)])
        assert store.decide_all([again]) == [3]
        assert (client.exists(names.ahead), client.pttl(names.state)) == (0, -1)
        assert client.hgetall(names.state) == {b"revision": b"3", b"state": b"next"}
