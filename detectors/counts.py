"""Counts: the mergeable summary that everything is decided from."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning
from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe

_MAGIC = b"DSCT"
_VERSION = 1
_SHAPE = struct.Struct("<QIIB")  # rows, columns, cells, bytes of one count
_MAX_CELLS = 1 << 26
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}


class Counts:
    """Rows per cell of every column: exact integers, so merging in any order and cut gives the same bits.

    Parameters
    ----------
    cells
        int64 ``(d, K)`` as :meth:`Binning.count` gives for one group; copied. Every column sums to the rows.

    Examples
    --------
    >>> half = Counts([[3, 1, 0, 0], [2, 2, 0, 0]])
    >>> (half + half).n, Counts.from_bytes(half.to_bytes()) == half
    (8, True)
    """

    __slots__ = ("cells", "n")

    def __init__(self, cells: Any) -> None:
        self.cells: NDArray[np.int64] = np.array(cells, dtype=np.int64, order="C")
        if self.cells.ndim != 2:
            raise ValueError(f"cells must be two-dimensional, they have shape {self.cells.shape}")
        rows = self.cells.sum(axis=1)
        self.n = int(rows[0]) if rows.size else 0
        if self.cells.size and (int(self.cells.min()) < 0 or not bool(np.all(rows == self.n))):
            raise ValueError(
                "counts must not be negative, and every column must hold the same number of rows"
            )

    @classmethod
    def empty(cls, binning: Binning) -> Counts:
        """Return counts of no rows."""
        return cls(np.zeros((len(binning.names), binning.width), dtype=np.int64))

    def update(self, binning: Binning, encoded: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of encoded columns."""
        self.merge(Counts(binning.count(encoded)[0]))

    def merge(self, other: Counts) -> None:
        """Add ``other``. Raises :class:`MismatchError` when the shapes differ."""
        if self.cells.shape != other.cells.shape:
            raise MismatchError(
                f"counts of shape {other.cells.shape} cannot join counts of shape {self.cells.shape}:"
                " they belong to another reference"
            )
        self.cells += other.cells
        self.n += other.n

    def copy(self) -> Counts:
        """Return counts that share nothing with these."""
        return Counts(self.cells)

    def __add__(self, other: Counts) -> Counts:
        total = self.copy()
        total.merge(other)
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and np.array_equal(self.cells, other.cells)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Counts(n={self.n}, columns={self.cells.shape[0]}, cells={self.cells.shape[1]})"

    def to_bytes(self) -> bytes:
        """Return checked bytes; counts take 1, 2, 4 or 8 bytes each, whichever the rows fit into."""
        width = next(size for size in _WIDTHS if self.n < 1 << (8 * size - (size == 8)))
        shape = _SHAPE.pack(self.n, *self.cells.shape, width)
        return frame(_MAGIC, _VERSION, shape + self.cells.astype(_WIDTHS[width]).tobytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Counts:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        payload = unframe(_MAGIC, _VERSION, data)
        if len(payload) < _SHAPE.size:
            raise CorruptBytes(f"DSCT: {len(payload)} bytes of payload are too few for the shape")
        rows, columns, cells, width = _SHAPE.unpack_from(payload)
        body = len(payload) - _SHAPE.size
        if width not in _WIDTHS or columns * cells > _MAX_CELLS or columns * cells * width != body:
            raise CorruptBytes(f"DSCT: {body} bytes do not hold {columns} x {cells} counts of {width} bytes")
        values = np.frombuffer(payload, dtype=_WIDTHS[width], offset=_SHAPE.size)
        try:
            counts = cls(values.reshape(columns, cells))
        except ValueError as exc:
            raise CorruptBytes(f"DSCT: {exc}") from exc
        if counts.n != rows:
            raise CorruptBytes(f"DSCT: the cells hold {counts.n} rows, the header says {rows}")
        return counts
