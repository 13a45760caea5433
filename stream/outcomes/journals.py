"""How much of the label join waits for an evaluation: a journal that nobody reads has no limit.

Why none is cut is in docs/decisions/0011-label-join.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import redis

from stream.keys import ModelKeys


def longest_journal(client: redis.Redis, prefix: str, models: Collection[str]) -> int:
    """Pieces of the longest journal of these models, whoever evaluates them, or nobody.

    A piece is what one step of a join has changed: up to 500 rows of 14 to 70 bytes.
    ``redis.RedisError`` passes through.
    """
    if not models:
        return 0
    with client.pipeline(transaction=False) as pipe:
        for model in models:
            pipe.llen(ModelKeys(prefix, model).journal)
        lengths: list[int] = pipe.execute()
    return max(lengths)


def journal_watch(
    prefix: str, models: Collection[str], show: Callable[[int], None]
) -> Callable[[redis.Redis], None]:
    """Return what shows the length of the longest journal when it is given a client."""
    return lambda client: show(longest_journal(client, prefix, models))
