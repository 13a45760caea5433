r"""Pairs: which numeric columns depend on each other, and how surprising a change of that is.

The score of a pair is the product of its two columns' location scores (:mod:`detectors.moments`), each less
its mean over the slice, so that two columns that merely wander together do not correlate by it. Brought to
mean 0 and variance 1 under the reference, it is one smooth component a pair, decided on like any other.
Correlations break where joins go wrong, units change or columns get swapped, and no histogram shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.binning import SPECIAL_CELLS, Binning
from detectors.counts import Counts
from detectors.moments import UNIT, Products
from detectors.scores import Scores, Sums, location_scores

Floats = NDArray[np.float64]

DEFAULT_MOST = 32
"""Columns up to which pairs are watched unless asked otherwise: 496 pairs, 2 kB a pane."""
MOST = 100
HEAVY_SHARE = 0.8


def pairable(binning: Binning, scores: Scores, cells: NDArray[np.int64], allowed: Sequence[str]) -> list[str]:
    """Return the columns whose pairs can be watched: numbers, with no one value in over 80 % of the rows.

    Such a column is all but constant: its few other rows would decide every correlation.
    """
    width = binning.width - len(SPECIAL_CELLS)
    first = np.searchsorted(scores.owner, np.arange(len(binning.names)))
    found = []
    for j, name in enumerate(binning.names):
        if name not in allowed or binning.kinds[j] != "numeric" or scores.cell[first[j]] >= 0:
            continue
        present, rows = int(cells[j, :width].sum()), int(cells[j].sum())
        if cells[j, :width].max() <= HEAVY_SHARE * present and present >= (1.0 - HEAVY_SHARE) * rows:
            found.append(name)
    return found


def products_of(binning: Binning, cells: NDArray[np.int64], names: Sequence[str]) -> Products:
    """Return the product sums of pairs of the named columns, under a reference of these ``cells``."""
    columns = [binning.names.index(name) for name in names]
    scores = np.array([location_scores(binning, cells, column) for column in columns])
    return Products(columns, scores, binning.value_cells[columns].tolist())


class PairScores:
    """The score components of all pairs: a :class:`~detectors.scores.Components` with one a pair.

    Parameters
    ----------
    names, products
        Columns whose pairs are watched, m of them, and their scores.
    rows
        Rows of the reference.
    powers
        Over the reference, sums of the products and of their squares and cubes, int64 ``(pairs,)`` each.

    Attributes
    ----------
    correlation
        Mean product under the reference, where the scores have mean 0, ``(P,)``.
    spread
        Standard deviation of a row's product under the reference; what turns an effect into a correlation.
    """

    def __init__(
        self,
        names: Sequence[str],
        products: Products,
        rows: int,
        powers: Sequence[NDArray[np.int64]],
    ) -> None:
        self.names = tuple(names)
        self.products = products
        left, right = products.pairs
        self.left, self.right = np.asarray(left, dtype=np.intp), np.asarray(right, dtype=np.intp)
        pairs = self.left.size
        self.owner = np.arange(pairs, dtype=np.intp)
        self.per_column = (1,) * pairs
        self.multiplicity = np.ones(pairs)
        self.location = np.full(pairs, -1, dtype=np.intp)
        mean, square, cube = (
            np.asarray(sums, dtype=np.float64) / rows / UNIT ** (2 * power)
            for power, sums in enumerate(powers, start=1)
        )
        self.correlation: Floats = mean
        self.spread: Floats = np.sqrt(np.maximum(square - mean**2, 1.0 / UNIT**2))
        self.share, self.scale = np.zeros(pairs), np.ones(pairs)
        self.skew: Floats = (cube - 3.0 * mean * square + 2.0 * mean**3) / self.spread**3
        self.reference = Sums(np.zeros(pairs), np.full(pairs, float(rows)))
        self.is_indicator = np.zeros(pairs, dtype=np.bool_)
        self.integrity = np.zeros(pairs, dtype=np.bool_)

    def sums(self, counts: Counts) -> Sums:
        """Return the standardised score sums; of no rows, for counts without moments."""
        if counts.moments is None:
            return Sums(np.zeros(self.owner.size), np.zeros(self.owner.size))
        total = counts.n * self.deviations(counts.cells, counts.moments)
        return Sums(total, np.full(self.owner.size, float(counts.n)))

    def deviations(self, cells: NDArray[np.int64], moments: NDArray[np.int64]) -> Floats:
        """Return the standardised mean of the pairs' scores, of cells ``(..., d, K)`` and their moments."""
        return (self._covariances(cells, moments) - self.correlation) / self.spread

    def _covariances(self, cells: NDArray[np.int64], moments: NDArray[np.int64]) -> Floats:
        rows = np.maximum(cells[..., 0, :].sum(axis=-1, keepdims=True), 1)
        mean = self.products.single(cells) / (UNIT * rows)
        centred = moments / (UNIT**2 * rows) - mean[..., self.left] * mean[..., self.right]
        covariances: Floats = centred * (rows / np.maximum(rows - 1, 1))
        return covariances

    def effects(self, sums: Sums) -> Floats:
        """Return the mean standardised product; 0 without rows."""
        mean: Floats = np.divide(sums.total, sums.n, out=np.zeros_like(sums.total), where=sums.n > 0)
        return mean

    def correlations(self, counts: Counts) -> Floats | None:
        """Return the correlations of the rows counted, to be compared with ``correlation``."""
        if counts.moments is None or not counts.n:
            return None
        return self._covariances(counts.cells, counts.moments)


def hubs(
    flagged: NDArray[np.bool_], surprise: Floats, left: NDArray[np.intp], right: NDArray[np.intp]
) -> dict[int, int]:
    """Name the columns that explain flagged pairs: column to its most surprising flagged pair.

    Greedily the column with the most flagged pairs left; among equals the one whose pairs, flagged or not,
    are the most surprising in all. So a column that lost its correlations is named, its partners are not.

    >>> left, right = np.triu_indices(4, 1)
    >>> hubs(np.array([True, True, False, False, False, False]), np.array([5.0, 6, 2, 0, 0, 0]), left, right)
    {0: 1}
    """
    columns = int(right.max(initial=-1)) + 1
    strength = np.bincount(left, surprise, columns) + np.bincount(right, surprise, columns)
    rest, found = flagged.copy(), dict[int, int]()
    while rest.any():
        degree = np.bincount(left[rest], minlength=columns) + np.bincount(right[rest], minlength=columns)
        hub = int(np.lexsort((-strength, -degree))[0])
        own = rest & ((left == hub) | (right == hub))
        found[hub] = int(np.argmax(np.where(own, surprise, -1.0)))
        rest &= ~own
    return found
