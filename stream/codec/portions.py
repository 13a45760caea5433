"""A batch that is decoded while its records come.

The compiled decoder reads each portion at once, while its bytes are in the processor's caches, and most of
them can be let go of then. What is left to Python is kept and decoded at the end, so that the batch is the
same in however many portions it came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream.codec.batch import Batch

if TYPE_CHECKING:
    from driftstream_native import Reading, Scanned

Decode = Callable[[Sequence[bytes | None], Sequence[int]], Batch]
"""Decodes values with their Kafka record times in one call."""


class WholeDecoding:
    """Keeps all records of a batch until its end, and decodes them in one call.

    See :class:`~stream.codec.batch.Decoding`.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._values: list[bytes | None] = []
        self._times = _Times()

    def take(
        self, values: Sequence[bytes | None], record_ts_ms: Sequence[int], *, newest_ms: int
    ) -> Sequence[int]:
        """Keep the records; any of them may be asked for again."""
        del newest_ms
        check_lengths(values, record_ts_ms)
        self._values += values
        self._times.add(record_ts_ms)
        return range(len(values))

    def finish(self, kept: NDArray[np.bool_] | None = None) -> Batch:
        """Decode them."""
        if kept is None:
            return self._decode(self._values, self._times)
        rows = np.flatnonzero(kept).tolist()
        return self._decode([self._values[row] for row in rows], [self._times[row] for row in rows])


class ScannedDecoding:
    """Has the extension read each portion; see :class:`~stream.codec.batch.Decoding`.

    Parameters
    ----------
    batch_of
        Makes the batch of what was read, and of the values and record times of the rows that were left.
    """

    def __init__(
        self,
        reading: Reading,
        batch_of: Callable[[Scanned, Sequence[bytes | None], Sequence[int]], Batch],
    ) -> None:
        self._reading = reading
        self._batch_of = batch_of
        self._records = 0
        self._needed: dict[int, tuple[bytes | None, int]] = {}
        self._fault = ""

    def take(
        self, values: Sequence[bytes | None], record_ts_ms: Sequence[int], *, newest_ms: int
    ) -> Sequence[int]:
        """Read the records; those of a portion on which the extension fails are left to Python."""
        check_lengths(values, record_ts_ms)
        needed: Sequence[int]
        try:
            given = values if type(values) is list else list(values)
            needed = self._reading.read(given, record_ts_ms, newest_ms)
        except RuntimeError as error:  # a fault of the extension: nothing is lost by it
            self._fault = str(error)
            self._reading.leave(len(values))
            needed = range(len(values))
        for place in needed:
            self._needed[self._records + place] = values[place], record_ts_ms[place]
        self._records += len(values)
        return needed

    def finish(self, kept: NDArray[np.bool_] | None = None) -> Batch:
        """Return the rows that were read, joined with those that Python decodes now."""
        scanned = self._reading.finish(None if kept is None else kept.tobytes())
        left: Sequence[int] = scanned.left
        if kept is not None and left:
            left = np.flatnonzero(kept)[left].tolist()
        found = [self._needed[row] for row in left]
        batch = self._batch_of(scanned, [value for value, _ in found], [ms for _, ms in found])
        return replace(batch, fault=self._fault) if self._fault else batch


class _Times(Sequence[int]):
    """Record times of all portions, looked up only where they are needed."""

    def __init__(self) -> None:
        self._ends = [0]
        self._portions: list[Sequence[int]] = []

    def add(self, record_ts_ms: Sequence[int]) -> None:
        self._portions.append(record_ts_ms)
        self._ends.append(self._ends[-1] + len(record_ts_ms))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, row: int) -> int:  # type: ignore[override]  # rows are asked for one by one
        portion = bisect_right(self._ends, row) - 1
        return self._portions[portion][row - self._ends[portion]]


def check_lengths(values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> None:
    """Reject records of which not every one has a time."""
    if len(values) != len(record_ts_ms):
        raise ValueError(f"{len(values)} values and {len(record_ts_ms)} record times: give one for each")
