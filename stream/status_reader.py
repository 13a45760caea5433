"""Reading the status of a fleet from Redis; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

import msgspec
import redis

from stream.end_offsets import Bounds, Place
from stream.flood_register import FLOOD_SINCE
from stream.keys import ModelKeys, PartitionKeys, flood_key, topic_key, workers_pattern
from stream.learning.store import LearningStore
from stream.outcomes.join import JoinCounts
from stream.status import (
    LearningStatus,
    ModelStatus,
    Status,
    TopicStatus,
    UnknownModel,
    WorkerStatus,
    model_status,
    number,
    partition_status,
    texts,
)

_SCAN_COUNT = 1_000
_NAME = msgspec.json.Decoder(tuple[str, str])


class StatusReader:
    """Reads what workers keep in Redis. ``redis.RedisError`` passes through.

    Parameters
    ----------
    client
        With ``decode_responses=False``.
    """

    def __init__(self, client: redis.Redis, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def workers(self) -> list[WorkerStatus]:
        """Live workers by name."""
        keys = sorted(self._client.scan_iter(match=workers_pattern(self._prefix), count=_SCAN_COUNT))
        start = len(workers_pattern(self._prefix)) - 1
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(key)
            entries = [texts(entry) for entry in pipe.execute()]
        return [
            WorkerStatus(
                key.decode()[start:],
                entry.get("stage", ""),
                entry.get("metrics", ""),
                number(entry.get("started_ms")),
            )
            for key, entry in zip(keys, entries, strict=True)
            if entry  # it may have expired since the scan
        ]

    def partitions(self, topic: str) -> int:
        """Partitions that workers have declared; 0 = none has read the topic."""
        stored = self._client.hget(topic_key(self._prefix, topic), "partitions")
        return int(cast("bytes | None", stored) or 0)

    def topic(self, topic: str, partitions: int, bounds: Mapping[Place, Bounds]) -> TopicStatus:
        """Cursors and totals of the partitions of an input topic."""
        with self._client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                keys = PartitionKeys(self._prefix, topic, partition)
                pipe.hgetall(keys.cursor)
                pipe.zcard(keys.open)
                pipe.zcard(keys.outbox)
            pipe.hget(flood_key(self._prefix, topic), FLOOD_SINCE)
            *replies, since = pipe.execute()
        return TopicStatus(
            topic=topic,
            partitions=[
                partition_status(
                    p, texts(replies[3 * p]), bounds.get((topic, p)), *replies[3 * p + 1 : 3 * p + 3]
                )
                for p in range(partitions)
            ],
            flood_since_ms=None if since is None else int(since),
        )

    def unknown(self, topic: str, partitions: int) -> list[UnknownModel]:
        """Models without a reference and their events, most events first."""
        with self._client.pipeline(transaction=False) as pipe:
            for partition in range(partitions):
                pipe.hgetall(PartitionKeys(self._prefix, topic, partition).unknown)
            replies = pipe.execute()
        events: Counter[tuple[str, str]] = Counter()
        for reply in replies:
            for name, n in reply.items():
                events[_NAME.decode(name)] += int(n)
        ranked = sorted(events.items(), key=lambda item: (-item[1], item[0]))
        return [UnknownModel(topic, model, version, n) for (model, version), n in ranked]

    def models(self, models: Iterable[str]) -> list[ModelStatus]:
        """What was last decided of each model, and what its label join has done."""
        names = list(models)
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                keys = ModelKeys(self._prefix, name)
                pipe.hmget(keys.state, "revision", "state")
                pipe.zcard(keys.outbox)
                pipe.hmget(keys.join, JoinCounts._fields)
                pipe.llen(keys.journal)
            replies = iter(pipe.execute())
        return [
            replace(
                model_status(name, int(revision or 0), stored, int(outbox), _joins(counts)), journal=pieces
            )
            for name, (revision, stored), outbox, counts, pieces in zip(names, *[replies] * 4, strict=True)
        ]

    def learning(self, spans_ms: Mapping[str, int]) -> list[LearningStatus]:
        """Versions that are warming up, of models with how long each learns."""
        found = LearningStore(self._client, prefix=self._prefix).sightings(spans_ms)
        return [
            LearningStatus(
                model=model,
                version=each.version,
                since_ms=each.first_ms,
                until_ms=each.first_ms + spans_ms[model] * each.spans,
                reason=each.reason,
            )
            for model, sightings in found.items()
            for each in sightings
        ]


def _joins(counts: Iterable[bytes | None]) -> dict[str, int]:
    return {name: int(count or 0) for name, count in zip(JoinCounts._fields, counts, strict=True)}


def read_status(
    reader: StatusReader,
    *,
    topics: Iterable[str],
    models: Iterable[str],
    bounds: Mapping[Place, Bounds],
    learning: Mapping[str, int] = MappingProxyType({}),
    kafka: str | None = None,
) -> Status:
    """Read everything; ``bounds`` are what Kafka told, ``kafka`` why it told nothing.

    ``learning`` holds, of models that learn their references, the time they learn from in ms.
    """
    counts = {topic: reader.partitions(topic) for topic in topics}
    return Status(
        workers=reader.workers(),
        topics=[reader.topic(topic, n, bounds) for topic, n in counts.items()],
        models=reader.models(models),
        unknown_models=[each for topic, n in counts.items() for each in reader.unknown(topic, n)],
        learning=reader.learning(learning),
        kafka=kafka,
    )
