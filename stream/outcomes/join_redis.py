"""The label join in Redis: the contract of :class:`stream.outcomes.join.JoinStore` on one script.

All keys of a model are in one slot. A call of the script is bounded in rows: it takes Redis some ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain, groupby
from typing import NamedTuple, cast

import redis

from stream.keys import ModelKeys
from stream.outcomes.join import (
    MAX_STRATA,
    OTHER_STRATUM,
    JoinCounts,
    Journal,
    Labels,
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
from stream.outcomes.model_rows import Joined, ModelRows
from stream.redis_wire import WireScript, bulk, bulks

_LUA = files("stream") / "lua"
JOIN = "".join((_LUA / name).read_text() for name in ("join_blocks.lua", "join_labels.lua", "join.lua"))
STRATA = (_LUA / "strata.lua").read_text()
ROWS_PER_CALL = 500
ROWS_PER_PIPELINE = 16_000
SLACK_MS = 3_600_000
"""How much longer than the horizon and its block an entry lives: what topics may lag behind each other."""
_PIECES = 32
_COUNTED = (len(JoinCounts._fields), *JoinCounts._fields)


_RENUMBERED = b"RENUMBERED"
_KEYS, _SECTION_ARGUMENTS = 4, 5
_STRATA_KEPT = 4096


class _Call(NamedTuple):
    """One call of the script: rows of one model, in pieces."""

    model: str
    rows: int
    data: list[bytes]


class _Head(NamedTuple):
    """What all calls of a model begin with, and how many arguments are in it."""

    data: bytes
    arguments: int


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
        self._join = WireScript(client, JOIN)
        self._heads: dict[tuple[str, int], _Head] = {}
        self._strata_bytes: dict[tuple[tuple[str, int], ...], bytes] = {}
        self._strata = client.register_script(STRATA)

    def join(
        self, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`: predictions first, at most 500 rows an atomic step."""
        counts = JoinCounts()
        for joined in self.join_all(ModelRows.of_one(model, predictions, labels, horizon_ms=horizon_ms)):
            counts = counts.plus(joined.counts)
        return counts

    def join_all(self, rows: ModelRows) -> Iterator[Joined]:
        """See :class:`stream.outcomes.join.JoinStore`: at most 500 rows an atomic step."""
        for calls in _batched(call for group in _grouped(rows) for call in self._calls(rows, *group)):
            replies = self._join.run([call.data for call in calls])
            for model, own in groupby(zip(calls, replies, strict=True), _model_of):
                counts = [reply for _, reply in own]
                if len(counts) == 1 and counts[0] != _RENUMBERED:
                    yield Joined(model, JoinCounts(*counts[0]))
                    continue
                done = [each for each in counts if each != _RENUMBERED]
                yield Joined(model, JoinCounts(*map(sum, zip(*done, strict=True))), len(done) < len(counts))

    def _calls(self, rows: ModelRows, first: int, last: int) -> Iterator[_Call]:
        """Calls for some of the models."""
        start, end = rows.ends[first - 1] if first else 0, rows.ends[last - 1]
        spans_ms = [block_span_ms(horizon_ms) for horizon_ms in rows.horizons_ms[first:last]]
        ends = [behind - start for behind in rows.ends[first:last]]
        packed = prediction_sections(rows.predictions.take(slice(start, end)), ends, spans_ms, ROWS_PER_CALL)
        for place, sections in enumerate(packed, first):
            model, strata = rows.models[place], rows.strata[place]
            labels = rows.labels.get(model)
            given = sections if labels is None else chain(sections, label_sections(labels, ROWS_PER_CALL))
            head = self._head(model, rows.horizons_ms[place])
            known = self._known_strata(strata)
            for call in _full(given):
                arguments = head.arguments + 1 + 2 * len(strata) + _SECTION_ARGUMENTS * len(call)
                data = [self._join.count(_KEYS, arguments), head.data, known]
                for section in call:
                    data += _arguments(section)
                yield _Call(model, sum([section.size for section in call]), data)

    def _known_strata(self, strata: Mapping[str, int]) -> bytes:
        """Arguments about strata: most models have the same, live and of one version."""
        key = tuple(strata.items())
        known = self._strata_bytes.get(key)
        if known is None:
            if len(self._strata_bytes) >= _STRATA_KEPT:
                self._strata_bytes.clear()
            known = self._strata_bytes[key] = bulks((len(key), *(part for of_one in key for part in of_one)))
        return known

    def _head(self, model: str, horizon_ms: int) -> _Head:
        head = self._heads.get((model, horizon_ms))
        if head is None:
            keys, span_ms = ModelKeys(self.prefix, model), block_span_ms(horizon_ms)
            ttl_ms = horizon_ms + span_ms + self.slack_ms
            arguments = (keys.stem, horizon_ms, span_ms, ttl_ms, NO_VALUE, *_COUNTED)
            start = self._join.start([keys.join, keys.blocks, keys.journal, keys.strata])
            head = self._heads[model, horizon_ms] = _Head(start + bulks(arguments), len(arguments))
        return head

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


def _arguments(section: Section) -> tuple[bytes, bytes, bytes]:
    """What the script takes of a section, rows as they are."""
    numbers = (section.block, section.likely, section.stride)
    head = [bulk(section.kind), *[bulk(b"%d" % number) for number in numbers], b"$%d\r\n" % len(section.rows)]
    return b"".join(head), section.rows, b"\r\n"


def _model_of(answered: tuple[_Call, object]) -> str:
    return answered[0].model


def _full(sections: Iterable[Section]) -> Iterator[list[Section]]:
    """Sections packed into calls of at most ``ROWS_PER_CALL`` rows."""
    call: list[Section] = []
    rows = 0
    for section in sections:
        if call and rows + section.size > ROWS_PER_CALL:
            yield call
            call, rows = [], 0
        call.append(section)
        rows += section.size
    if call:
        yield call


def _grouped(rows: ModelRows) -> Iterator[tuple[int, int]]:
    """Models whose rows are packed together, first and last: of about ``ROWS_PER_PIPELINE`` predictions."""
    first = start = 0
    for place, end in enumerate(rows.ends, 1):
        if end - start >= ROWS_PER_PIPELINE:
            yield first, place
            first, start = place, end
    if first < len(rows.models):
        yield first, len(rows.models)


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
