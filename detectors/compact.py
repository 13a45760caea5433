"""Counts that grow row by row: :class:`~detectors.counts.Counts`, or compact ones of the extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.errors import MismatchError

if TYPE_CHECKING:
    from driftstream_native import CompactCounts as Held


class GrowingCounts(Protocol):
    """What :meth:`Reference.count_into` counts into; the arrays are only to be read."""

    @property
    def n(self) -> int:
        """Rows."""
        ...

    @property
    def cells(self) -> NDArray[np.int64]:
        """Rows per cell of every column, ``(d, K)``."""
        ...

    @property
    def moments(self) -> NDArray[np.int64] | None:
        """Sums of products of pairs, as :class:`~detectors.counts.Counts` has them."""
        ...

    def merge(self, other: GrowingCounts) -> None:
        """Add ``other``. Raises :class:`MismatchError` when the shapes differ."""
        ...

    def framed(self, start: bytes, head: bytes) -> bytes:
        """Return ``start``, u32 length and CRC-32 of the rest, then ``head`` and the bytes of the counts."""
        ...


class CompactCounts:
    """Counts in memory of the compiled package: a count takes 1 byte up to 255 rows, then 2, 4, 8.

    A pane of few rows takes a tenth of what :class:`~detectors.counts.Counts` takes, so that those of a
    thousand models fit the processor's caches. For arithmetic on counts take those: here, arrays are made
    whenever somebody looks.

    Parameters
    ----------
    held
        Of the extension; it is what grows.
    columns
        d, the number of columns.
    """

    __slots__ = ("columns", "held")
    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, held: Held, columns: int) -> None:
        self.held = held
        self.columns = columns

    @property
    def n(self) -> int:
        """Rows."""
        return self.held.rows

    @property
    def cells(self) -> NDArray[np.int64]:
        """A copy of the cells, int64 ``(d, K)``."""
        return np.frombuffer(self.held.cells, np.int64).reshape(self.columns, -1)

    @property
    def moments(self) -> NDArray[np.int64] | None:
        """A copy of the moments, int64 ``(pairs,)``; None where pairs are not watched, or void."""
        moments = self.held.moments
        return None if moments is None else np.frombuffer(moments, np.int64)

    def merge(self, other: GrowingCounts) -> None:
        """Add ``other``. Raises :class:`MismatchError` when the shapes differ."""
        try:
            self.held.merge(other.n, other.cells, other.moments)
        except ValueError as exc:
            raise MismatchError(
                f"counts of shape {other.cells.shape} cannot join counts of shape {self.cells.shape}:"
                " they, or their moments, belong to another reference"
            ) from exc

    def packed(self) -> bytes:
        """Return the bytes of :meth:`~detectors.counts.Counts.to_bytes`."""
        return self.held.packed()

    def framed(self, start: bytes, head: bytes) -> bytes:
        """Return ``start``, u32 length and CRC-32 of what follows, ``head`` and :meth:`packed`."""
        return self.held.framed(start, head)

    def __eq__(self, other: object) -> bool:
        if not hasattr(other, "moments") or not hasattr(other, "cells"):
            return NotImplemented
        if not np.array_equal(self.cells, other.cells):
            return False
        mine, theirs = self.moments, other.moments
        return mine is theirs if mine is None or theirs is None else np.array_equal(mine, theirs)

    def __repr__(self) -> str:
        return f"CompactCounts(n={self.n}, columns={self.columns})"
