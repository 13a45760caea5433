"""ValueCounts: what outcomes were worth (revenue, conversions, cost), as exact weighted sums."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from detectors.performance.exact import LARGEST_SQUARED, as_float, exact_sums
from detectors.performance.spec import Floats
from detectors.performance.tally import Metrics, Tally, empty_tally
from detectors.performance.tally_bytes import read_tally, tally_bytes

_MAGIC = b"DSVL"
_CELLS, _TOTALS = 3, 7


class ValueCounts:
    """Sums the values of outcomes, each with a weight (1 over the share that was sampled).

    As :class:`PerformanceCounts`: the same bytes for the same values whatever the order of adding, taking out
    and merging. A product of weight and value is rounded to a double, then summed exactly.

    Examples
    --------
    >>> counts = ValueCounts()
    >>> counts.add(np.array([10.0, 0.0, 0.0, 2.0]))
    >>> counts.metrics()["mean"], counts.metrics()["nonzero_rate"]
    (3.0, 0.5)
    """

    __slots__ = ("tally",)

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or empty_tally(_CELLS, _TOTALS)

    @property
    def n(self) -> int:
        """Number of values."""
        return int(self.tally.counts[0])

    def add(self, values: Floats, weights: Floats | None = None, *, sign: int = 1) -> None:
        """Sum values, or take them out again (``sign=-1``). NaN is no value, and left out.

        Values that are infinite or beyond 1e75, and weights that are not between 1e-75 and 1e75, are counted
        as ``unusable``. Raises ``ValueError`` when the shapes differ.
        """
        value = np.asarray(values, dtype=np.float64)
        weight = np.ones_like(value) if weights is None else np.asarray(weights, dtype=np.float64)
        if value.ndim != 1 or weight.shape != value.shape:
            raise ValueError(f"values and weights have shapes {value.shape} and {weight.shape}")
        given = ~np.isnan(value)
        if not given.any():
            return
        usable = (np.abs(value) <= LARGEST_SQUARED) & (weight >= 1 / LARGEST_SQUARED)
        usable &= weight <= LARGEST_SQUARED
        value, weight = value[usable], weight[usable]
        nonzero = value != 0
        square = weight * weight
        counts = [value.size, np.count_nonzero(given & ~usable), np.count_nonzero(nonzero)]
        sums = np.stack(
            [
                weight,
                weight * value,
                weight * nonzero,
                square,
                square * value,
                square * value * value,
                square * nonzero,
            ]
        )
        self.tally.add(Tally(np.array(counts, dtype=np.int64), exact_sums(sums)), sign)

    def merge(self, other: ValueCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out."""
        self.tally.add(other.tally, sign)

    def copy(self) -> ValueCounts:
        """Return counts that share nothing with these."""
        return ValueCounts(self.tally.copy())

    def metrics(self, *, min_n: int = 1) -> Metrics:
        """Return the weighted sum, mean and share of values that are not zero; ``None`` below ``min_n``.

        ``effective_n`` is Kish's: how many values of equal weight would tell as much.
        """
        n, unusable, nonzero = self.tally.counts.tolist()
        weight, total, with_value, square, *_ = self.tally.sums
        enough = n >= max(min_n, 1) and weight > 0
        return {
            "n": float(n),
            "nonzero": float(nonzero),
            "unusable": float(unusable),
            "effective_n": float(Fraction(weight * weight, square << 1074))
            if enough and square > 0
            else None,
            "sum": as_float(total) if enough else None,
            "mean": total / weight if enough else None,
            "nonzero_rate": with_value / weight if enough else None,
        }

    def standard_errors(self, *, min_n: int = 2) -> Metrics:
        r"""Return those of mean and rate, as of ratios: :math:`\sqrt{\sum w^2 (v - \bar v)^2} / \sum w`."""
        weight, total, with_value, square, by_value, by_square, by_nonzero = self.tally.sums
        if self.n < max(min_n, 2) or weight <= 0:
            return {"mean": None, "nonzero_rate": None}
        mean, rate = Fraction(total, weight), Fraction(with_value, weight)
        return {
            "mean": _root(by_square - 2 * mean * by_value + mean * mean * square, weight),
            "nonzero_rate": _root(by_nonzero - 2 * rate * by_nonzero + rate * rate * square, weight),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValueCounts) and self.tally.same(other.tally)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same values."""
        return tally_bytes(_MAGIC, 0, self.tally)

    @classmethod
    def from_bytes(cls, data: bytes) -> ValueCounts:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        return cls(read_tally(_MAGIC, 0, data, cells=_CELLS, totals=_TOTALS))


def _root(squares: Fraction, weight: int) -> float:
    """Return the root of a sum of squares (in units of 2**-1074) over the sum of weights (in the same)."""
    return math.sqrt(max(float(squares * (1 << 1074) / (weight * weight)), 0.0))
