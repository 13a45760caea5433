"""State in Redis: the contract of :mod:`stream.store` on Lua scripts, one slot a script."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import cast

import redis

from stream.errors import Conflict, CorruptState
from stream.gaps import from_text
from stream.keys import ModelKeys, PaneKey, PartitionKeys, topic_key
from stream.messages import Message
from stream.outcomes.join_redis import RedisJoin
from stream.panes import Pane
from stream.quarantine import quarantined
from stream.redis_wire import WireScript
from stream.store import Claim, ModelCommit, NotBrought, PartitionCommit, Sequenced, StoredModel
from stream.store_calls import (
    INCARNATION_BYTES,
    CommitCall,
    brought_state,
    commit_keys,
    decide_call,
    decision,
    refusal,
)
from stream.watermarks import PartitionClock, max_known

_LUA = files("stream") / "lua"
CLAIM_FIELDS = ("offset", "watermark", "sequence", "gaps")
CLAIM = (_LUA / "claim.lua").read_text()
COMMIT = (_LUA / "commit.lua").read_text()
DECIDE = (_LUA / "decide.lua").read_text()
HEADS = (_LUA / "heads.lua").read_text()
PASSED = (_LUA / "passed.lua").read_text()
RETIRE = (_LUA / "retire.lua").read_text()
RETIRED_TTL_MS = 10 * 60 * 1000
BROUGHT_TTL_MS = 3_600_000


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


def _pane(data: bytes, *, of: str) -> Pane | None:
    """A stored pane; None when it is damaged."""
    try:
        return Pane.from_bytes(data)
    except CorruptState as exc:
        quarantined("pane", "its window lacks it", exc, of=of)
        return None


class RedisStore:
    """Partition and model state on one Redis.

    Parameters
    ----------
    client
        A redis-py client with ``decode_responses=False``; foreign errors (``redis.RedisError``) pass through,
        the callers own the retry.
    prefix
        Start of every key.
    max_unknown
        How many unknown models are counted by name; the rest share ``__other__``.
    """

    def __init__(self, client: redis.Redis, *, prefix: str, max_unknown: int = 1000) -> None:
        self.client = client
        self.prefix = prefix
        self.max_unknown = max_unknown
        self.joins = RedisJoin(client, prefix=prefix)
        self._claim = client.register_script(CLAIM)
        self._commit = WireScript(client, COMMIT)
        self._decide = client.register_script(DECIDE)
        self._heads = client.register_script(HEADS)
        self._passed = client.register_script(PASSED)
        self._retire = client.register_script(RETIRE)

    def _keys(self, topic: str, partition: int) -> PartitionKeys:
        return PartitionKeys(self.prefix, topic, partition)

    # ---- ingest

    def declare_topic(self, topic: str, partitions: int) -> None:
        """See :class:`stream.store.PartitionStore`."""
        self.client.hset(topic_key(self.prefix, topic), "partitions", str(partitions))

    def claim(self, topic: str, partition: int) -> Claim:
        """See :class:`stream.store.PartitionStore`."""
        reply = self._claim(keys=[self._keys(topic, partition).cursor], args=list(CLAIM_FIELDS))
        epoch, offset, watermark, sequence, gaps = reply
        return Claim(int(epoch), _int(offset), _int(watermark), _int(sequence) or 0, from_text(gaps))

    def load_panes(self, topic: str, partition: int, keys: Sequence[PaneKey]) -> dict[PaneKey, Pane | None]:
        """See :class:`stream.store.PartitionStore`."""
        if not keys:
            return {}
        names = self._keys(topic, partition)
        stored = cast("list[bytes | None]", self.client.mget([names.pane(key) for key in keys]))
        return {
            key: _pane(data, of=names.pane(key))
            for key, data in zip(keys, stored, strict=True)
            if data is not None
        }

    def commit(self, topic: str, commits: Mapping[int, PartitionCommit]) -> dict[int, Exception | None]:
        """See :class:`stream.store.PartitionStore`: one pipeline, one script a partition."""
        replies = self._commit.run(
            [self._commit_call(self._keys(topic, partition), commit) for partition, commit in commits.items()]
        )
        return {
            partition: refusal(commit, reply)
            for (partition, commit), reply in zip(commits.items(), replies, strict=True)
        }

    def _commit_call(self, names: PartitionKeys, commit: PartitionCommit) -> CommitCall:
        start = self._commit.start(commit_keys(names))
        return CommitCall(start, names.pane_stem, commit, self.max_unknown)

    def undelivered(self, topic: str, partition: int) -> list[Sequenced]:
        """See :class:`stream.store.PartitionStore`."""
        key = self._keys(topic, partition).outbox
        stored = cast("list[tuple[bytes, float]]", self.client.zrange(key, 0, -1, withscores=True))
        return self._messages(key, stored)

    def passed_ms(self, topic: str) -> int | None:
        """See :class:`stream.store.PartitionStore`."""
        names = topic_key(self.prefix, topic)
        partitions, told = cast("list[bytes | None]", self.client.hmget(names, "partitions", "passed"))
        clocks = self.clocks(topic, _int(partitions) or 0).values()
        return max_known([_int(told), *(clock.watermark_ms for clock in clocks)])

    def _messages(self, owner: str, stored: Sequence[tuple[bytes, float]]) -> list[Sequenced]:
        messages: list[Sequenced] = []
        for data, score in stored:
            try:
                messages.append((int(score), Message.from_bytes(data)))
            except CorruptState as exc:
                quarantined("message", "it is not published", exc, of=owner)
        return messages

    # ---- evaluate

    def partitions(self, topic: str) -> int | None:
        """See :class:`stream.store.ModelStore`."""
        return _int(cast("bytes | None", self.client.hget(topic_key(self.prefix, topic), "partitions")))

    def clocks(self, topic: str, partitions: int) -> dict[int, PartitionClock]:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.hmget(self._keys(topic, partition).cursor, "watermark", "idle", "gaps")
            replies = pipe.execute()
        return {
            p: PartitionClock(_int(wm), _int(idle) or 0, from_text(gaps))
            for p, (wm, idle, gaps) in enumerate(replies)
        }

    def tell_passed(self, topic: str, ms: int) -> None:
        """See :class:`stream.store.ModelStore`."""
        self._passed(keys=[topic_key(self.prefix, topic)], args=[ms])

    def open_panes(self, topic: str, partitions: int) -> list[PaneKey]:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.zrange(self._keys(topic, partition).open, 0, -1)
            replies = pipe.execute()
        return sorted({PaneKey.from_member(member) for members in replies for member in members})

    def _pane_names(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> Iterator[list[str]]:
        """Names of the panes in Redis, partition by partition."""
        members = [key.member().decode() for key in keys]
        for partition in range(partitions):
            stem = self._keys(topic, partition).pane_stem
            yield [stem + member for member in members]

    def stored_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> list[list[bytes]]:
        """See :class:`stream.store.ModelStore`: one command a partition."""
        if not keys or not partitions:
            return [[] for _ in keys]
        with self.client.pipeline(transaction=False) as pipe:
            for names in self._pane_names(topic, partitions, keys):
                pipe.mget(names)
            replies = cast("list[list[bytes | None]]", pipe.execute())
        return [[data for data in parts if data is not None] for parts in zip(*replies, strict=True)]

    def pane_heads(
        self, topic: str, partitions: int, keys: Sequence[PaneKey], size: int
    ) -> list[list[bytes]]:
        """See :class:`stream.store.ModelStore`: one script a partition."""
        if not keys or not partitions:
            return [[] for _ in keys]
        with self.client.pipeline(transaction=False) as pipe:
            for names in self._pane_names(topic, partitions, keys):
                self._heads(keys=names, args=[size], client=pipe)
            replies = cast("list[list[bytes]]", pipe.execute())
        return [[head for head in parts if head] for parts in zip(*replies, strict=True)]

    def read_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> dict[PaneKey, list[Pane]]:
        """Each pane as counted from each partition that has it; a damaged one counts as absent."""
        stored = self.stored_panes(topic, partitions, keys)
        panes = [
            [_pane(data, of=key.model) for data in parts] for key, parts in zip(keys, stored, strict=True)
        ]
        return {
            key: [pane for pane in parts if pane is not None] for key, parts in zip(keys, panes, strict=True)
        }

    def retire_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> None:
        """See :class:`stream.store.ModelStore`: one script a partition."""
        members = [key.member() for key in keys]
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                names = self._keys(topic, partition)
                panes = [names.pane_stem + member.decode() for member in members]
                self._retire(keys=[names.open, *panes], args=[RETIRED_TTL_MS, *members], client=pipe)
            pipe.execute()

    def load_models(self, models: Sequence[str]) -> dict[str, StoredModel]:
        """See :class:`stream.store.ModelStore`."""
        made_up = secrets.token_bytes(INCARNATION_BYTES)
        with self.client.pipeline(transaction=False) as pipe:
            pipe.info("server")
            for model in models:
                names = ModelKeys(self.prefix, model)
                pipe.hsetnx(names.state, "incarnation", made_up)
                pipe.hmget(names.state, "revision", "incarnation", "state")
                pipe.hgetall(names.memory)
                pipe.zrange(names.outbox, 0, -1, withscores=True)
            replies = iter(pipe.execute())
        run_id = next(replies).get("run_id", "").encode()
        return {
            model: StoredModel(
                revision=_int(revision) or 0,
                incarnation=incarnation + run_id,
                state=state,
                memory={name.decode(): data for name, data in memory.items()},
                outbox=self._messages(model, outbox),
            )
            for model, _, (revision, incarnation, state), memory, outbox in zip(
                models, replies, replies, replies, replies, strict=True
            )
        }

    def bring(self, commits: Sequence[ModelCommit]) -> list[ModelCommit]:
        """See :class:`stream.store.ModelStore`."""
        name = secrets.token_bytes(8)
        with self.client.pipeline(transaction=False) as pipe:
            for commit in commits:
                key, brought = brought_state(ModelKeys(self.prefix, commit.model), commit, name)
                pipe.hset(key, items=brought)
                pipe.pexpire(key, BROUGHT_TTL_MS)
            pipe.execute()
        return [replace(commit, state=None, brought=name) for commit in commits]

    def decide_all(self, commits: Sequence[ModelCommit]) -> list[int | Conflict | NotBrought]:
        """See :class:`stream.store.ModelStore`: one pipeline, one script a model."""
        with self.client.pipeline(transaction=False) as pipe:
            for commit in commits:
                keys, args = decide_call(ModelKeys(self.prefix, commit.model), commit)
                self._decide(keys=keys, args=args, client=pipe)
            replies = pipe.execute()
        return [decision(commit, reply) for commit, reply in zip(commits, replies, strict=True)]

    def trim_outboxes(self, delivered_to: Mapping[str, int]) -> None:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for model, last in delivered_to.items():
                pipe.zremrangebyscore(ModelKeys(self.prefix, model).outbox, "-inf", last)
            pipe.execute()
