"""DelayCounts: how long after their predictions the labels came."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.performance.tally import Metrics, Tally, empty_tally
from detectors.performance.tally_bytes import read_tally, tally_bytes

_MAGIC = b"DSDL"
_PER_OCTAVE_BITS = 4
_OCTAVES = 42  # 2**42 ms are 139 years
_EARLY, _FIRST = 1, 2
_CELLS = _FIRST + 1 + (_OCTAVES << _PER_OCTAVE_BITS)


class Quantile(NamedTuple):
    """A quantile of delays, and how far off it may be at most."""

    value_ms: float
    error_ms: float


class DelayCounts:
    """A histogram of delays in ms, 16 bins to each doubling: a quantile is off by at most 1/32 of itself.

    Mergeable and subtractable, the same bytes for the same delays whatever the order. A label before its
    prediction is ``early``, and counts as no delay.

    Examples
    --------
    >>> counts = DelayCounts()
    >>> counts.add(np.array([-5, 0, 1000, 2000, 60_000]))
    >>> counts.quantile(0.5)
    Quantile(value_ms=1007.5, error_ms=15.5)
    """

    __slots__ = ("tally",)

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or empty_tally(_CELLS, 0)

    @property
    def n(self) -> int:
        """Number of delays."""
        return int(self.tally.counts[0])

    def add(self, delay_ms: NDArray[np.int64], *, sign: int = 1) -> None:
        """Count delays in whole ms, or take them out again (``sign=-1``)."""
        delay = np.asarray(delay_ms, dtype=np.int64)
        late = np.maximum(delay, 0).astype(np.float64)
        first = 1023 << _PER_OCTAVE_BITS
        # A double's exponent and leading bits are the number of its bin.
        cell = np.maximum((late.view(np.int64) >> (52 - _PER_OCTAVE_BITS)) - first + 1, 0)
        counts = np.bincount(np.minimum(cell, _CELLS - _FIRST - 1) + _FIRST, minlength=_CELLS)
        counts[:_FIRST] = delay.size, np.count_nonzero(delay < 0)
        self.tally.add(Tally(counts, []), sign)

    def merge(self, other: DelayCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out."""
        self.tally.add(other.tally, sign)

    def copy(self) -> DelayCounts:
        """Return counts that share nothing with these."""
        return DelayCounts(self.tally.copy())

    def quantile(self, share: float) -> Quantile | None:
        """Return the smallest delay that at least ``share`` of all do not exceed; ``None`` of no delays.

        Raises ``ValueError`` for a share that is not above 0 and at most 1.
        """
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share is {share}: give one above 0, up to 1")
        if self.n <= 0:
            return None
        reached = np.cumsum(self.tally.counts[_FIRST:]) >= math.ceil(share * self.n)
        cell = int(np.argmax(reached))
        if cell == 0:
            return Quantile(0.0, 0.0)
        low, high = math.ceil(_edge(cell)), math.ceil(_edge(cell + 1)) - 1  # whole ms of the bin
        return Quantile((low + high) / 2, (high - low) / 2)

    def metrics(self, *, min_n: int = 1) -> Metrics:
        """Return median and 95th percentile with their largest errors; ``None`` below ``min_n``."""
        found: Metrics = {"n": float(self.n), "early": float(self.tally.counts[_EARLY])}
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            quantile = self.quantile(share) if self.n >= min_n else None
            found[f"{name}_ms"] = quantile and quantile.value_ms
            found[f"{name}_error_ms"] = quantile and quantile.error_ms
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DelayCounts) and self.tally.same(other.tally)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same delays."""
        return tally_bytes(_MAGIC, 0, self.tally)

    @classmethod
    def from_bytes(cls, data: bytes) -> DelayCounts:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        return cls(read_tally(_MAGIC, 0, data, cells=_CELLS, totals=0))


def _edge(cell: int) -> float:
    octave, step = divmod(cell - 1, 1 << _PER_OCTAVE_BITS)
    return math.ldexp(1.0 + step / (1 << _PER_OCTAVE_BITS), octave)
