r"""Blocks of values: how many standard errors the mean of the newest is from that of all older ones."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.errors import CorruptBytes
from detectors.sequential.scan import SPANS, Floats, as_normal, span_bounds
from detectors.significance import chi_square_tail

BLOCK = 32
OLDER_BLOCKS = 8
LEVELS = 6
LEAST_BATCHES = 8
EXCESS_LEVEL = 0.01
_CHUNK = 1 << (LEVELS - 1)


class ValueBlocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean and squared deviations of the last 256 to 287 blocks, and totals of those before.

    All means are taken from ``center``, the mean of the first block. ``sums`` and ``squares`` are over the
    means of batches of 1, 2, 4 ... 32 blocks; older blocks leave 32 at a time, so that no batch is cut.
    """

    center: float = 0.0
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    older: int = 0
    older_deviations: float = 0.0
    sums: tuple[float, ...] = (0.0,) * LEVELS
    squares: tuple[float, ...] = (0.0,) * LEVELS

    def check(self) -> None:
        """Raise :class:`CorruptBytes` if no stream can lead here."""
        numbers = [
            self.center,
            *self.means,
            *self.deviations,
            self.older_deviations,
            *self.sums,
            *self.squares,
        ]
        if (
            not np.all(np.isfinite(numbers))
            or min([*self.deviations, self.older_deviations, *self.squares]) < 0
        ):
            raise CorruptBytes("DSSM: a number is not finite, or a sum of squares is negative")
        if len(self.means) != len(self.deviations) or len(self.means) >= SPANS[-1] + _CHUNK:
            raise CorruptBytes("DSSM: the remembered blocks are impossible")
        if len(self.sums) != LEVELS or len(self.squares) != LEVELS or self.older < 0 or self.older % _CHUNK:
            raise CorruptBytes("DSSM: the totals of older blocks are impossible")


class _Totals(NamedTuple):
    """Running totals: of each block's mean and squared deviations, and per level over whole batches."""

    first: int
    deviations: Floats
    sums: list[Floats]
    squares: list[Floats]


class _Spread(NamedTuple):
    """What the blocks before each say about spread, ``(blocks + 1,)``; variances are of single values."""

    within: Floats
    long_run: Floats
    freedom: Floats


class ValueHistory:
    """Blocks since the last alarm. A block is (mean, sum of squared deviations from it)."""

    def __init__(self, critical: Floats, min_effect: float, blocks: ValueBlocks) -> None:
        self.blocks = blocks
        self._critical = critical
        self._min_effect = min_effect

    def first_alarm(self, blocks: Floats) -> int | None:
        """Return the first block after which some span was too far away."""
        state = self.blocks
        center = state.center if state.means else float(blocks[0, 0])
        totals = _totals(state, center, blocks)
        known = len(state.means)
        starts, ends = span_bounds(known, known + len(blocks), oldest=OLDER_BLOCKS - totals.first)
        usable, starts = starts >= 0, np.maximum(starts, 0)
        spread = _spread(totals)
        distance = _distance(totals, spread, starts, ends, self._min_effect)
        surprise = as_normal(distance, spread.freedom[starts])
        over = np.flatnonzero(np.any(usable & (surprise > self._critical), axis=1))
        return int(over[0]) if over.size else None

    def remember(self, blocks: Floats) -> None:
        """Keep at least the last 256 blocks one by one, and the sums of those before."""
        state = self.blocks
        center = state.center if state.means else float(blocks[0, 0])
        gone = max(len(state.means) + len(blocks) - SPANS[-1], 0) // _CHUNK * _CHUNK
        totals = _totals(state, center, blocks)
        self.blocks = ValueBlocks(
            center=center,
            means=(*state.means, *blocks[:, 0].tolist())[gone:],
            deviations=(*state.deviations, *blocks[:, 1].tolist())[gone:],
            older=state.older + gone,
            older_deviations=float(totals.deviations[gone]),
            sums=tuple(float(sums[gone >> level]) for level, sums in enumerate(totals.sums)),
            squares=tuple(float(each[gone >> level]) for level, each in enumerate(totals.squares)),
        )

    def forget(self) -> None:
        """Begin anew."""
        self.blocks = ValueBlocks()


def _totals(state: ValueBlocks, center: float, blocks: Floats) -> _Totals:
    # One running sum from the first block on: it is the same wherever the stream was cut into calls.
    batches = np.concatenate((np.array(state.means), blocks[:, 0])) - center
    deviations = np.cumsum(np.concatenate(([state.older_deviations], state.deviations, blocks[:, 1])))
    sums, squares = list[Floats](), list[Floats]()
    for level in range(LEVELS):
        if level:
            whole = batches.size // 2 * 2
            batches = (batches[0:whole:2] + batches[1:whole:2]) / 2.0
        sums.append(np.cumsum(np.concatenate(([state.sums[level]], batches))))
        squares.append(np.cumsum(np.concatenate(([state.squares[level]], batches * batches))))
    return _Totals(state.older, deviations, sums, squares)


def _spread(totals: _Totals) -> _Spread:
    r"""Learn the variance of means from the blocks before each.

    Batch means (Conway 1963) estimate the long-run variance :math:`\lim_n n \operatorname{Var} \bar x_n` at
    batches of :math:`2^k` blocks. Single blocks are the start; a longer batch counts where its estimate is
    significantly larger (chi-square at 1 %), then with an upper bound and its own degrees of freedom.
    """
    blocks = totals.first + np.arange(totals.deviations.size)
    within = totals.deviations / np.maximum(blocks * (BLOCK - 1.0), 1.0)
    base = _batch_variance(totals, 0, blocks)
    long_run, freedom = base.copy(), np.maximum(blocks - 1.0, 1.0)
    for k in range(1, LEVELS):
        count = blocks >> k
        enough = (count >= LEAST_BATCHES) & (base > 0)
        own = np.maximum(count - 1.0, 1.0)
        statistic = np.divide(
            own * _batch_variance(totals, k, blocks), base, out=np.zeros_like(base), where=enough
        )
        excess = enough & (chi_square_tail(statistic, own) < EXCESS_LEVEL)
        bound = base * statistic / np.asarray(chdtri(own, 0.75), dtype=np.float64)
        longer = excess & (bound > long_run)
        long_run, freedom = np.where(longer, bound, long_run), np.where(longer, own, freedom)
    return _Spread(within, long_run, freedom)


def _batch_variance(totals: _Totals, k: int, blocks: NDArray[np.int64]) -> Floats:
    """Variance of the means of whole batches of 2^k blocks, times the values in a batch."""
    count = blocks >> k
    at = count - (totals.first >> k)
    sums, squares = totals.sums[k][at], totals.squares[k][at]
    scatter = np.maximum(squares - sums**2 / np.maximum(count, 1), 0.0)
    variance: Floats = BLOCK * (1 << k) * scatter / np.maximum(count - 1, 1)
    return variance


def _distance(
    totals: _Totals, spread: _Spread, starts: NDArray[np.intp], ends: NDArray[np.intp], min_effect: float
) -> Floats:
    """Distance of the mean of ``[start, end)`` from that of all older blocks, beyond the tolerated effect."""
    length, older = ends - starts, starts + totals.first
    sums = totals.sums[0]
    apart = np.abs((sums[ends] - sums[starts]) / length - sums[starts] / np.maximum(older, 1))
    within, long_run = spread.within[starts], spread.long_run[starts]
    # One wild value moves a mean and the deviations around it: the newest blocks may be wider than the older.
    own = (totals.deviations[ends] - totals.deviations[starts]) / (length * (BLOCK - 1.0))
    inflation = np.maximum(np.divide(long_run, within, out=np.ones_like(own), where=within > 0), 1.0)
    newest = np.maximum(long_run, own * inflation)
    error = np.sqrt(newest / (length * BLOCK) + long_run / np.maximum(older * BLOCK, 1))
    beyond = np.maximum(apart - min_effect * np.sqrt(within), 0.0)
    # Values that never varied before, and differ now, are infinitely far away.
    certain = np.where(beyond > 0, np.inf, 0.0)
    distance: Floats = np.divide(beyond, error, out=certain, where=error > 0)
    return distance
