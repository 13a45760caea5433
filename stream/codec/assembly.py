"""One batch in the making: what has been decoded so far, by model version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.codec.attributes import Attributes, joined, taken
from stream.codec.batch import Batch, Block, Rejected, rejected
from stream.codec.layout import VersionLayout
from stream.codec.times import NO_TIME, event_times
from stream.codec.values import utf8_length
from stream.errors import DecodeError
from stream.events import MAX_ID_BYTES


class _Part(NamedTuple):
    rows: NDArray[np.intp]
    ids: list[str]
    columns: dict[str, NDArray[Any]]
    attributes: Attributes | None
    answers: list[Any]


class Waiting:
    """Events of one model version that are not columns yet."""

    __slots__ = ("events", "rows")

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.events: list[Any] = []


class Assembly:
    """Collects rows; every row given to it ends in one block, in ``unknown`` or in ``rejected``."""

    def __init__(self, size: int, record_ms: Sequence[int]) -> None:
        self.rejected: list[Rejected] = []
        self.unknown: dict[tuple[str, str], list[int]] = {}
        self.waiting: defaultdict[VersionLayout, Waiting] = defaultdict(Waiting)
        self._parts: dict[VersionLayout, list[_Part]] = {}
        self._ts_ms = np.full(size, NO_TIME, np.int64)
        self._record_ms = record_ms
        self._fallbacks = 0

    def admit(self, rows: NDArray[np.intp], events: list[Any]) -> tuple[NDArray[np.intp], list[Any]]:
        """Note the event times; return the rows and events less those without a time or with a bad id."""
        raw = [event.ts for event in events]
        times = event_times(raw, rows, self._record_ms)
        self._fallbacks += times.fallbacks
        self._ts_ms[rows] = times.ms
        bad = {place: _no_time(raw[place]) for place in np.flatnonzero(times.ms == NO_TIME).tolist()}
        bad |= _long_ids(events)
        if not bad:
            return rows, events
        for place, error in bad.items():
            self._ts_ms[rows[place]] = NO_TIME
            self._fallbacks -= raw[place] is None
            self.rejected.append(rejected(int(rows[place]), error))
        kept = [place for place in range(len(rows)) if place not in bad]
        return rows[kept], [events[place] for place in kept]

    def add(self, target: VersionLayout, rows: list[int], events: list[Any]) -> None:
        """Add decoded events that are all of one model version."""
        waiting = self.waiting[target]
        waiting.rows += rows
        waiting.events += events

    def encode(self, *, more_than: int = 0, newest: bool = True) -> None:
        """Turn the events of each version with ``more_than`` so many into columns, and let go of them.

        Without ``newest`` the version that was met last waits for the rest of its events.
        """
        targets = list(self.waiting.items())
        for target, waiting in targets if newest else targets[:-1]:
            if len(waiting.rows) > more_than:
                events = waiting.events
                ids = [event.prediction_id for event in events]
                columns, attributes = target.encode(events), target.attributes.read(events)
                rows = np.array(waiting.rows, np.intp)
                part = _Part(rows, ids, columns, attributes, target.answers(events))
                self._parts.setdefault(target, []).append(part)
                del self.waiting[target]

    def batch(self, unmonitored: frozenset[str]) -> Batch:
        """Return the finished batch; the rows of ``unmonitored`` models are kept apart."""
        strangers: dict[str, list[int]] = {}
        for model, version in list(self.unknown):
            if model in unmonitored:
                strangers.setdefault(model, []).extend(self.unknown.pop((model, version)))
        return Batch(
            blocks=[self._block(target, parts) for target, parts in self._parts.items()],
            rejected=sorted(self.rejected),
            unknown={key: np.array(sorted(rows), np.intp) for key, rows in self.unknown.items()},
            unmonitored={model: np.array(sorted(rows), np.intp) for model, rows in strangers.items()},
            ts_fallbacks=self._fallbacks,
            ts_ms=self._ts_ms,
        )

    def _block(self, target: VersionLayout, parts: list[_Part]) -> Block:
        rows = np.concatenate([part.rows for part in parts])
        ids, columns, answers = parts[0].ids, parts[0].columns, parts[0].answers
        if len(parts) > 1:
            ids = list(chain.from_iterable(part.ids for part in parts))
            answers = list(chain.from_iterable(part.answers for part in parts))
            columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in columns}
        attributes = _attributes(target, parts)
        if (rows[1:] < rows[:-1]).any():  # not decoded in the order of the batch
            order = np.argsort(rows)
            rows, ids = rows[order], [ids[place] for place in order.tolist()]
            answers = [answers[place] for place in order.tolist()] if answers else answers
            columns = {name: column[order] for name, column in columns.items()}
            attributes = taken(attributes, order)
        return Block(
            model=target.model,
            version=target.version,
            rows=rows,
            ts_ms=self._ts_ms[rows],
            ids=ids,
            columns=columns | target.measured(attributes),
            attributes=attributes,
            answers=answers,
        )


def _attributes(target: VersionLayout, parts: list[_Part]) -> Attributes:
    plain = target.attributes.plain
    if all(part.attributes is None for part in parts):
        return plain(sum(len(part.rows) for part in parts))
    return joined([plain(len(part.rows)) if part.attributes is None else part.attributes for part in parts])


def _no_time(raw: object) -> DecodeError:
    if raw is None:
        return DecodeError("bad_timestamp", "no ts, and the Kafka record has no time")
    return DecodeError("bad_timestamp", "ts is not between 1973 and 9999: epoch times are milliseconds")


def _long_ids(events: list[Any]) -> dict[int, DecodeError]:
    """Return the places of ids over 128 bytes; the struct has bounded their characters already."""
    ids = [event.prediction_id for event in events]
    if "".join(ids).isascii():
        return {}
    error = DecodeError("string_too_long", f"prediction_id is over {MAX_ID_BYTES} bytes")
    return {place: error for place, identity in enumerate(ids) if utf8_length(identity) > MAX_ID_BYTES}
