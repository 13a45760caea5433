"""A scanned batch of which some records were left to Python: only the blocks that they are in are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import Answers
from stream.codec.attributes import InferenceAttributes, Traffic, taken
from stream.codec.batch import Block
from stream.codec.scanned_table import ScannedTable
from stream.codec.together import joined_alike, keys_of


class PatchedTable(Sequence[Block]):
    """The blocks of such a batch in the order of their first rows, and their table.

    Parameters
    ----------
    kept
        Numbers of the scanned blocks that no patch takes the place of, one at least.
    """

    def __init__(self, scanned: ScannedTable, kept: Sequence[int], patches: Sequence[Block]) -> None:
        self.scanned = scanned
        self._kept = kept
        self._patches = patches
        begins = scanned.rows[[scanned.firsts[number] for number in kept]].tolist()
        begins += [int(block.rows[0]) for block in patches]
        self._order: list[int] = np.argsort(begins).tolist()  # of the kept and, behind them, the patches
        names = [scanned.names[number] for number in kept]
        names += [(block.model, block.version) for block in patches]
        sizes = np.append(scanned.sizes[kept], [len(block.rows) for block in patches])
        self.names = [names[place] for place in self._order]
        self.sizes: NDArray[np.intp] = sizes[self._order]

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, number: int) -> Block: ...
    @overload
    def __getitem__(self, number: slice) -> list[Block]: ...
    def __getitem__(self, number: int | slice) -> Block | list[Block]:
        if isinstance(number, slice):
            return [self[place] for place in range(len(self))[number]]
        place = self._order[number]
        return self.scanned[self._kept[place]] if place < len(self._kept) else self._patch(place)

    @property
    def held(self) -> dict[int, int]:
        """Those blocks that the extension holds, by number: their numbers in ``scanned``."""
        kept = self._kept
        return {number: kept[place] for number, place in enumerate(self._order) if place < len(kept)}

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Places in the batch."""
        parts = [self.scanned.rows[self._places], *(block.rows for block in self._patches)]
        return np.concatenate(parts)[self._arranged]

    @cached_property
    def ts_ms(self) -> NDArray[np.int64]:
        """Event times."""
        parts = [self.scanned.ts_ms[self._places], *(block.ts_ms for block in self._patches)]
        return np.concatenate(parts)[self._arranged]

    @cached_property
    def traffic(self) -> Traffic | None:
        """What tells live traffic from other events; None of labels."""
        found = self.scanned.traffic
        if found is None:
            return None
        attributes = [block.attributes for block in self._patches]
        said = [each for each in attributes if isinstance(each, InferenceAttributes)]
        errors = [found.is_error[self._places], *(each.is_error for each in said)]
        variants = [found.variant[self._places], *(each.variant for each in said)]
        return Traffic(np.concatenate(errors)[self._arranged], np.concatenate(variants)[self._arranged])

    def alike(self, numbers: Sequence[int], columns: Iterable[str]) -> Block:
        """See :class:`stream.codec.table.Table`."""
        kept, patches = self._parts(numbers)
        names = list(columns)
        block = joined_alike([*([self.scanned.alike(kept, names)] if kept else []), *patches], names)
        rows = self._arrangement(numbers)
        return replace(
            block,
            rows=block.rows[rows],
            ts_ms=block.ts_ms[rows],
            columns={name: block.columns[name][rows] for name in names},
            attributes=taken(block.attributes, rows),
            answers=Answers.joined([block.answers], rows) if len(block.answers) else block.answers,
        )

    def keys(self, numbers: Sequence[int], secret: bytes) -> NDArray[np.uint64]:
        """See :class:`stream.codec.table.Table`."""
        kept, patches = self._parts(numbers)
        found = [self.scanned.keys(kept, secret)] if kept else []
        found += [keys_of(patches, secret)] if patches else []
        return np.concatenate(found)[self._arrangement(numbers)]

    def _patch(self, place: int) -> Block:
        return self._patches[place - len(self._kept)]

    def _parts(self, numbers: Sequence[int]) -> tuple[list[int], list[Block]]:
        """Numbers of the scanned blocks among some, and the patches."""
        places = sorted(self._order[number] for number in numbers)
        kept = [self._kept[place] for place in places if place < len(self._kept)]
        return kept, [self._patch(place) for place in places if place >= len(self._kept)]

    @cached_property
    def _places(self) -> slice | NDArray[np.intp]:
        return self.scanned.places(self._kept)

    @cached_property
    def _arranged(self) -> NDArray[np.intp]:
        return self._arrangement(range(len(self)))

    def _arrangement(self, numbers: Sequence[int]) -> NDArray[np.intp]:
        """Where each row of some blocks is, when the scanned ones come first and then the patches."""
        sizes = self.sizes[numbers]
        order = np.argsort([self._order[number] for number in numbers])
        begins = np.empty_like(sizes)
        begins[order] = np.cumsum(sizes[order]) - sizes[order]
        return np.repeat(begins - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
