"""The label join in Redis: the contract of :class:`stream.outcomes.join.JoinStore` on one script.

All keys of a model are in one slot. A call of the script is bounded in rows: it takes Redis some ms.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import chain
from typing import Any, cast

import redis

from stream.errors import CorruptState
from stream.keys import ModelKeys
from stream.outcomes.join import (
    MAX_STRATA,
    OTHER_STRATUM,
    JoinCounts,
    Journal,
    Labels,
    Predictions,
    Transitions,
)
from stream.outcomes.join_packing import (
    NO_VALUE,
    Section,
    block_span_ms,
    joined_transitions,
    label_sections,
    prediction_sections,
    transitions_of,
)

log = logging.getLogger(__name__)
_LUA = files("stream") / "lua"
JOIN = "".join((_LUA / name).read_text() for name in ("join_blocks.lua", "join_labels.lua", "join.lua"))
STRATA = (_LUA / "strata.lua").read_text()
ROWS_PER_CALL = 500
CALLS_PER_PIPELINE = 32
SLACK_MS = 3_600_000
"""How much longer than the horizon and its block an entry lives: what topics may lag behind each other."""
_PIECES = 32


class RedisJoin:
    """Pending predictions, labels and journals on one Redis.

    Parameters
    ----------
    client
        A redis-py client with ``decode_responses=False``; ``redis.RedisError`` passes through.
    prefix
        Start of every key.
    slack_ms
        Entries expire by the wall clock ``horizon + horizon / 4 + slack_ms`` after their bucket was opened.
        Where a topic lags behind the other by more than this slack, labels may find their prediction gone.
    """

    def __init__(self, client: redis.Redis, *, prefix: str, slack_ms: int = SLACK_MS) -> None:
        self.client = client
        self.prefix = prefix
        self.slack_ms = slack_ms
        self.quarantined = 0
        self._join = client.register_script(JOIN)
        self._strata = client.register_script(STRATA)

    def join(
        self, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`: predictions first, at most 500 rows an atomic step."""
        span_ms = block_span_ms(horizon_ms)
        head = [
            ModelKeys(self.prefix, model).stem,
            horizon_ms,
            span_ms,
            horizon_ms + span_ms + self.slack_ms,
            NO_VALUE,
            len(JoinCounts._fields),
            *JoinCounts._fields,
        ]
        sections = chain(
            () if predictions is None else prediction_sections(predictions, span_ms, ROWS_PER_CALL),
            () if labels is None else label_sections(labels, ROWS_PER_CALL),
        )
        counts = JoinCounts()
        for calls in _batched(_calls(sections), CALLS_PER_PIPELINE):
            counts = counts.plus(self._send(model, head, calls))
        return counts

    def _send(self, model: str, head: list[Any], calls: Sequence[Sequence[Section]]) -> JoinCounts:
        keys = ModelKeys(self.prefix, model)
        with self.client.pipeline(transaction=False) as pipe:
            for sections in calls:
                rows = [part for s in sections for part in (s.kind, s.block, s.stride, s.rows)]
                self._join(keys=[keys.join, keys.blocks, keys.journal], args=head + rows, client=pipe)
            replies = pipe.execute()
        counts = JoinCounts()
        for reply in replies:
            counts = counts.plus(JoinCounts(*reply))
        return counts

    def strata(self, model: str, names: Sequence[str]) -> dict[str, int]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        if not names:
            return {}
        ids = self._strata(
            keys=[ModelKeys(self.prefix, model).strata], args=[MAX_STRATA, OTHER_STRATUM, *names]
        )
        return dict(zip(names, map(int, ids), strict=True))

    def strata_names(self, model: str) -> dict[int, str]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        stored = cast("dict[bytes, bytes]", self.client.hgetall(ModelKeys(self.prefix, model).strata))
        return {int(number): name.decode() for name, number in stored.items()}

    def waiting(self, models: Sequence[str]) -> set[str]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        with self.client.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.llen(ModelKeys(self.prefix, model).journal)
            lengths = pipe.execute()
        return {model for model, length in zip(models, lengths, strict=True) if length}

    def journal(self, model: str, limit: int) -> Journal:
        """See :class:`stream.outcomes.join.JoinStore`. A damaged piece is left out, and counted."""
        keys = ModelKeys(self.prefix, model)
        pieces: list[Transitions] = []
        base = read = rows = 0
        more = True
        while more and rows < limit:
            with self.client.pipeline(transaction=True) as pipe:
                pipe.hget(keys.join, "base")
                pipe.lrange(keys.journal, read, read + _PIECES - 1)
                pipe.llen(keys.journal)
                stored, chunks, length = pipe.execute()
            if read and int(stored or 0) != base:
                break  # another owner has trimmed it: what was read is refused by decide
            base = int(stored or 0)
            for chunk in chunks:
                pieces.append(self._transitions(chunk))
                read += 1
                rows += len(pieces[-1])
                if rows >= limit:
                    break
            more = read < length
        return Journal(joined_transitions(pieces), base, base + read, more)

    def _transitions(self, chunk: bytes) -> Transitions:
        try:
            return transitions_of(chunk)
        except CorruptState as exc:
            self.quarantined += 1
            log.error('outcomes quarantined, their windows lack them reason="%s"', exc)
            return joined_transitions([])

    def join_counts(self, model: str) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`."""
        stored = self.client.hmget(ModelKeys(self.prefix, model).join, JoinCounts._fields)
        return JoinCounts(*(int(value or 0) for value in cast("list[bytes | None]", stored)))

    def outcome_panes(self, model: str, starts_ms: Sequence[int]) -> dict[int, bytes]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        if not starts_ms:
            return {}
        keys = ModelKeys(self.prefix, model)
        stored = cast("list[bytes | None]", self.client.mget([keys.outcome(start) for start in starts_ms]))
        return {start: data for start, data in zip(starts_ms, stored, strict=True) if data is not None}


def _calls(sections: Iterable[Section]) -> Iterator[list[Section]]:
    """Sections packed into calls of at most ``ROWS_PER_CALL`` rows."""
    call: list[Section] = []
    rows = 0
    for section in sections:
        if call and rows + len(section) > ROWS_PER_CALL:
            yield call
            call, rows = [], 0
        call.append(section)
        rows += len(section)
    if call:
        yield call


def _batched(calls: Iterable[list[Section]], size: int) -> Iterator[list[list[Section]]]:
    batch: list[list[Section]] = []
    for call in calls:
        batch.append(call)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
