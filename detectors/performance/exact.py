r"""Sums of floats without rounding, as whole numbers of the smallest double.

A double is a whole number of :math:`2^{-1074}`. Sums are held as Python integers of that unit, so they are
the same whatever the order, and a value taken out leaves nothing behind. Only reading one rounds, once,
correctly.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from detectors.performance.spec import Floats, Whole

SMALLEST_EXPONENT = -1074
LARGEST_SQUARED = 2.0**250
"""Magnitude up to which values and the squares of their squares are finite."""
_AT_ONCE = 1 << 25
_BITS = 26  # 2**25 numbers of 27 bits have an exact sum in doubles
_LEVELS = 6
_SMALLEST_TOP, _LARGEST_TOP = -800, 990  # magnitudes whose grids are normal doubles
_EXPONENTS = 2048
_SPLITTER = 2.0**27 + 1.0


def exact_sum(values: Floats) -> int:
    """Return the sum of finite float64 ``values``, ``(n,)``, in units of 2**-1074.

    >>> as_float(exact_sum(np.array([1e100, 1.0, -1e100])))
    1.0
    """
    return exact_sums(values[None])[0]


def exact_sums(values: Floats) -> list[int]:
    """Return the sum of each row of finite float64 ``values``, ``(rows, n)``, in units of 2**-1074."""
    rows, size = values.shape
    totals = [0] * rows
    for start in range(0, size, _AT_ONCE):
        _split(values[:, start : start + _AT_ONCE], None, totals)
    return totals


def exact_group_sums(values: Floats, group: Whole, groups: int) -> list[int]:
    """Return the sum of each group of finite float64 ``values``, ``(n,)``, in units of 2**-1074."""
    totals = [0] * groups
    for start in range(0, values.size, _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        _split(values[block], group[block], totals)
    return totals


def _split(values: Floats, group: Whole | None, totals: list[int]) -> None:
    """Add up the values level by level: each holds the next 26 bits of all of them, so its sums are exact.

    Adding and subtracting 1.5 * 2**52 grids rounds to the grid, and what is left is exact (Rump, Ogita &
    Oishi 2008, section 3).
    """
    rest = values.copy()
    top = int(np.frexp(np.max(np.abs(rest)))[1])
    for _ in range(_LEVELS if _SMALLEST_TOP < top < _LARGEST_TOP else 0):
        top -= _BITS
        grid = 2.0**top
        rounded = rest + 1.5 * 2.0**52 * grid
        rounded -= 1.5 * 2.0**52 * grid
        rest -= rounded
        if group is None:
            sums = rounded.sum(axis=-1)
        else:
            sums = np.bincount(group, weights=rounded, minlength=len(totals))
        for at, part in enumerate((sums / grid).tolist()):
            if part:
                totals[at] += int(part) << (top - SMALLEST_EXPONENT)
        if not rest.any():
            return
    _add_by_exponent(rest, group, totals)


def _add_by_exponent(values: Floats, group: Whole | None, totals: list[int]) -> None:
    """Add up mantissas by group and exponent, in two halves: slower, and exact for whatever is left."""
    left = np.nonzero(values)
    bits = values[left].view(np.int64)
    row = left[0] if group is None else group[left[0]]
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & 0xFFFFFFFFFFFFF) | ((exponent > 0).astype(np.int64) << 52)
    mantissa = np.where(bits < 0, -mantissa, mantissa)
    cell = row * _EXPONENTS + exponent
    low = np.bincount(cell, weights=mantissa & ((1 << _BITS) - 1))
    high = np.bincount(cell, weights=mantissa >> _BITS)
    for at in np.flatnonzero((low != 0) | (high != 0)).tolist():
        which, power = divmod(at, _EXPONENTS)
        totals[which] += ((int(high[at]) << _BITS) + int(low[at])) << max(power - 1, 0)


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
    return sum(exact_sums(np.stack((product, lost))))


def as_fraction(total: int) -> Fraction:
    """Return a sum as the number that it is."""
    return Fraction(total, 1 << -SMALLEST_EXPONENT)


def as_float(total: int, divisor: int = 1) -> float:
    """Return a sum over a whole number, rounded once to the nearest double."""
    return total / (divisor << -SMALLEST_EXPONENT)
