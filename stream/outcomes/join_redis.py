"""The label join in Redis: the contract of :class:`stream.outcomes.join.JoinStore` on one script.

All keys of a model are in one slot. A call of the script is bounded in rows: it takes Redis some ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain, groupby
from typing import Any, NamedTuple, cast

import redis

from stream.keys import ModelKeys
from stream.outcomes.join import (
    MAX_STRATA,
    OTHER_STRATUM,
    JoinCounts,
    Journal,
    Labels,
    ModelRows,
    Predictions,
)
from stream.outcomes.join_packing import (
    NO_VALUE,
    Section,
    block_span_ms,
    label_sections,
    prediction_sections,
)
from stream.outcomes.journal_read import JournalRead

_LUA = files("stream") / "lua"
JOIN = "".join((_LUA / name).read_text() for name in ("join_blocks.lua", "join_labels.lua", "join.lua"))
STRATA = (_LUA / "strata.lua").read_text()
ROWS_PER_CALL = 500
ROWS_PER_PIPELINE = 16_000
SLACK_MS = 3_600_000
"""How much longer than the horizon and its block an entry lives: what topics may lag behind each other."""
_PIECES = 32
_COUNTED = (len(JoinCounts._fields), *JoinCounts._fields)


class _Call(NamedTuple):
    """One call of the script: rows of one model."""

    model: str
    rows: int
    keys: list[str]
    args: list[Any]


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
        self._join = client.register_script(JOIN)
        self._strata = client.register_script(STRATA)

    def join(
        self, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`: predictions first, at most 500 rows an atomic step."""
        counts = JoinCounts()
        for _, part in self.join_all([ModelRows(model, predictions, labels, horizon_ms)]):
            counts = counts.plus(part)
        return counts

    def join_all(self, rows: Sequence[ModelRows]) -> Iterator[tuple[str, JoinCounts]]:
        """See :class:`stream.outcomes.join.JoinStore`: at most 500 rows an atomic step."""
        for calls in _batched(call for group in _grouped(rows) for call in self._calls(group)):
            with self.client.pipeline(transaction=False) as pipe:
                for call in calls:
                    self._join(keys=call.keys, args=call.args, client=pipe)
                replies = pipe.execute()
            for model, own in groupby(zip(calls, replies, strict=True), lambda each: each[0].model):
                yield model, JoinCounts(*map(sum, zip(*(reply for _, reply in own), strict=True)))

    def _calls(self, group: Sequence[ModelRows]) -> Iterator[_Call]:
        predicted = {
            place: (each.predictions, block_span_ms(each.horizon_ms))
            for place, each in enumerate(group)
            if each.predictions is not None
        }
        packed = dict(zip(predicted, prediction_sections([*predicted.values()], ROWS_PER_CALL), strict=True))
        for place, rows in enumerate(group):
            labels = () if rows.labels is None else label_sections(rows.labels, ROWS_PER_CALL)
            yield from self._calls_of(rows, chain(packed.get(place, ()), labels))

    def _calls_of(self, rows: ModelRows, sections: Iterable[Section]) -> Iterator[_Call]:
        keys = ModelKeys(self.prefix, rows.model)
        span_ms = block_span_ms(rows.horizon_ms)
        ttl_ms = rows.horizon_ms + span_ms + self.slack_ms
        head = [keys.stem, rows.horizon_ms, span_ms, ttl_ms, NO_VALUE, *_COUNTED]
        names = [keys.join, keys.blocks, keys.journal]
        for call in _full(sections):
            parts = [part for s in call for part in (s.kind, s.block, s.likely, s.stride, s.rows)]
            yield _Call(rows.model, sum(map(len, call)), names, head + parts)

    def strata(self, model: str, names: Sequence[str]) -> dict[str, int]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        if not names:
            return {}
        ids = self._strata(
            keys=[ModelKeys(self.prefix, model).strata], args=[MAX_STRATA, OTHER_STRATUM, *names]
        )
        return dict(zip(names, map(int, ids), strict=True))

    def strata_of(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        asked = {model: of_model for model, of_model in names.items() if of_model}
        with self.client.pipeline(transaction=False) as pipe:
            for model, of_model in asked.items():
                keys = [ModelKeys(self.prefix, model).strata]
                self._strata(keys=keys, args=[MAX_STRATA, OTHER_STRATUM, *of_model], client=pipe)
            replies = pipe.execute()
        numbers: dict[str, dict[str, int]] = {model: {} for model in names}
        for (model, of_model), reply in zip(asked.items(), replies, strict=True):
            numbers[model] = dict(zip(of_model, map(int, reply), strict=True))
        return numbers

    def strata_names(self, model: str) -> dict[int, str]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        stored = cast("dict[bytes, bytes]", self.client.hgetall(ModelKeys(self.prefix, model).strata))
        return {int(number): name.decode() for name, number in stored.items()}

    def journal(self, model: str, limit: int) -> Journal:
        """See :class:`stream.outcomes.join.JoinStore`. A damaged piece is left out, and counted."""
        return self.journals([model], limit)[model]

    def journals(self, models: Sequence[str], limit: int) -> dict[str, Journal]:
        """See :class:`stream.outcomes.join.JoinStore`: one round trip, more for those with much to read."""
        reads = {model: JournalRead(model, limit) for model in models}
        while unread := [model for model, read in reads.items() if not read.over]:
            with self.client.pipeline(transaction=False) as pipe:
                for model in unread:
                    keys, at = ModelKeys(self.prefix, model), reads[model].pieces
                    pipe.hget(keys.join, "base")
                    pipe.lrange(keys.journal, at, at + _PIECES - 1)
                    pipe.llen(keys.journal)
                    pipe.hget(keys.join, "base")
                replies = iter(pipe.execute())
            for model, base, chunks, length, still in zip(
                unread, replies, replies, replies, replies, strict=True
            ):
                reads[model].take(int(base or 0), chunks, length, still=int(still or 0))
        return {model: read.journal() for model, read in reads.items()}

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

    def outcome_panes_of(self, starts_ms: Mapping[str, Sequence[int]]) -> dict[str, dict[int, bytes]]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        asked = {model: starts for model, starts in starts_ms.items() if starts}
        with self.client.pipeline(transaction=False) as pipe:
            for model, starts in asked.items():
                keys = ModelKeys(self.prefix, model)
                pipe.mget([keys.outcome(start) for start in starts])
            replies = pipe.execute()
        stored: dict[str, dict[int, bytes]] = {model: {} for model in starts_ms}
        for (model, starts), reply in zip(asked.items(), replies, strict=True):
            stored[model] = {
                start: data for start, data in zip(starts, reply, strict=True) if data is not None
            }
        return stored


def _full(sections: Iterable[Section]) -> Iterator[list[Section]]:
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


def _grouped(rows: Sequence[ModelRows]) -> Iterator[list[ModelRows]]:
    """Models whose rows are packed together: of about ``ROWS_PER_PIPELINE`` predictions."""
    group: list[ModelRows] = []
    size = 0
    for each in rows:
        group.append(each)
        size += 0 if each.predictions is None else len(each.predictions)
        if size >= ROWS_PER_PIPELINE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _batched(calls: Iterable[_Call]) -> Iterator[list[_Call]]:
    """Calls packed into pipelines of about ``ROWS_PER_PIPELINE`` rows, in their order."""
    batch: list[_Call] = []
    rows = 0
    for call in calls:
        batch.append(call)
        rows += call.rows
        if rows >= ROWS_PER_PIPELINE:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch
