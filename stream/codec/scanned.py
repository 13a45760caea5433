"""What the compiled decoder holds of a block: arrays are made of what somebody asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import Answers
from stream.codec.layout import VersionLayout

if TYPE_CHECKING:
    from driftstream_native import Scanned


@dataclass(frozen=True)
class Lines:
    """Where the columns of one model version are in the matrices of its blocks.

    Parameters
    ----------
    numbers, codes
        Line by name. The declared measures stand behind the other numbers, those of the reference under
        their names, the first at ``measures``; there are ``measured`` of them.
    """

    model: str
    version: str
    numbers: Mapping[str, int]
    codes: Mapping[str, int]
    measures: int
    measured: int

    @classmethod
    def of(
        cls,
        layout: VersionLayout,
        numbers: Mapping[str, int],
        codes: Mapping[str, int],
        lines: int,
    ) -> Lines:
        """Lines of version ``number`` of the plan, whose blocks have so many ``lines`` of numbers."""
        first = len(numbers)
        measures = {name: first + row for name, row in layout.measures.items()}
        return cls(layout.model, layout.version, {**numbers, **measures}, codes, first, lines - first)


class ScannedColumns(Mapping[str, NDArray[Any]]):
    """Columns of one block of a scanned batch.

    Parameters
    ----------
    block
        Its number in the batch.
    """

    __slots__ = ("block", "lines", "rows", "scanned")

    def __init__(self, scanned: Scanned, block: int, lines: Lines, rows: int) -> None:
        self.scanned = scanned
        self.block = block
        self.lines = lines
        self.rows = rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        line = self.lines.numbers.get(name)
        if line is not None:
            return np.frombuffer(self.scanned.numbers(self.block, line, 1), np.float64)
        return np.frombuffer(self.scanned.codes(self.block, self.lines.codes[name], 1), np.int32)

    def __iter__(self) -> Iterator[str]:
        yield from self.lines.numbers
        yield from self.lines.codes

    def __len__(self) -> int:
        return len(self.lines.numbers) + len(self.lines.codes)

    @property
    def measures(self) -> NDArray[np.float64]:
        """All declared measures, ``(measures, rows)``."""
        if not self.lines.measured:
            return np.empty((0, self.rows))
        found = self.scanned.numbers(self.block, self.lines.measures, self.lines.measured)
        return np.frombuffer(found, np.float64).reshape(self.lines.measured, self.rows)


class ScannedIds:
    """Ids that lie in the extension, as one text with lengths: those of rows ``first`` to ``last``."""

    __slots__ = ("first", "last", "scanned")

    def __init__(self, scanned: Scanned, first: int, last: int) -> None:
        self.scanned = scanned
        self.first = first
        self.last = last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[str]:
        return iter(self.scanned.ids(self.first, self.last))

    def keys(self, model: str, secret: bytes) -> NDArray[np.uint64]:
        """See :class:`~stream.codec.ids.Ids`."""
        keys = self.scanned.keys(self.first, self.last, model, secret)
        return np.frombuffer(keys, np.dtype("<u8")).astype(np.uint64, copy=False)


class ScannedAnswers(Answers):
    """Answers of rows ``first`` to ``last``, looked at when they are needed."""

    def __init__(self, scanned: Scanned, first: int, last: int) -> None:
        self.scanned = scanned
        self.first = first
        self.last = last

    @cached_property
    def _loaded(self) -> tuple[NDArray[np.int32], Sequence[Any]]:
        values, codes = self.scanned.answers(self.first, self.last)
        return np.frombuffer(codes, np.int32), values
