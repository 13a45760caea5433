"""Counting the rows of a table into their panes: in one call where the compiled decoder holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from detectors import CompactCounts, GrowingCounts, Reference
from stream.codec import Table
from stream.codec.patched_table import PatchedTable
from stream.codec.scanned_table import ScannedTable, ScannedVersions
from stream.pane_rows import GroupedRows

with suppress(ImportError):  # not installed, or of a release that counts otherwise: nothing is held there
    from driftstream_native import count_scanned

if TYPE_CHECKING:
    from driftstream_native import PlacedTally

References = Mapping[tuple[str, str], Reference]


class TableCounting:
    """Counts tables; keeps how the columns of each model version are counted."""

    def __init__(self) -> None:
        self._versions: ScannedVersions | None = None
        self._placed: dict[int, PlacedTally | None] = {}

    def count(
        self, table: Table, references: References, groups: GroupedRows, counts: Sequence[GrowingCounts]
    ) -> None:
        """Count each row of ``table`` into the one of ``counts`` that is of its group."""
        ends = np.cumsum(table.sizes)
        starts: list[int] = (ends - table.sizes).tolist()
        done = self._count_scanned(table, references, starts, groups, counts)
        for number in range(len(table)) if len(done) < len(table) else ():
            first, last = groups.bounds[number : number + 2]
            if first < last and number not in done:
                block = table[number]
                group = groups.group[starts[number] : int(ends[number])]
                references[block.model, block.version].count_into(counts[first:last], block.columns, group)

    def _count_scanned(
        self,
        table: Table,
        references: References,
        starts: Sequence[int],
        groups: GroupedRows,
        counts: Sequence[GrowingCounts],
    ) -> Collection[int]:
        """Count blocks where the decoder has left their columns; the numbers of those that have been counted.

        None of them, where one must be counted otherwise.
        """
        scanned, blocks = _scanned(table)
        if scanned is None:
            return ()
        bounds = groups.bounds
        tallies = self._tallies(scanned, blocks.values(), references)
        held = [each.held for each in counts if isinstance(each, CompactCounts)]
        if len(tallies) < len(blocks) or len(held) < len(counts):
            return ()
        parts = [
            (tally, block, starts[number], bounds[number], bounds[number + 1])
            for tally, (number, block) in zip(tallies, blocks.items(), strict=True)
        ]
        count_scanned(scanned.scanned, parts, groups.group, held)
        return blocks.keys()

    def _tallies(
        self, table: ScannedTable, blocks: Iterable[int], references: References
    ) -> list[PlacedTally]:
        """How blocks are counted, without those that are left to numpy."""
        if table.versions is not self._versions:  # another decoder has come
            self._versions, self._placed = table.versions, {}
        versions = [table.numbers[block] for block in blocks]
        for version in versions:
            if version not in self._placed:
                self._placed[version] = _placed(table.versions, version, references)
        found = map(self._placed.__getitem__, versions)
        return [tally for tally in found if tally is not None]


def _scanned(table: Table) -> tuple[ScannedTable | None, Mapping[int, int]]:
    """Return the scanned table that blocks are of, and by their numbers those that they have there."""
    if isinstance(table, ScannedTable):
        return table, {number: number for number in range(len(table))}
    return (table.scanned, table.held) if isinstance(table, PatchedTable) else (None, {})


def _placed(versions: ScannedVersions, version: int, references: References) -> PlacedTally | None:
    lines, compiled = versions.lines[version], references[versions.names[version]].compiled
    return None if compiled is None else compiled.placed(lines.numbers, lines.codes)
