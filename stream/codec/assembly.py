"""One batch in the making: what has been decoded so far, by model version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.codec.batch import Batch, Block, Rejected, rejected
from stream.codec.ids import TextIds
from stream.codec.joining import joined_block
from stream.codec.layout import VersionLayout
from stream.codec.times import NO_TIME, event_times
from stream.codec.values import utf8_length
from stream.errors import DecodeError
from stream.events import MAX_ID_BYTES


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
        self._parts: dict[VersionLayout, list[Block]] = {}
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
                part = self._block(target, np.array(waiting.rows, np.intp), waiting.events)
                self._parts.setdefault(target, []).append(part)
                del self.waiting[target]

    def batch(self, unmonitored: frozenset[str]) -> Batch:
        """Return the finished batch; the rows of ``unmonitored`` models are kept apart."""
        strangers: dict[str, list[int]] = {}
        for model, version in list(self.unknown):
            if model in unmonitored:
                strangers.setdefault(model, []).extend(self.unknown.pop((model, version)))
        blocks = map(joined_block, self._parts.values())
        return Batch(
            blocks=sorted(blocks, key=lambda block: int(block.rows[0])),
            rejected=sorted(self.rejected),
            unknown={key: np.array(sorted(rows), np.intp) for key, rows in self.unknown.items()},
            unmonitored={model: np.array(sorted(rows), np.intp) for model, rows in strangers.items()},
            ts_fallbacks=self._fallbacks,
            ts_ms=self._ts_ms,
        )

    def _block(self, target: VersionLayout, rows: NDArray[np.intp], events: list[Any]) -> Block:
        attributes = target.attributes.read(events)
        if attributes is None:
            attributes = target.attributes.plain(len(events))
        return Block(
            model=target.model,
            version=target.version,
            rows=rows,
            ts_ms=self._ts_ms[rows],
            ids=TextIds(event.prediction_id for event in events),
            columns=target.encode(events) | target.measured(attributes),
            attributes=attributes,
            answers=target.answers(events),
        )


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
