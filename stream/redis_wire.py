"""Calls of a script as the bytes that go to Redis: who makes a thousand of them packs most of it once.

redis-py packs and reads a command in some 20 µs, most of it spent on arguments that never change. Errors,
connections and retries are those of its pipelines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError, ResponseError

CHUNK = 65_536
"""Bytes that are sent at once: enough for a system call, few enough to stay in a processor's cache."""
Argument = bytes | str | int
Call = Iterable[bytes]
"""Bytes of one call, in pieces; it may be iterated again, where it has to be sent again."""


def bulk(argument: bytes) -> bytes:
    r"""One argument.

    >>> bulk(b"GET")
    b'$3\r\nGET\r\n'
    """
    return b"$%d\r\n%b\r\n" % (len(argument), argument)


def bulks(arguments: Iterable[Argument]) -> bytes:
    """Arguments one after the other."""
    return b"".join([bulk(each if isinstance(each, bytes) else str(each).encode()) for each in arguments])


class WireScript:
    """A script that is called with packed arguments.

    Parameters
    ----------
    client
        A redis-py client with ``decode_responses=False``; ``redis.RedisError`` passes through.
    text
        Of the script.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def start(self, keys: Sequence[str]) -> bytes:
        """Bytes of a call behind :meth:`count`: up to its keys, the arguments follow."""
        return bulks(("EVALSHA", self._sha, len(keys), *keys))

    @staticmethod
    def count(keys: int, arguments: int) -> bytes:
        """First bytes of a call of so many keys and arguments."""
        return b"*%d\r\n" % (3 + keys + arguments)

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send all ``calls`` and return their replies, in one round trip.

        Raises
        ------
        redis.RedisError
            Redis does not answer, or refuses a call: the first such error. The others may have been done.
        """
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            replies: list[Any] = connection.retry.call_with_retry(
                lambda: self._replies(connection, calls), lambda _: connection.disconnect()
            )
        finally:
            pool.release(connection)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def _replies(self, connection: Any, calls: Sequence[Call]) -> list[Any]:
        """Replies or the errors that Redis answered; a script that it does not have is brought to it."""
        replies = _asked(connection, calls)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            connection.send_command("SCRIPT", "LOAD", self._text)
            connection.read_response()
            again = _asked(connection, [calls[place] for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        return replies


def _asked(connection: Any, calls: Sequence[Call]) -> list[Any]:
    replies: list[Any] = []
    try:
        connection.send_packed_command(_chunks(calls))
        for _ in calls:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        connection.disconnect()  # whatever is still under way belongs to nobody
        raise
    return replies


def _chunks(calls: Iterable[Call]) -> Iterator[bytes]:
    """Pieces of all calls, joined to chunks."""
    pieces: list[bytes] = []
    size = 0
    for call in calls:
        for piece in call:
            pieces.append(piece)
            size += len(piece)
            if size >= CHUNK:
                yield b"".join(pieces)
                pieces.clear()
                size = 0
    if pieces:
        yield b"".join(pieces)
