"""The floods that are going on, in Redis: all workers that notice one tell of the same incident."""

from __future__ import annotations

from typing import cast

import redis

from stream.keys import flood_key

TTL_MS = 60_000
"""How long a worker that is not heard of any more counts as one that sees the flood."""
FLOOD_SINCE = b"since"
"""Field of the moment in epoch ms at which the first worker noticed the flood."""


class FloodRegister:
    """One hash a topic: since when the flood goes on, and until when each worker has seen it.

    ``redis.RedisError`` passes through.
    """

    def __init__(self, client: redis.Redis, *, prefix: str, worker: str) -> None:
        self._client = client
        self._prefix = prefix
        self._worker = worker

    def join(self, topic: str, now_ms: int) -> int:
        """Say that we see the flood; since when it goes on, in epoch ms."""
        key = flood_key(self._prefix, topic)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hsetnx(key, FLOOD_SINCE, now_ms)
            pipe.hset(key, f"worker:{self._worker}", now_ms + TTL_MS)
            pipe.hget(key, FLOOD_SINCE)
            *_, since = pipe.execute()
        return int(cast("bytes", since))

    def leave(self, topic: str) -> None:
        """Say that we see it no more."""
        self._client.hdel(flood_key(self._prefix, topic), f"worker:{self._worker}")

    def over(self, topic: str, now_ms: int) -> int | None:
        """Since when a flood went on that no worker sees any more; None when there is none to end."""
        entries = cast("dict[bytes, bytes]", self._client.hgetall(flood_key(self._prefix, topic)))
        since = entries.pop(FLOOD_SINCE, None)
        if since is None or any(int(until) > now_ms for until in entries.values()):
            return None
        return int(since)

    def forget(self, topic: str) -> None:
        """The end has been told."""
        self._client.delete(flood_key(self._prefix, topic))
