"""A live worker's entry in Redis, so that ``driftstream status`` can list who runs where.

With each refresh it is looked whether Redis has been restarted (:mod:`stream.redis_file`), and with some of
them at what else is to be watched there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from itertools import count
from types import TracebackType
from typing import Any

import redis

from stream.keys import worker_key
from stream.redis_file import RedisFile

log = logging.getLogger(__name__)
TTL_MS = 15_000
REFRESH_S, SOON_S = 5.0, 0.5
REFRESHES_PER_WATCH = 6


class Presence:
    """Keeps the entry alive while the context lasts. Redis being away is no reason to fail: it comes back.

    Parameters
    ----------
    about
        The fields of the entry.
    watch
        Called with the client at once and about every half minute; may raise ``redis.RedisError``.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        name: str,
        about: Mapping[str, str],
        *,
        watch: Callable[[redis.Redis], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._watch = watch
        self._key = worker_key(prefix, name)
        self._about: dict[Any, Any] = dict(about)
        self._file = RedisFile(client, prefix)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="presence", daemon=True)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._client.delete(self._key)
        except redis.RedisError as exc:
            log.warning('entry left to expire key="%s" reason="%s"', self._key, exc)
        self._client.close()

    def _refresh(self) -> None:
        for turn in count():
            wait_s = REFRESH_S
            try:
                with self._client.pipeline() as pipe:
                    pipe.hset(self._key, mapping=self._about)
                    pipe.pexpire(self._key, TTL_MS)
                    pipe.execute()
                if not self._file.look():
                    wait_s = SOON_S
                if turn % REFRESHES_PER_WATCH == 0:
                    self._watch(self._client)
            except redis.RedisError as exc:
                log.debug('entry not refreshed key="%s" reason="%s"', self._key, exc)
            if self._ended.wait(wait_s):
                return
