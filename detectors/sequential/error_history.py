r"""Blocks of labels: how surprising the errors of the newest are after all older ones."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.errors import CorruptBytes
from detectors.sequential.scan import SPANS, Floats, as_normal, span_bounds
from detectors.significance import chi_square_tail, signed_root_binomial

BLOCK = 50
TOLERATED = 0.002
OLDER_BLOCKS = 8
DISPERSION_LEVEL = 0.01


class _Totals(NamedTuple):
    """Blocks, errors, labels and the sum of (errors squared / labels) up to some block, ``(blocks + 1,)``."""

    blocks: Floats
    errors: Floats
    rows: Floats
    squares: Floats


class ErrorBlocks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors and labels of the last 256 blocks, and totals of those before: see :class:`_Totals`."""

    errors: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    older: tuple[int, int, int, float] = (0, 0, 0, 0.0)

    def check(self) -> None:
        """Raise :class:`CorruptBytes` if no stream can lead here."""
        blocks, errors, rows, squares = self.older
        if len(self.errors) != len(self.rows) or len(self.errors) > SPANS[-1]:
            raise CorruptBytes("DSER: the remembered blocks are impossible")
        if any(
            not 0 <= hits <= size or size < BLOCK for hits, size in zip(self.errors, self.rows, strict=True)
        ):
            raise CorruptBytes("DSER: a block has more errors than labels, or too few labels")
        if not (0 <= errors <= rows and 0 <= blocks * BLOCK <= rows and 0.0 <= squares <= errors):
            raise CorruptBytes("DSER: the totals of older blocks are impossible")


class ErrorHistory:
    """Blocks since the last alarm. A block is (errors, labels)."""

    def __init__(self, critical: Floats, blocks: ErrorBlocks) -> None:
        self.blocks = blocks
        self._critical = critical

    def first_alarm(self, blocks: Floats) -> int | None:
        """Return the first block after which some span was too surprising."""
        remembered = len(self.blocks.errors)
        totals = self._totals(blocks)
        starts, ends = span_bounds(remembered, remembered + len(blocks), oldest=0)
        usable = (starts >= 0) & (totals.blocks[np.maximum(starts, 0)] >= OLDER_BLOCKS)
        surprise = np.where(usable, _surprise(totals, np.maximum(starts, 0), ends), 0.0)
        over = np.flatnonzero(np.any(surprise > self._critical, axis=1))
        return int(over[0]) if over.size else None

    def remember(self, blocks: Floats) -> None:
        """Keep the last 256 blocks one by one, and the sums of those before."""
        state, totals = self.blocks, self._totals(blocks)
        gone = max(len(state.errors) + len(blocks) - SPANS[-1], 0)
        count, errors, rows, squares = (float(total[gone]) for total in totals)
        self.blocks = ErrorBlocks(
            (*state.errors, *map(int, blocks[:, 0]))[gone:],
            (*state.rows, *map(int, blocks[:, 1]))[gone:],
            (int(count), int(errors), int(rows), squares),
        )

    def forget(self) -> None:
        """Begin anew."""
        self.blocks = ErrorBlocks()

    def _totals(self, blocks: Floats) -> _Totals:
        state = self.blocks
        errors = np.concatenate((np.array(state.errors, dtype=np.float64), blocks[:, 0]))
        rows = np.concatenate((np.array(state.rows, dtype=np.float64), blocks[:, 1]))
        columns = np.stack((np.ones_like(errors), errors, rows, errors * errors / rows))
        # One running sum from the first block on: it is the same wherever the stream was cut into calls.
        totals = np.cumsum(np.concatenate((np.array(state.older)[:, None], columns), axis=1), axis=1)
        return _Totals(*totals)


def _surprise(totals: _Totals, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """How surprising the errors in ``[start, end)`` are after all older ones, ``(blocks, spans)``."""
    older, known = totals.rows[starts], totals.errors[starts]
    rows, hits = totals.rows[ends] - older, totals.errors[ends] - known
    raised = np.minimum(known + TOLERATED * older, older)
    root = signed_root_binomial(hits, rows, raised, older)
    dispersion = _dispersion(totals)[starts]
    freedom = np.maximum(totals.blocks[starts] - 1.0, 1.0)
    # A dispersion that was estimated makes a t of the root.
    return np.where(dispersion > 1.0, as_normal(root / np.sqrt(dispersion), freedom), root)


def _dispersion(totals: _Totals) -> Floats:
    r"""Variance of the blocks before each over the binomial one, where significantly above 1; else 1.

    Pearson's statistic :math:`\sum (e_b - n_b \hat p)^2 / (n_b \hat p (1 - \hat p))` over its degrees of
    freedom (McCullagh & Nelder 1989, section 4.5), with an upper bound as for the between-window variance.
    """
    blocks, errors, rows, squares = totals
    rate = errors / np.maximum(rows, 1.0)
    variance = rate * (1.0 - rate)
    scatter = squares - errors * rate
    enough = (blocks >= OLDER_BLOCKS) & (variance > 0)
    statistic = np.divide(scatter, variance, out=np.zeros_like(scatter), where=enough)
    freedom = np.maximum(blocks - 1.0, 1.0)
    excess = enough & (chi_square_tail(statistic, freedom) < DISPERSION_LEVEL)
    bound = statistic / np.asarray(chdtri(freedom, 0.75), dtype=np.float64)
    return np.where(excess, np.maximum(bound, 1.0), 1.0)
