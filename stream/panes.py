"""Panes: a partition's counts of one slice of event time, and how batches of events become them.

Pure: decoded blocks in, changed panes out. Everything a partition counts between two commits lives in
:class:`PartitionIntake`, so a failed commit is undone by dropping the object.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from detectors import CorruptBytes, Counts, GrowingCounts, NewerBytes
from stream.errors import CorruptState, NewerState
from stream.keys import PaneKey
from stream.outcomes.join_rows import JoinRows
from stream.packing import Kind, head_of, unpack
from stream.watermarks import max_known

_SPAN = struct.Struct("<qq")
PANE_HEAD = head_of(Kind.PANE)
"""How the bytes of a pane start; the span follows the frame."""
NO_EVENT_MS = -1


@dataclass(slots=True)
class Pane:
    """Counts of one slice and the span of event times seen."""

    counts: GrowingCounts
    min_ts_ms: int = NO_EVENT_MS
    max_ts_ms: int = NO_EVENT_MS

    def add(self, counts: GrowingCounts, min_ts_ms: int, max_ts_ms: int) -> None:
        """Merge ``counts`` in place and widen the span."""
        self.counts.merge(counts)
        self.widen(min_ts_ms, max_ts_ms)

    def widen(self, min_ts_ms: int, max_ts_ms: int) -> None:
        """Have the span hold these event times too."""
        self.min_ts_ms = min_ts_ms if self.min_ts_ms == NO_EVENT_MS else min(self.min_ts_ms, min_ts_ms)
        self.max_ts_ms = max(self.max_ts_ms, max_ts_ms)

    def to_bytes(self) -> bytes:
        """Packed form, exact."""
        return self.counts.framed(PANE_HEAD, _SPAN.pack(self.min_ts_ms, self.max_ts_ms))

    @classmethod
    def from_bytes(cls, data: bytes) -> Pane:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        CorruptState
            The bytes fail a check.
        """
        payload = unpack(Kind.PANE, data)
        if len(payload) < _SPAN.size:
            raise CorruptState(f"stored pane: a payload of {len(payload)} bytes is too short")
        min_ts_ms, max_ts_ms = _SPAN.unpack_from(payload)
        try:
            counts = Counts.from_bytes(payload[_SPAN.size :])
        except CorruptBytes as exc:
            raise CorruptState(f"stored pane: {exc}") from exc
        except NewerBytes as exc:
            raise NewerState(f"stored pane: {exc}") from exc
        return cls(counts, min_ts_ms, max_ts_ms)


@dataclass
class PartitionIntake:
    """What one partition has counted since it was assigned, and what of it is not committed yet.

    ``panes`` holds the counts of every pane touched lately, ``dirty`` the keys to write, ``totals`` the
    increments of the exact counters kept beside the offset, ``outcomes`` the rows that wait for the join. A
    commit overwrites, so what earlier commits hold of a pane must be merged into it first: :meth:`missing`
    tells of which, :meth:`restore` does it.
    """

    watermark_ms: int | None = None
    panes: dict[PaneKey, Pane] = field(default_factory=dict)
    dirty: set[PaneKey] = field(default_factory=set)
    totals: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    outcomes: JoinRows = field(default_factory=JoinRows)
    _announced: set[PaneKey] = field(default_factory=set)
    _whole: set[PaneKey] = field(default_factory=set)

    def missing(self) -> list[PaneKey]:
        """Dirty panes whose earlier counts must be restored before they can be committed."""
        return sorted(self.dirty - self._whole)

    def restore(self, keys: Iterable[PaneKey], committed: Mapping[PaneKey, Pane]) -> None:
        """Merge what earlier commits hold of ``keys``; those not in ``committed`` are new."""
        for key in keys:
            if (pane := committed.get(key)) is not None:
                self.panes[key].add(pane.counts, pane.min_ts_ms, pane.max_ts_ms)
                self._announced.add(key)
            self._whole.add(key)

    def add(self, key: PaneKey, pane: Pane) -> None:
        """Merge a batch's counts of one pane."""
        held = self.panes.get(key)
        if held is None:
            self.panes[key] = pane
        else:
            held.add(pane.counts, pane.min_ts_ms, pane.max_ts_ms)
        self.dirty.add(key)

    def advance(self, watermark_ms: int) -> None:
        """Move the watermark forward; it never goes back."""
        if self.watermark_ms is None or watermark_ms > self.watermark_ms:
            self.watermark_ms = watermark_ms

    def announce(
        self, closes_at: Callable[[PaneKey], int], *, soonest_ms: int = 0, passed_ms: int | None = None
    ) -> list[PaneKey]:
        """Dirty panes that the evaluator must hear of: new ones, and those that may be closed already.

        ``closes_at`` gives the watermark at which a pane's first window closes, ``soonest_ms`` or more after
        the pane starts. ``passed_ms`` is how far the global watermark may have gone while this partition did
        not hold it back: what closes by then is announced with every commit, not only with its first.
        """
        news = self.dirty - self._announced
        behind = max_known((self.watermark_ms, passed_ms))
        if behind is not None:
            latest_ms = behind - soonest_ms
            old = [key for key in self.dirty if key.start_ms <= latest_ms]
            news.update(key for key in old if closes_at(key) <= behind)
        return sorted(news)

    def changed(self) -> dict[PaneKey, Pane]:
        """Dirty panes; where that is all of them, as for most commits of many models, a copy."""
        if len(self.dirty) == len(self.panes):
            return dict(self.panes)
        return {key: self.panes[key] for key in self.dirty}

    def committed(self, *, from_ms: int | None = None) -> None:
        """After a commit landed: forget the increments, and panes without an event at this time or later."""
        self._announced |= self.dirty
        self.dirty.clear()
        self.totals.clear()
        self.unknown.clear()
        self.outcomes = JoinRows()
        if from_ms is None:
            return
        gone = [key for key, pane in self.panes.items() if pane.max_ts_ms < from_ms]
        for key in gone:
            del self.panes[key]
        self._announced.difference_update(gone)
        self._whole.difference_update(gone)
