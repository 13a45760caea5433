"""State in Redis: the contract of :mod:`stream.store` on Lua scripts, one slot a script."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, cast

import redis

from stream.errors import Conflict, CorruptState, Fenced, OffsetMismatch
from stream.keys import ModelKeys, PaneKey, PartitionKeys, topic_key
from stream.messages import Message
from stream.outcomes.join import OutcomeCommit
from stream.outcomes.join_redis import RedisJoin
from stream.panes import Pane
from stream.store import NO_MEMORY, Claim, PartitionCommit, Sequenced
from stream.watermarks import PartitionClock

log = logging.getLogger(__name__)
_LUA = files("stream") / "lua"
CLAIM_FIELDS = ("offset", "watermark", "sequence")
CLAIM = (_LUA / "claim.lua").read_text()
COMMIT = (_LUA / "commit.lua").read_text()
DECIDE = (_LUA / "decide.lua").read_text()
PANE_TTL_MS = 7 * 24 * 3600 * 1000  # a backstop: evaluated panes are retired long before
RETIRED_TTL_MS = 10 * 60 * 1000


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


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
        self.quarantined = 0
        self.joins = RedisJoin(client, prefix=prefix)
        self._claim = client.register_script(CLAIM)
        self._commit = client.register_script(COMMIT)
        self._decide = client.register_script(DECIDE)

    def _keys(self, topic: str, partition: int) -> PartitionKeys:
        return PartitionKeys(self.prefix, topic, partition)

    # ---- ingest

    def declare_topic(self, topic: str, partitions: int) -> None:
        """See :class:`stream.store.PartitionStore`."""
        self.client.hset(topic_key(self.prefix, topic), "partitions", str(partitions))

    def claim(self, topic: str, partition: int) -> Claim:
        """See :class:`stream.store.PartitionStore`."""
        reply = self._claim(keys=[self._keys(topic, partition).cursor], args=list(CLAIM_FIELDS))
        epoch, offset, watermark, sequence = reply
        return Claim(int(epoch), _int(offset), _int(watermark), _int(sequence) or 0)

    def load_panes(self, topic: str, partition: int, keys: Sequence[PaneKey]) -> dict[PaneKey, Pane]:
        """See :class:`stream.store.PartitionStore`. A damaged pane counts as absent, and is counted."""
        if not keys:
            return {}
        names = self._keys(topic, partition)
        stored = self.client.mget([names.pane(key) for key in keys])
        return {
            key: pane
            for key, data in zip(keys, cast("list[bytes | None]", stored), strict=True)
            if (pane := self._pane(data)) is not None
        }

    def _pane(self, data: bytes | None) -> Pane | None:
        if data is None:
            return None
        try:
            return Pane.from_bytes(data)
        except CorruptState as exc:
            self.quarantined += 1
            log.error('pane quarantined, its window lacks it reason="%s"', exc)
            return None

    def commit(self, topic: str, commits: Mapping[int, PartitionCommit]) -> dict[int, Exception | None]:
        """See :class:`stream.store.PartitionStore`: one pipeline, one script a partition."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition, commit in commits.items():
                keys, args = self._commit_call(self._keys(topic, partition), commit)
                self._commit(keys=keys, args=args, client=pipe)
            replies = pipe.execute()
        return {
            partition: _refusal(commit, reply)
            for (partition, commit), reply in zip(commits.items(), replies, strict=True)
        }

    def _commit_call(self, names: PartitionKeys, commit: PartitionCommit) -> tuple[list[str], list[Any]]:
        keys = [names.cursor, names.open, names.outbox, names.unknown]
        args: list[Any] = [
            commit.epoch,
            _text(commit.expected_offset),
            commit.offset,
            _text(commit.watermark_ms),
            commit.idle_beat,
            _text(commit.delivered_to),
            PANE_TTL_MS,
            self.max_unknown,
            len(commit.panes),
        ]
        for key, pane in commit.panes.items():
            keys.append(names.pane(key))
            args += [pane.to_bytes(), key.member(), key.start_ms]
        args.append(len(commit.messages))
        for sequence, message in commit.messages:
            args += [sequence, message.to_bytes()]
        for increments in (commit.totals, commit.unknown):
            args.append(len(increments))
            for name, by in increments.items():
                args += [name, by]
        return keys, args

    def undelivered(self, topic: str, partition: int) -> list[Sequenced]:
        """See :class:`stream.store.PartitionStore`."""
        return self._messages(self._keys(topic, partition).outbox)

    def _messages(self, key: str) -> list[Sequenced]:
        stored = cast("list[tuple[bytes, float]]", self.client.zrange(key, 0, -1, withscores=True))
        messages: list[Sequenced] = []
        for data, score in stored:
            try:
                messages.append((int(score), Message.from_bytes(data)))
            except CorruptState as exc:
                self.quarantined += 1
                log.error('message quarantined, it is not published key="%s" reason="%s"', key, exc)
        return messages

    # ---- evaluate

    def partitions(self, topic: str) -> int | None:
        """See :class:`stream.store.ModelStore`."""
        return _int(cast("bytes | None", self.client.hget(topic_key(self.prefix, topic), "partitions")))

    def clocks(self, topic: str, partitions: int) -> dict[int, PartitionClock]:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.hmget(self._keys(topic, partition).cursor, "watermark", "idle")
            replies = pipe.execute()
        return {p: PartitionClock(_int(wm), _int(idle) or 0) for p, (wm, idle) in enumerate(replies)}

    def open_panes(self, topic: str, partitions: int) -> list[PaneKey]:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.zrange(self._keys(topic, partition).open, 0, -1)
            replies = pipe.execute()
        return sorted({PaneKey.from_member(member) for members in replies for member in members})

    def read_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> dict[PaneKey, list[Pane]]:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                for partition in range(partitions):
                    pipe.get(self._keys(topic, partition).pane(key))
            replies = pipe.execute()
        panes = [self._pane(data) for data in replies]
        return {
            key: [pane for pane in panes[i * partitions : (i + 1) * partitions] if pane is not None]
            for i, key in enumerate(keys)
        }

    def retire_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> None:
        """See :class:`stream.store.ModelStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                names = self._keys(topic, partition)
                for key in keys:
                    pipe.pexpire(names.pane(key), RETIRED_TTL_MS)
                    pipe.zrem(names.open, key.member())
            pipe.execute()

    def load_model(self, model: str) -> tuple[int, bytes | None]:
        """See :class:`stream.store.ModelStore`."""
        stored = self.client.hmget(ModelKeys(self.prefix, model).state, "revision", "state")
        revision, state = cast("list[bytes | None]", stored)
        return _int(revision) or 0, state

    def load_memory(self, model: str) -> dict[str, bytes]:
        """See :class:`stream.store.ModelStore`."""
        stored = cast("dict[bytes, bytes]", self.client.hgetall(ModelKeys(self.prefix, model).memory))
        return {name.decode(): data for name, data in stored.items()}

    def decide(
        self,
        model: str,
        revision: int,
        state: bytes,
        messages: Iterable[Sequenced],
        memory: Mapping[str, bytes | None] = NO_MEMORY,
        *,
        outcomes: OutcomeCommit | None = None,
    ) -> int:
        """See :class:`stream.store.ModelStore`."""
        names = ModelKeys(self.prefix, model)
        keys = [names.state, names.outbox, names.memory, names.join, names.journal]
        args: list[Any] = [revision, state]
        if outcomes is None:
            args += ["", "", ""]
        else:
            keys += [names.outcome(start) for start in outcomes.panes]
            args += [outcomes.base, outcomes.upto, outcomes.ttl_ms, *outcomes.panes.values()]
        args.append(len(memory))
        for name, data in memory.items():
            args += [name, data or b""]
        numbered = list(messages)
        args.append(len(numbered))
        for sequence, message in numbered:
            args += [sequence, message.to_bytes()]
        verdict, stored = self._decide(keys=keys, args=args)
        if verdict == b"CONFLICT":
            raise Conflict(f"model {model}: revision {revision} expected, Redis holds {int(stored)}")
        if verdict == b"TRIMMED":
            raise Conflict(f"model {model}: its journal was trimmed to {int(stored)} by another evaluator")
        return int(stored)

    def outbox(self, model: str) -> list[Sequenced]:
        """See :class:`stream.store.ModelStore`."""
        return self._messages(ModelKeys(self.prefix, model).outbox)

    def trim_outbox(self, model: str, delivered_to: int) -> None:
        """See :class:`stream.store.ModelStore`."""
        self.client.zremrangebyscore(ModelKeys(self.prefix, model).outbox, "-inf", delivered_to)


def _refusal(commit: PartitionCommit, reply: list[bytes]) -> Exception | None:
    verdict, stored = reply
    if verdict == b"OK":
        return None
    if verdict == b"FENCED":
        return Fenced(commit.epoch, _int(stored) or 0)
    offset = _int(stored)
    if offset == commit.offset:  # our own write landed and its reply was lost
        return None
    return OffsetMismatch(
        -1 if commit.expected_offset is None else commit.expected_offset, -1 if offset is None else offset
    )
