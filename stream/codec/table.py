"""A batch as one table: the rows of all its blocks, one block after the other.

What is done a row costs the same then for a thousand models as for one; blocks are made for whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.codec.attributes import InferenceAttributes, Traffic
from stream.codec.batch import Block
from stream.codec.patched_table import PatchedTable
from stream.codec.scanned_table import ScannedTable
from stream.codec.together import joined_alike, keys_of


class Table(Protocol):
    """The rows of all blocks; blocks are numbered in their order."""

    @property
    def names(self) -> Sequence[tuple[str, str]]:
        """Model and version of each block."""
        ...

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Rows of each block."""
        ...

    @property
    def rows(self) -> NDArray[np.intp]:
        """Place of each row in the batch."""
        ...

    @property
    def ts_ms(self) -> NDArray[np.int64]:
        """Event time of each row."""
        ...

    @property
    def traffic(self) -> Traffic | None:
        """What tells live traffic from other events, of each row; None of labels."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Block: ...

    def alike(self, numbers: Sequence[int], columns: Iterable[str]) -> Block:
        """Return blocks as one: :func:`stream.codec.together.joined_alike`. Their numbers are ascending."""
        ...

    def keys(self, numbers: Sequence[int], secret: bytes) -> NDArray[np.uint64]:
        """Return the keys of their ids: :func:`stream.codec.together.keys_of`."""
        ...


class BlockTable:
    """The table of any blocks."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self.names = [(block.model, block.version) for block in blocks]
        self.sizes = np.array([len(block.rows) for block in blocks], np.intp)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> Block:
        return self._blocks[number]

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Places in the batch."""
        return _one_after_another([block.rows for block in self._blocks])

    @cached_property
    def ts_ms(self) -> NDArray[np.int64]:
        """Event times."""
        return _one_after_another([block.ts_ms for block in self._blocks])

    @cached_property
    def traffic(self) -> Traffic | None:
        """What tells live traffic from other events."""
        said = [block.attributes for block in self._blocks]
        inference = [each for each in said if isinstance(each, InferenceAttributes)]
        if len(inference) < len(said):
            return None
        return Traffic(
            _one_after_another([each.is_error for each in inference]),
            _one_after_another([each.variant for each in inference]),
        )

    def alike(self, numbers: Sequence[int], columns: Iterable[str]) -> Block:
        """See :class:`Table`."""
        return joined_alike([self._blocks[number] for number in numbers], columns)

    def keys(self, numbers: Sequence[int], secret: bytes) -> NDArray[np.uint64]:
        """See :class:`Table`."""
        return keys_of([self._blocks[number] for number in numbers], secret)


def table_of(blocks: Sequence[Block]) -> Table:
    """Return the table of the blocks of a batch, one at least."""
    return blocks if isinstance(blocks, ScannedTable | PatchedTable) else BlockTable(blocks)


def _one_after_another(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
