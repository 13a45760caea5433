"""Counting of blocks that the compiled decoder holds: all of a batch in one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detectors import CompactCounts, GrowingCounts, Reference
from stream.codec import Block
from stream.codec.scanned import Lines, ScannedColumns

with suppress(ImportError):  # not installed, or of a release that counts otherwise: then no block is added
    from driftstream_native import count_scanned

if TYPE_CHECKING:
    from driftstream_native import CompactCounts as Held
    from driftstream_native import PlacedTally, Scanned


class PlacedTallies:
    """How the blocks of each model version are counted: made for its first, kept for all others."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[Lines, PlacedTally]] = {}

    def of(self, lines: Lines, reference: Reference) -> PlacedTally | None:
        """Return how blocks with these ``lines`` are counted; None where that is left to others."""
        if reference.compiled is None:
            return None
        key = lines.model, lines.version
        made = self._made.get(key)
        if made is None or made[0] is not lines:  # another decoder has come
            made = self._made[key] = lines, reference.compiled.placed(lines.numbers, lines.codes)
        return made[1]


class ScannedBlocks:
    """Blocks of one batch that are counted together."""

    def __init__(self, tallies: PlacedTallies) -> None:
        self._tallies = tallies
        self._scanned: Scanned | None = None
        self._parts: list[tuple[PlacedTally, int, int, int, int]] = []
        self._held: list[Held] = []

    def add(self, block: Block, reference: Reference, start: int, counts: Sequence[GrowingCounts]) -> bool:
        """Have the rows of ``block`` counted into ``counts``; False where they must be counted otherwise.

        ``start`` is the place of its first row in the groups of the batch.
        """
        columns = block.columns
        if not isinstance(columns, ScannedColumns) or self._scanned not in (None, columns.scanned):
            return False
        tally = self._tallies.of(columns.lines, reference)
        held = [each.held for each in counts if isinstance(each, CompactCounts)]
        if tally is None or len(held) < len(counts):
            return False
        self._scanned = columns.scanned
        first = len(self._held)
        self._held += held
        self._parts.append((tally, columns.block, start, first, len(self._held)))
        return True

    def count(self, group: NDArray[np.intp]) -> None:
        """Count what was added; ``group`` holds the group of each row within its block, -1 for none."""
        if self._scanned is not None:
            count_scanned(self._scanned, self._parts, group, self._held)
