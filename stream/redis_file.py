"""After a restart of Redis its append-only file is written anew, once.

A Redis that found its file cut *within a transaction* (a power loss) drops the half from memory but leaves it
in the file, and applies it at its next start (valkey-io/valkey#4342): counts of a commit would then stand
without its offset and be counted again. A file that was written anew holds what Redis holds in memory.
"""

from __future__ import annotations

import logging

import redis
from redis.exceptions import NoPermissionError, ResponseError

from stream.keys import file_key

log = logging.getLogger(__name__)


class RedisFile:
    """Watches for restarts; several workers may, and the file is written anew once or twice then.

    Each start of a server has an id of its own (``run_id``). The one whose file is known to be whole is kept
    in Redis.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = file_key(prefix)
        self._whole: str | None = None
        self._asked: str | None = None

    def look(self) -> bool:
        """Ask for a new file when this start of Redis has not been seen; note when it has been written.

        To be called every few seconds, and soon again while it returns False: the file is being written.
        Without the right to ask, it says so once and leaves it.

        Raises
        ------
        redis.RedisError
            Redis does not answer.
        """
        if self._whole == "":
            return True
        try:
            return self._look()
        except NoPermissionError as exc:
            self._whole = ""
            log.warning(
                "after a power loss run BGREWRITEAOF before the next restart, or let the worker do it: "
                'grant +info +bgrewriteaof reason="%s"',
                exc,
            )
            return True

    def _look(self) -> bool:
        run_id = str(self._client.info("server")["run_id"])
        if run_id == self._whole:
            return True
        noted = self._client.hget(self._key, "run_id")
        file = self._client.info("persistence")
        if not file["aof_enabled"] or noted == run_id.encode():
            self._whole = run_id
        elif self._asked != run_id:
            self._ask(run_id)
        elif not file["aof_rewrite_in_progress"] and not file["aof_rewrite_scheduled"]:
            self._written(run_id, status=file["aof_last_bgrewrite_status"])
        return self._whole == run_id

    def _ask(self, run_id: str) -> None:
        log.info('Redis has started, its append-only file is written anew run_id="%s"', run_id)
        try:
            self._client.bgrewriteaof()
        except NoPermissionError:
            raise
        except ResponseError as exc:  # it is being written already: begun after the start, so as good
            log.debug('append-only file reason="%s"', exc)
        self._asked = run_id

    def _written(self, run_id: str, *, status: object) -> None:
        self._asked = None
        if status != "ok":
            log.error('append-only file could not be written anew, asking again status="%s"', status)
            return
        self._client.hset(self._key, "run_id", run_id)
        self._whole = run_id
