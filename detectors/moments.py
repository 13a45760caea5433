r"""Moments: sums of products of two columns' scores, the mergeable summary behind pair correlations.

The score of a row is its cell's location score :math:`\varphi_1`, rounded to a multiple of 1/16 and held as a
whole number from -40 to 40; 0 (the mean) where the value is missing. The reference is scored the same way, so
rounding biases nothing; it makes every sum a whole number, and merging exact in any order and cut.

A block of at most 4096 rows is multiplied with itself in single precision, which is exact too: no partial sum
passes :math:`40^2 \cdot 4096 < 2^{24}`, whatever the order of additions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNIT = 16
LARGEST = 40
ROWS_AT_ONCE = 4096
ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS stays on one core: more cores take longer for so little."""
Floats = NDArray[np.float64]


class Products:
    """Scores the ranks of some columns and sums the products of all pairs of them.

    Parameters
    ----------
    columns
        Positions of the columns in the binning, m of them.
    scores
        Location score of every value cell of each, ``(m, K)``; zero in the special cells.
    value_cells
        Number of value cells of each.

    Attributes
    ----------
    slots
        Position of each column among the m, by its position in the binning.
    tables
        Score of every value cell of each, as whole numbers.
    """

    def __init__(self, columns: Sequence[int], scores: Floats, value_cells: Sequence[int]) -> None:
        self.slots = {column: slot for slot, column in enumerate(columns)}
        self.pairs = np.triu_indices(len(columns), 1)
        self._columns = np.array(columns, dtype=np.intp)
        whole = np.clip(np.rint(scores * UNIT), -LARGEST, LARGEST).astype(np.int8)
        self._whole = whole.astype(np.int64)
        self.tables = [row[:cells] for row, cells in zip(whole, value_cells, strict=True)]
        self._by_rank = [_by_rank(table).tobytes() for table in self.tables]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return int(self.pairs[0].size)

    def single(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sums of the scores themselves, of cells ``(..., d, K)``: int64 ``(..., m)``."""
        sums: NDArray[np.int64] = np.einsum("...jk,jk->...j", cells[..., self._columns, :], self._whole)
        return sums

    def room(self, rows: int) -> NDArray[np.uint8]:
        """Return where the ranks of ``rows`` rows are to be put, ``(m, rows)``; all missing at first."""
        return np.zeros((len(self.tables), rows), dtype=np.uint8)

    def sum(
        self,
        ranks: NDArray[np.uint8],
        group: NDArray[np.intp] | None = None,
        groups: int = 1,
        *,
        power: int = 1,
    ) -> NDArray[np.int64]:
        r"""Return :math:`\sum (q_i q_j)^{power}` of every pair, int64 ``(groups, pairs)``.

        ``ranks`` are those of :func:`~detectors.tally.rank_numbers`. Powers above 1 are for references: they
        give the variance and the skewness of the products.
        """
        bounds = np.array([0, ranks.shape[1]])
        if group is not None:
            narrow = group.astype(np.uint16) if groups <= 1 << 16 else group  # sorted by radix, in one pass
            ranks = ranks.take(np.argsort(narrow, kind="stable"), axis=1)
            bounds = np.concatenate(([0], np.cumsum(np.bincount(group, minlength=groups))))
        scores = self._scores(ranks)
        sums = np.zeros((groups, len(self)), dtype=np.int64)
        for g in range(groups):
            for start in range(bounds[g], bounds[g + 1], ROWS_AT_ONCE):
                part = scores[:, start : min(start + ROWS_AT_ONCE, bounds[g + 1])]
                sums[g] += _products(part, power)[self.pairs].astype(np.int64)
        return sums

    def _scores(self, ranks: NDArray[np.uint8]) -> NDArray[np.int8]:
        scores = np.empty(ranks.shape, dtype=np.int8)
        for slot, table in enumerate(self._by_rank):
            # A quarter faster than an indexed lookup, which would widen the ranks to 8 bytes first.
            scores[slot] = np.frombuffer(ranks[slot].tobytes().translate(table), dtype=np.int8)
        return scores


def _by_rank(scores: NDArray[np.int8]) -> NDArray[np.int8]:
    """Turn scores by cell into a table by rank: 0 is NaN, 1 and the last are infinite, 2 the topmost cell."""
    table = np.zeros(256, dtype=np.int8)
    table[2 : 2 + scores.size] = scores[::-1]
    return table


def _products(scores: NDArray[np.int8], power: int) -> Floats | NDArray[np.float32]:
    if power > 1:
        double = scores.astype(np.float64) ** power  # cubes: 40^6 * 4096 < 2^53
        return double @ double.T
    single = scores.astype(np.float32)
    # Of an array and its own transpose, BLAS computes half and takes twice as long: few columns, many rows.
    other = single.copy()
    total = np.zeros((len(single), len(single)), dtype=np.float32)
    step = max(ONE_THREAD // total.size, 1)
    for start in range(0, single.shape[1], step):
        total += single[:, start : start + step] @ other[:, start : start + step].T
    return total
