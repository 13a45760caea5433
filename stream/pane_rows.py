"""Which pane every row of a batch belongs to, for all models of the batch at once. Pure: arrays in and out.

A batch of many models has few rows of each: what is done a row costs little, what is done a model costs all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stream.codec import Table
from stream.windows import WindowSpec

_LARGEST = 2**62


@dataclass(frozen=True)
class BatchRows:
    """The rows of all blocks, one block after the other.

    Parameters
    ----------
    block
        (n,) position of each row's block.
    at
        (n,) index of its partition.
    ts_ms
        (n,) its event time.
    slides_ms
        Slide of each block, or of all.
    ends
        Position after the last row of each block, one at least.
    """

    block: NDArray[np.intp]
    at: NDArray[np.intp]
    ts_ms: NDArray[np.int64]
    slides_ms: NDArray[np.int64]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, table: Table, specs: Sequence[WindowSpec], partition: NDArray[np.intp]) -> BatchRows:
        """Rows of a table, with the windows of each block; ``partition`` is of the whole batch."""
        owner = np.repeat(np.arange(len(table.sizes)), table.sizes)
        slides = _of_each([spec.slide_ms for spec in specs])
        return cls(owner, partition[table.rows], table.ts_ms, slides, np.cumsum(table.sizes))

    @cached_property
    def pane(self) -> NDArray[np.int64]:
        """(n,) number of each row's pane: its start is so many slides after 1970."""
        slides = self.slides_ms
        numbers: NDArray[np.int64] = self.ts_ms // (slides[0] if len(slides) == 1 else slides[self.block])
        return numbers

    def start_ms(self, pane: NDArray[np.int64], block: NDArray[np.intp]) -> NDArray[np.int64]:
        """Start of panes of blocks."""
        return pane * (self.slides_ms if len(self.slides_ms) == 1 else self.slides_ms[block])


def _of_each(numbers: list[int]) -> NDArray[np.int64]:
    """Numbers of all blocks: a single one where they are equal, arithmetic with which is much faster."""
    return np.array(numbers if len(set(numbers)) > 1 else numbers[:1], dtype=np.int64)


def not_traffic(table: Table) -> list[tuple[str, NDArray[np.bool_]]]:
    """Rows that no drift window counts, by the total that does."""
    traffic = table.traffic
    if traffic is None:  # labels are all their model's
        return []
    return [("errors", traffic.is_error), ("other_variant", traffic.variant != 0)]


def too_late(
    rows: BatchRows, specs: Sequence[WindowSpec], restate_ms: int, behind_ms: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Rows whose windows can no longer be restated, at the watermarks ``behind_ms`` of the partitions.

    ``specs`` are the windows of each block.
    """
    horizon = _of_each([spec.too_late_at(0, restate_ms) for spec in specs])
    gone_ms = rows.start_ms(rows.pane, rows.block) + (horizon if len(horizon) == 1 else horizon[rows.block])
    late: NDArray[np.bool_] = gone_ms <= behind_ms[rows.at]
    return late


@dataclass(frozen=True)
class GroupedRows:
    """Rows by (block, pane, partition), in that order.

    ``group`` is the group of each row *within its block*, -1 for rows that are not counted. ``bounds[b]`` to
    ``bounds[b + 1]`` are the groups of block b. ``panes`` are block and start of each pane; the other lists
    have an entry for each group: ``pane`` is the place of its pane in ``panes``.
    """

    group: NDArray[np.intp]
    bounds: list[int]
    panes: list[tuple[int, int]]
    pane: list[int]
    partitions: list[int]
    oldest_ms: list[int]
    newest_ms: list[int]


def group_rows(rows: BatchRows, kept: NDArray[np.bool_] | None, *, partitions: int) -> GroupedRows:
    """Group the ``kept`` rows (None: all), one at least, by partition indices in ``[0, partitions)``."""
    columns = (rows.block, rows.at, rows.ts_ms, rows.pane)
    block, at, ts_ms, pane = columns if kept is None else (column[kept] for column in columns)
    known, at_pane = _numbered(pane, most=_LARGEST // (len(rows.ends) * partitions))
    found, group = _distinct((block * len(known) + at_pane) * partitions + at)
    owner = found // (len(known) * partitions)
    oldest, newest = _spans(ts_ms, group, len(found))
    bounds = np.searchsorted(owner, np.arange(len(rows.ends) + 1))
    local = group - bounds[block] if len(rows.ends) > 1 else group
    if kept is not None:
        local, counted = np.full(len(kept), -1), local
        local[kept] = counted
    pane_of, partition = np.divmod(found, partitions)
    begins = np.flatnonzero(np.diff(pane_of, prepend=-1))  # groups of a pane follow each other
    numbers = np.array([known[place] for place in (pane_of[begins] % len(known)).tolist()])
    starts_ms = rows.start_ms(numbers, owner[begins])
    return GroupedRows(
        local,
        bounds.tolist(),
        list(zip(owner[begins].tolist(), starts_ms.tolist(), strict=True)),
        np.repeat(np.arange(len(begins)), np.diff(begins, append=len(found))).tolist(),
        partition.tolist(),
        oldest.tolist(),
        newest.tolist(),
    )


def _spans(
    ts_ms: NDArray[np.int64], group: NDArray[np.intp], groups: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last time of each group; every group has a row."""
    if (group[1:] >= group[:-1]).all():  # a partition after the other, as they are fetched
        first = np.searchsorted(group, np.arange(groups))
        return np.minimum.reduceat(ts_ms, first), np.maximum.reduceat(ts_ms, first)
    oldest, newest = np.full(groups, np.iinfo(np.int64).max), np.full(groups, -1)
    np.minimum.at(oldest, group, ts_ms)
    np.maximum.at(newest, group, ts_ms)
    return oldest, newest


def _numbered(pane: NDArray[np.int64], *, most: int) -> tuple[Sequence[int], NDArray[np.int64]]:
    """Panes in order, and each row's position among them; beyond ``most`` without those that nobody is in."""
    low, high = int(pane.min()), int(pane.max())
    if high - low < most:
        return range(low, high + 1), pane - low
    found, at = np.unique(pane, return_inverse=True)
    return found.tolist(), at


def _distinct(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Distinct values and each row's index into them, as ``np.unique`` gives them.

    Values that lie close together, as those of a live stream do, are counted instead of sorted: 6 times as
    fast.
    """
    low = int(values.min())
    if int(values.max()) - low > 4 * len(values):
        return np.unique(values, return_inverse=True)
    offset = values - low
    present = np.flatnonzero(np.bincount(offset))
    index = np.empty(int(present[-1]) + 1, dtype=np.intp)
    index[present] = np.arange(len(present))
    return present + low, index[offset]
