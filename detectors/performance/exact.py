r"""Sums of floats without rounding, as whole numbers of the smallest double.

A double is a whole number of :math:`2^{-1074}`. Sums are held as Python integers of that unit, so they are
the same whatever the order, and a value taken out leaves nothing behind. Only reading one rounds, once,
correctly.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from detectors.performance.spec import Floats

SMALLEST_EXPONENT = -1074
LARGEST_SQUARED = 2.0**250
"""Magnitude up to which values and the squares of their squares are finite."""
_ROWS_AT_ONCE = 1 << 26  # sums of that many 26-bit halves stay below 2**52: exact in a double
_EXPONENTS = 2048
_SPLITTER = 2.0**27 + 1.0


def exact_sum(values: Floats) -> int:
    """Return the sum of finite float64 ``values``, in units of 2**-1074.

    >>> as_float(exact_sum(np.array([1e100, 1.0, -1e100])))
    1.0
    """
    return exact_sums(values, None, 1)[0]


def exact_sums(values: Floats, group: NDArray[np.int64] | None, groups: int) -> list[int]:
    """Return the sum of each group of finite float64 ``values``, in units of 2**-1074.

    Mantissas are added up by group and exponent, in two halves, which is exact in doubles.
    """
    totals = [0] * groups
    for start in range(0, values.size, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        _add(totals, np.ascontiguousarray(values[part]), None if group is None else group[part])
    return totals


def _add(totals: list[int], values: Floats, group: NDArray[np.int64] | None) -> None:
    bits = values.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & 0xFFFFFFFFFFFFF) | ((exponent > 0).astype(np.int64) << 52)
    if bits.min() < 0:
        mantissa = np.where(bits < 0, -mantissa, mantissa)
    first = int(exponent.min())
    span = int(exponent.max()) - first + 1
    cell = exponent - first if group is None else exponent + (group * span - first)
    size = span * len(totals)
    low = np.bincount(cell, weights=mantissa & 0x3FFFFFF, minlength=size)
    high = np.bincount(cell, weights=mantissa >> 26, minlength=size)
    for at in np.flatnonzero((low != 0) | (high != 0)).tolist():
        which, above = divmod(at, span)
        shift = max(first + above - 1, 0)
        totals[which] += ((int(high[at]) << 26) + int(low[at])) << shift


def exact_products(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return ``left * right`` as the rounded product and what rounding lost (Dekker 1971).

    Exact where no part over- or underflows: magnitudes from 1e-140 to 1e150 are safe.
    """
    product = left * right
    left_high, left_low = _halves(left)
    right_high, right_low = _halves(right)
    cross = (left_high * right_high - product) + left_high * right_low + left_low * right_high
    return product, cross + left_low * right_low


def _halves(values: Floats) -> tuple[Floats, Floats]:
    scaled = values * _SPLITTER
    high = scaled - (scaled - values)
    return high, values - high


def sum_of_products(left: Floats, right: Floats) -> int:
    """Return the exact sum of ``left * right``, in units of 2**-1074."""
    product, lost = exact_products(left, right)
    return exact_sum(product) + exact_sum(lost)


def as_fraction(total: int) -> Fraction:
    """Return a sum as the number that it is."""
    return Fraction(total, 1 << -SMALLEST_EXPONENT)


def as_float(total: int, divisor: int = 1) -> float:
    """Return a sum over a whole number, rounded once to the nearest double."""
    return total / (divisor << -SMALLEST_EXPONENT)
