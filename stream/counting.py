"""From a decoded batch to counts per partition and pane. Pure: arrays in, panes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import Reference
from stream.codec import Batch, Block, InferenceAttributes, Rejected
from stream.keys import PaneKey
from stream.outcomes.intake import OutcomeIntake
from stream.outcomes.join_rows import JoinRows
from stream.panes import GroupedRows, Pane, group_rows
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
    """What a batch adds to one partition; ``sightings`` by (model, version), ``""``: none given."""

    panes: dict[PaneKey, Pane] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    outcomes: JoinRows = field(default_factory=JoinRows)
    sightings: dict[tuple[str, str], Sighted] = field(default_factory=dict)
    max_ts_ms: int | None = None


@dataclass(frozen=True)
class Counted:
    """A batch's deltas by partition index, and every row that was refused, with the reason."""

    deltas: list[Delta]
    rejected: list[Rejected]


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

    def count(
        self,
        batch: Batch,
        partition: NDArray[np.intp],
        watermarks_ms: Sequence[int | None],
        *,
        newest_ms: int,
    ) -> Counted:
        """Split a batch over its partitions.

        Parameters
        ----------
        partition
            (n,) index into ``watermarks_ms`` of each row of the batch.
        newest_ms
            Rows with a later event time come from the future: they are refused and never move a watermark.
        """
        deltas = [Delta() for _ in watermarks_ms]
        behind = np.array([NO_WATERMARK_MS if ms is None else ms for ms in watermarks_ms], dtype=np.int64)
        future = batch.ts_ms > newest_ms
        rejected = list(batch.rejected)
        rejected += [
            Rejected(row, FUTURE, f"ts {int(batch.ts_ms[row])} is later than {newest_ms}: check the clock")
            for row in np.flatnonzero(future).tolist()
        ]
        for block in batch.blocks:
            self._count_block(block, partition[block.rows], behind, newest_ms, deltas)
        _count_strangers(batch, partition, ~future, deltas, self.learning)
        for row in rejected:
            deltas[partition[row.row]].totals["rejected"] += 1
        _advance(np.where(future, -1, batch.ts_ms), partition, deltas)
        if self.outcomes is not None:
            taken = self.outcomes.take(batch, partition, newest_ms=newest_ms, partitions=len(deltas))
            for delta, rows in zip(deltas, taken, strict=True):
                delta.outcomes = rows
        return Counted(deltas, rejected)

    def _count_block(
        self,
        block: Block,
        at: NDArray[np.intp],
        behind: NDArray[np.int64],
        newest_ms: int,
        deltas: list[Delta],
    ) -> None:
        spec = self.windows[block.model]
        kept = block.ts_ms <= newest_ms
        for name, apart in _not_traffic(block):
            _add_total(deltas, name, at[kept & apart])
            kept &= ~apart
        starts = block.ts_ms - block.ts_ms % spec.slide_ms
        late = starts + spec.too_late_at(0, self.restate_ms) <= behind[at]
        _add_total(deltas, "late", at[kept & late])
        kept &= ~late
        columns = block.columns
        ts_ms = block.ts_ms
        if not kept.all():
            columns = {name: values[kept] for name, values in columns.items()}
            ts_ms, at = ts_ms[kept], at[kept]
        if not len(ts_ms):
            return
        rows = group_rows(at, ts_ms, spec.slide_ms, partitions=len(deltas))
        self._add_groups(replace(block, columns=columns, ts_ms=ts_ms), rows, deltas)

    def _add_groups(self, block: Block, rows: GroupedRows, deltas: list[Delta]) -> None:
        reference, ts_ms = self.references[block.model, block.version], block.ts_ms
        groups = len(rows.partitions)
        counted = reference.tally(block.columns, rows.group, groups)
        oldest = np.full(groups, np.iinfo(np.int64).max)
        newest = np.full(groups, -1)
        np.minimum.at(oldest, rows.group, ts_ms)
        np.maximum.at(newest, rows.group, ts_ms)
        for g in range(groups):
            delta = deltas[rows.partitions[g]]
            key = PaneKey(block.model, block.version, int(rows.starts_ms[g]), reference.fingerprint)
            delta.panes[key] = Pane(counted[g], int(oldest[g]), int(newest[g]))
            delta.totals["events"] += int(rows.sizes[g])


def _not_traffic(block: Block) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Rows that no drift window counts, by the total that does."""
    attributes = block.attributes
    if isinstance(attributes, InferenceAttributes):
        yield "errors", attributes.is_error
        yield "other_variant", attributes.variant != 0


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
