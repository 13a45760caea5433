"""From a decoded batch to counts per partition and pane. Pure: arrays in, panes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import GrowingCounts, Reference
from stream.codec import Batch, Rejected, Table, table_of
from stream.keys import PaneKey
from stream.outcomes.intake import OutcomeIntake
from stream.outcomes.join_rows import JoinRows
from stream.pane_rows import BatchRows, GroupedRows, group_rows, not_traffic, too_late
from stream.panes import Pane
from stream.table_counting import TableCounting
from stream.windows import WindowSpec

FUTURE = "future_timestamp"
NO_WATERMARK_MS = -(2**62)
_JSON = msgspec.json.Encoder()


@dataclass(frozen=True)
class Sighted:
    """Events of a version that is warming up: how many, the oldest event time, the first row of the batch."""

    events: int
    first_ms: int
    row: int


@dataclass
class Delta:
    """What a batch adds to one partition.

    ``panes`` are those that the batch was counted into, ``touched`` the keys of those that it changed.
    ``sightings`` are by (model, version), ``""``: none given.
    """

    panes: dict[PaneKey, Pane] = field(default_factory=dict)
    touched: set[PaneKey] = field(default_factory=set)
    totals: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    outcomes: JoinRows = field(default_factory=JoinRows)
    sightings: dict[tuple[str, str], Sighted] = field(default_factory=dict)
    max_ts_ms: int | None = None


@dataclass(frozen=True)
class Counted:
    """A batch's deltas by partition index, and every row that was refused, with the reason.

    ``events`` are the rows in drift windows by model.
    """

    deltas: list[Delta]
    rejected: list[Rejected]
    events: Mapping[str, int]


@dataclass(frozen=True)
class BatchCounter:
    """Counts the blocks of one topic.

    Of a model's inference events only the good answers of its live variant are its traffic. The others are
    in the totals ``errors`` and ``other_variant``; each row is in exactly one of the totals.

    Parameters
    ----------
    references
        By (model, version), already restricted to the columns of this topic's source.
    windows
        By model.
    restate_ms
        How long after a window closed an event can still restate it; later ones are counted as late only.
    outcomes
        Takes the predictions and labels of the models whose outcomes are joined.
    learning
        Models whose versions without a reference are warming up: they are sighted, not unknown.
    """

    references: Mapping[tuple[str, str], Reference]
    windows: Mapping[str, WindowSpec]
    restate_ms: int
    outcomes: OutcomeIntake | None = None
    learning: frozenset[str] = frozenset()
    _counting: TableCounting = field(default_factory=TableCounting, init=False, compare=False, repr=False)
    _newest: dict[tuple[str, str], PaneKey] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def count(
        self,
        batch: Batch,
        partition: NDArray[np.intp],
        watermarks_ms: Sequence[int | None],
        *,
        newest_ms: int,
        panes: Sequence[dict[PaneKey, Pane]] | None = None,
    ) -> Counted:
        """Split a batch over its partitions.

        Parameters
        ----------
        partition
            (n,) index into ``watermarks_ms`` of each row of the batch.
        newest_ms
            Rows with a later event time come from the future: they are refused and never move a watermark.
        panes
            Of each partition, what is counted into; new panes are put there. New ones alone where None.
        """
        deltas = [Delta() for _ in watermarks_ms] if panes is None else [Delta(each) for each in panes]
        behind = np.array([NO_WATERMARK_MS if ms is None else ms for ms in watermarks_ms], dtype=np.int64)
        future = batch.ts_ms > newest_ms
        rejected = list(batch.rejected)
        rejected += [
            Rejected(row, FUTURE, f"ts {int(batch.ts_ms[row])} is later than {newest_ms}: check the clock")
            for row in np.flatnonzero(future).tolist()
        ]
        events: Mapping[str, int] = {}
        if batch.blocks:
            events = self._count_blocks(table_of(batch.blocks), partition, behind, newest_ms, deltas)
        _count_strangers(batch, partition, ~future, deltas, self.learning)
        for row in rejected:
            deltas[partition[row.row]].totals["rejected"] += 1
        _advance(np.where(future, -1, batch.ts_ms), partition, deltas)
        if self.outcomes is not None:
            taken = self.outcomes.take(batch, partition, newest_ms=newest_ms, partitions=len(deltas))
            for delta, outcomes in zip(deltas, taken, strict=True):
                delta.outcomes = outcomes
        return Counted(deltas, rejected, events)

    def _count_blocks(
        self,
        table: Table,
        partition: NDArray[np.intp],
        behind: NDArray[np.int64],
        newest_ms: int,
        deltas: list[Delta],
    ) -> dict[str, int]:
        specs = [self.windows[model] for model, _ in table.names]
        rows = BatchRows.of(table, specs, partition)
        kept = rows.ts_ms <= newest_ms
        for name, apart in not_traffic(table):
            kept = _without(kept, apart, name, rows, deltas)
        late = too_late(rows, specs, self.restate_ms, behind)
        kept = _without(kept, late, "late", rows, deltas)
        if not kept.any():
            return {}
        whole = bool(kept.all())
        _add_total(deltas, "events", rows.at if whole else rows.at[kept])
        groups = group_rows(rows, None if whole else kept, partitions=len(deltas))
        self._counting.count(table, self.references, groups, self._counts(table.names, groups, deltas))
        return _events_by_model(table.names, rows.block if whole else rows.block[kept])

    def _counts(
        self, names: Sequence[tuple[str, str]], groups: GroupedRows, deltas: list[Delta]
    ) -> list[GrowingCounts]:
        """Counts of the pane that each group belongs to, its span of time widened."""
        keys = [self._key(*names[block], start_ms) for block, start_ms in groups.panes]
        panes = [delta.panes for delta in deltas]
        touched = [delta.touched.add for delta in deltas]
        found = []
        spans = zip(groups.pane, groups.partitions, groups.oldest_ms, groups.newest_ms, strict=True)
        for number, partition, oldest_ms, newest_ms in spans:  # thousands a batch: each step here shows
            key = keys[number]
            pane = panes[partition].get(key)
            if pane is None:
                reference = self.references[key.model, key.version]
                pane = panes[partition][key] = Pane(reference.no_counts())
            if newest_ms > pane.max_ts_ms or oldest_ms < pane.min_ts_ms:
                pane.widen(oldest_ms, newest_ms)
            touched[partition](key)
            found.append(pane.counts)
        return found

    def _key(self, model: str, version: str, start_ms: int) -> PaneKey:
        """Return the key of a pane: the same object while a version stays in it, which is found sooner."""
        key = self._newest.get((model, version))
        if key is None or key.start_ms != start_ms:
            fingerprint = self.references[model, version].fingerprint
            key = self._newest[model, version] = PaneKey(model, version, start_ms, fingerprint)
        return key


def _without(
    kept: NDArray[np.bool_], those: NDArray[np.bool_], name: str, rows: BatchRows, deltas: list[Delta]
) -> NDArray[np.bool_]:
    """What is kept without ``those``, which go to a total."""
    if not those.any():
        return kept
    _add_total(deltas, name, rows.at[kept & those])
    return kept & ~those


def _events_by_model(names: Sequence[tuple[str, str]], rows: NDArray[np.intp]) -> dict[str, int]:
    events: dict[str, int] = {}
    for (model, _), n in zip(names, np.bincount(rows, minlength=len(names)).tolist(), strict=True):
        events[model] = events.get(model, 0) + n
    return events


def _add_total(deltas: list[Delta], name: str, partition: NDArray[np.intp]) -> None:
    if len(partition):
        for delta, n in zip(deltas, _tally(partition, len(deltas)), strict=True):
            if n:
                delta.totals[name] += n


def _count_strangers(
    batch: Batch,
    partition: NDArray[np.intp],
    kept: NDArray[np.bool_],
    deltas: list[Delta],
    learning: frozenset[str],
) -> None:
    """Count events that no window holds: of unknown models by name, and those without a monitored column."""
    for (model, version), rows in batch.unknown.items():
        if model in learning:
            _sight((model, version), rows[kept[rows]], batch.ts_ms, partition, deltas)
            continue
        name = _JSON.encode([model, version]).decode()
        for delta, n in zip(deltas, _tally(partition[rows[kept[rows]]], len(deltas)), strict=True):
            if n:
                delta.unknown[name] += n
                delta.totals["unknown"] += n
    for rows in batch.unmonitored.values():
        _add_total(deltas, "unmonitored", partition[rows[kept[rows]]])


def _sight(
    key: tuple[str, str],
    rows: NDArray[np.intp],
    ts_ms: NDArray[np.int64],
    partition: NDArray[np.intp],
    deltas: list[Delta],
) -> None:
    for index, n in enumerate(_tally(partition[rows], len(deltas))):
        if n:
            here = rows[partition[rows] == index]
            deltas[index].totals["learning"] += n
            deltas[index].sightings[key] = Sighted(n, int(ts_ms[here].min()), int(here[0]))


def _tally(partition: NDArray[np.intp], partitions: int) -> list[int]:
    rows: list[int] = np.bincount(partition, minlength=partitions).tolist()
    return rows


def _advance(ts_ms: NDArray[np.int64], partition: NDArray[np.intp], deltas: list[Delta]) -> None:
    newest = np.full(len(deltas), -1, dtype=np.int64)
    np.maximum.at(newest, partition, ts_ms)
    for delta, ms in zip(deltas, newest.tolist(), strict=True):
        if ms >= 0:
            delta.max_ts_ms = ms
