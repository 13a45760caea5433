"""Forgetting prediction ids: their pending entries go, and do not come back when Kafka is read again.

What is kept of an id is 8 bytes of a keyed hash, in the buckets of the label join (``lua/join.lua``). The
hash is made again under every key that is or was in use, and what stands under it is deleted. What has been
counted stays counted: counts hold no id, and nothing in them can be found again by one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import redis

from stream.keys import ModelKeys
from stream.outcomes.join import DEFAULT_SECRET, id_keys
from stream.settings.privacy_section import PrivacySettings

EARLY_BUCKETS: Final = 4096  # as in lua/join_labels.lua
MOST_ACTS: Final = 1_000
"""Acts of forgetting that are remembered for a model: when, how many ids, what was removed; never which."""
_BATCH: Final = 500


@dataclass(frozen=True)
class Forgotten:
    """What was removed of one model: pending predictions (with the label that had joined), waiting labels.

    ``ids`` were asked for; ``known`` of them had been forgotten before and were still kept out.
    """

    model: str
    ids: int
    predictions: int
    labels: int
    known: int


def live_keys(privacy: PrivacySettings) -> list[bytes]:
    """Every secret under which an id may be kept: the current one, former ones, and the one of no setting."""
    given = [key for key in (privacy.id_key, *privacy.previous_id_keys) if key is not None]
    return [*(key.get_secret_value().encode() for key in given), DEFAULT_SECRET]


class Forgetter:
    """Forgets ids in one Redis; ``redis.RedisError`` passes through. Doing it twice removes nothing more.

    Parameters
    ----------
    client
        With ``decode_responses=False``.
    secrets
        :func:`live_keys`.
    remember_ms
        How long ids are kept out, from now: as long as Kafka may give their events again.
    """

    def __init__(
        self, client: redis.Redis, *, prefix: str, secrets: Sequence[bytes], remember_ms: int
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._secrets = secrets
        self._remember_ms = remember_ms

    def forget(self, model: str, ids: Sequence[str]) -> Forgotten:
        """Forget ids of a model, and note that it was done.

        1. The ids are kept out: an event read from now on changes nothing.
        2. Their entries are deleted, wherever the join may have put them.
        3. The act is noted, without the ids.

        After a failure do it again: each step may happen twice.
        """
        keys = [
            struct.pack("<Q", key)
            for secret in self._secrets
            for key in id_keys(model, list(ids), secret).tolist()
        ]
        now_ms = self._now_ms()
        known = self._keep_out(model, keys, now_ms)
        predictions = labels = 0
        blocks = self._blocks(model)
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            predictions += self._delete(part, lambda key: self._pending(model, blocks, key))
            labels += self._delete(part, lambda key: iter((self._early(model, key),)))
        found = Forgotten(model, len(ids), predictions, labels, known)
        self._note(found, now_ms)
        return found

    def acts(self, model: str) -> list[dict[str, int]]:
        """What was forgotten when, the newest first."""
        stored = cast("list[bytes]", self._client.lrange(ModelKeys(self._prefix, model).forgettings, 0, -1))
        return [json.loads(line) for line in stored]

    def _now_ms(self) -> int:
        seconds, micros = self._client.time()
        return seconds * 1000 + micros // 1000

    def _keep_out(self, model: str, keys: Sequence[bytes], now_ms: int) -> int:
        """Keep ids out; how many ids were already. What has expired is let go of."""
        name = ModelKeys(self._prefix, model).forgotten
        until_ms = now_ms + self._remember_ms
        with self._client.pipeline() as pipe:
            pipe.zremrangebyscore(name, "-inf", now_ms)
            for key in keys:
                pipe.zadd(name, {key: until_ms}, gt=True)
            pipe.zrange(name, -1, -1, withscores=True)
            replies = pipe.execute()
        last_ms = int(replies[-1][0][1])
        self._client.pexpireat(name, last_ms)
        added = sum(map(int, replies[1:-1]))
        return (len(keys) - added) // len(self._secrets)

    def _blocks(self, model: str) -> Mapping[str, list[int]]:
        """Blocks of event time that have entries, with the number of buckets of each generation."""
        stored = cast("dict[bytes, bytes]", self._client.hgetall(ModelKeys(self._prefix, model).blocks))
        return {name.decode(): [int(n) for n in value.split()[2:]] for name, value in stored.items()}

    def _pending(self, model: str, blocks: Mapping[str, list[int]], key: bytes) -> Iterator[str]:
        """Every bucket that may hold the prediction of a key."""
        stem, (bucket,) = ModelKeys(self._prefix, model).stem, struct.unpack_from("<I", key)
        for name, sizes in blocks.items():
            for generation, size in enumerate(sizes, 1):
                yield f"{stem}pending:{name}:{generation}:{bucket % size}"

    def _early(self, model: str, key: bytes) -> str:
        """The bucket where labels of a key wait for their prediction."""
        (bucket,) = struct.unpack_from("<I", key)
        return f"{ModelKeys(self._prefix, model).stem}early:{bucket % EARLY_BUCKETS}"

    def _delete(self, keys: Sequence[bytes], places: Any) -> int:
        """Delete the entries of keys; how many there were."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                for name in places(key):
                    pipe.hdel(name, cast("str", key))
            return int(sum(pipe.execute()))

    def _note(self, found: Forgotten, now_ms: int) -> None:
        act = {"at_ms": now_ms, "ids": found.ids, "predictions": found.predictions, "labels": found.labels}
        name = ModelKeys(self._prefix, found.model).forgettings
        with self._client.pipeline() as pipe:
            pipe.lpush(name, json.dumps(act))
            pipe.ltrim(name, 0, MOST_ACTS - 1)
            pipe.execute()
