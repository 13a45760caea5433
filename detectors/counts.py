"""Counts: the mergeable summary that everything is decided from.

Bytes: version 1 holds cells; version 2 has the moments of pairs after them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning
from detectors.compact import GrowingCounts
from detectors.compiled_bytes import compiled_bytes
from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe

_MAGIC = b"DSCT"
_CELLS_ONLY, _WITH_MOMENTS = 1, 2
_SHAPE = struct.Struct("<QIIB")  # rows, columns, cells, bytes of one count
_CHECKED = struct.Struct("<II")
_PAIRS = struct.Struct("<IB")  # pairs, bytes of one moment
_MAX_CELLS = 1 << 26
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}
_SIGNED = {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}


class Counts:
    """Rows per cell of every column: exact integers, so merging in any order and cut gives the same bits.

    Parameters
    ----------
    cells
        int64 ``(d, K)`` as :meth:`Binning.count` gives for one group; copied. Every column sums to the rows.
    moments
        int64 ``(pairs,)``, sums of products of scores as :meth:`Binning.tally` gives them; copied. ``None``
        where pairs are not watched, and in every merge with such counts, unless they are of no rows.

    Examples
    --------
    >>> half = Counts([[3, 1, 0, 0], [2, 2, 0, 0]])
    >>> (half + half).n, Counts.from_bytes(half.to_bytes()) == half
    (8, True)
    """

    __slots__ = ("cells", "moments", "n")

    def __init__(self, cells: Any, moments: Any = None) -> None:
        self.cells: NDArray[np.int64] = np.array(cells, dtype=np.int64, order="C")
        if self.cells.ndim != 2:
            raise ValueError(f"cells must be two-dimensional, they have shape {self.cells.shape}")
        rows = self.cells.sum(axis=1)
        self.n = int(rows[0]) if rows.size else 0
        if self.cells.size and (int(self.cells.min()) < 0 or not bool(np.all(rows == self.n))):
            raise ValueError(
                "counts must not be negative, and every column must hold the same number of rows"
            )
        self.moments: NDArray[np.int64] | None = None
        if moments is not None:
            self.moments = np.array(moments, dtype=np.int64, order="C")
            if self.moments.ndim != 1:
                raise ValueError(f"moments must be one-dimensional, they have shape {self.moments.shape}")

    @classmethod
    def of(cls, cells: NDArray[np.int64], moments: NDArray[np.int64] | None, n: int) -> Counts:
        """Return counts of arrays that are known to be right; they are kept, not copied.

        For what has just been counted or packed: checks would cost more than the counting of a few rows.
        """
        counts = cls.__new__(cls)
        counts.cells, counts.moments, counts.n = cells, moments, n
        return counts

    @classmethod
    def empty(cls, binning: Binning) -> Counts:
        """Return counts of no rows."""
        return cls(np.zeros((len(binning.names), binning.width), dtype=np.int64))

    def update(self, binning: Binning, encoded: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of encoded columns."""
        self.merge(Counts(binning.count(encoded)[0]))

    def merge(self, other: GrowingCounts) -> None:
        """Add ``other``. Raises :class:`MismatchError` when the shapes differ."""
        moments = self._joint_moments(other)
        if self.cells.shape != other.cells.shape:
            raise MismatchError(
                f"counts of shape {other.cells.shape} cannot join counts of shape {self.cells.shape}:"
                " they belong to another reference"
            )
        self.cells += other.cells
        self.n += other.n
        self.moments = moments

    def _joint_moments(self, other: GrowingCounts) -> NDArray[np.int64] | None:
        """Add up the moments; counts of no rows add nothing, counts of rows without moments void them."""
        if self.moments is None or other.moments is None:
            held, void = (self, other) if other.moments is None else (other, self)
            return held.moments.copy() if held.moments is not None and void.n == 0 else None
        if self.moments.shape != other.moments.shape:
            raise MismatchError(
                f"moments of {other.moments.size} pairs cannot join those of {self.moments.size}:"
                " they belong to another reference"
            )
        return self.moments + other.moments

    def copy(self) -> Counts:
        """Return counts that share nothing with these."""
        moments = None if self.moments is None else self.moments.copy()
        return Counts.of(self.cells.copy(), moments, self.n)

    def __add__(self, other: Counts) -> Counts:
        total = self.copy()
        total.merge(other)
        return total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts) or not np.array_equal(self.cells, other.cells):
            return False
        if self.moments is None or other.moments is None:
            return self.moments is other.moments
        return np.array_equal(self.moments, other.moments)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Counts(n={self.n}, columns={self.cells.shape[0]}, cells={self.cells.shape[1]})"

    def to_bytes(self) -> bytes:
        """Return checked bytes; numbers take 1, 2, 4 or 8 bytes each, whichever the largest fits into."""
        packed = compiled_bytes(self.n, self.cells, self.moments)
        return self._packed() if packed is None else packed

    def framed(self, start: bytes, head: bytes) -> bytes:
        """Return ``start``, u32 length and CRC-32 of what follows, ``head`` and :meth:`to_bytes`."""
        payload = head + self.to_bytes()
        return start + _CHECKED.pack(len(payload), zlib.crc32(payload)) + payload

    def _packed(self) -> bytes:
        width = next(size for size in _WIDTHS if self.n < 1 << (8 * size - (size == 8)))
        shape = _SHAPE.pack(self.n, *self.cells.shape, width)
        payload = shape + self.cells.astype(_WIDTHS[width]).tobytes()
        if self.moments is None:
            return frame(_MAGIC, _CELLS_ONLY, payload)
        largest = int(np.abs(self.moments).max(initial=0))
        width = next(size for size in _SIGNED if largest < 1 << (8 * size - 1))
        moments = _PAIRS.pack(self.moments.size, width) + self.moments.astype(_SIGNED[width]).tobytes()
        return frame(_MAGIC, _WITH_MOMENTS, payload + moments)

    @classmethod
    def from_bytes(cls, data: bytes) -> Counts:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        payload = unframe(_MAGIC, _WITH_MOMENTS, data, oldest=_CELLS_ONLY)
        if len(payload) < _SHAPE.size:
            raise CorruptBytes(f"DSCT: {len(payload)} bytes of payload are too few for the shape")
        rows, columns, cells, width = _SHAPE.unpack_from(payload)
        body = len(payload) - _SHAPE.size
        size = columns * cells * width
        if width not in _WIDTHS or columns * cells > _MAX_CELLS or size > body:
            raise CorruptBytes(f"DSCT: {body} bytes do not hold {columns} x {cells} counts of {width} bytes")
        values = np.frombuffer(payload, _WIDTHS[width], columns * cells, _SHAPE.size).reshape(columns, cells)
        moments = _read_moments(payload[_SHAPE.size + size :])
        whole = values.astype(np.int64)
        # Narrow counts have no sign; what does not add up is left to the checks that say why.
        if columns and width < 8 and not (whole.sum(axis=1) != rows).any():
            return cls.of(whole, None if moments is None else moments.astype(np.int64), rows)
        try:
            counts = cls(values, moments)
        except ValueError as exc:
            raise CorruptBytes(f"DSCT: {exc}") from exc
        if counts.n != rows:
            raise CorruptBytes(f"DSCT: the cells hold {counts.n} rows, the header says {rows}")
        return counts


def _read_moments(payload: bytes) -> NDArray[Any] | None:
    if not payload:
        return None
    if len(payload) < _PAIRS.size:
        raise CorruptBytes(f"DSCT: {len(payload)} bytes are too few for the number of pairs")
    pairs, width = _PAIRS.unpack_from(payload)
    if width not in _SIGNED or pairs * width != len(payload) - _PAIRS.size:
        raise CorruptBytes(f"DSCT: {len(payload)} bytes do not hold {pairs} moments of {width} bytes")
    return np.frombuffer(payload, _SIGNED[width], pairs, _PAIRS.size)
