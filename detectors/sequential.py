r"""ErrorMonitor: did a rate of errors go up? A two-sample scan over a stream of zeros and ones.

Concept drift that leaves the features as they are shows here only. Labels are taken in blocks; after each
block the last L blocks are compared with *all* older ones, for L from 1 to 256. Comparing with everything
older, where a CUSUM compares with a fixed start, is what makes small changes visible soon.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri, ndtri

from detectors.errors import CorruptBytes
from detectors.framing import frame, unframe
from detectors.significance import chi_square_tail, signed_root_binomial

_MAGIC = b"DSER"
_VERSION = 1
BLOCK = 50
SPANS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
TOLERATED = 0.002
OLDER_BLOCKS = 4
DISPERSION_LEVEL = 0.01
Floats = NDArray[np.float64]


class _Totals(NamedTuple):
    """Blocks, errors and squared errors per block up to some block."""

    blocks: Floats
    errors: Floats
    squares: Floats


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """Everything a monitor knows: at most 256 block sums, and three totals of the blocks before those."""

    seen: int = 0
    recent: list[int] = []
    older: tuple[int, int, int] = (0, 0, 0)
    open_labels: int = 0
    open_errors: int = 0


class ErrorMonitor:
    r"""Raises an alarm when the rate of ones went up for good.

    Use it for labelled errors and other 0/1 outcomes. For histograms of whole windows use :class:`Monitor`.

    Parameters
    ----------
    arl
        Average run length: labels between false alarms, at least, for independent labels.

    Notes ----- Alarm when, for any L, the signed root of the likelihood ratio of two binomial samples
    (older rate raised by the tolerated 0.002) exceeds the normal quantile at :math:`50 / (\mathrm{arl}
    \cdot \#L)`, a union bound over the looks. Where the older blocks vary more than binomial ones
    (chi-square at 1 %), the root is divided by the square root of their dispersion (McCullagh & Nelder
    1989, section 4.5). After an alarm the scan starts anew.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> monitor = ErrorMonitor()
    >>> monitor.update(rng.random(20_000) < 0.05)
    []
    >>> monitor.update(rng.random(20_000) < 0.10)
    [20749]
    """

    def __init__(self, *, arl: float = 1_000_000) -> None:
        if arl < BLOCK:
            raise ValueError(f"arl is {arl}: give the labels between false alarms, at least {BLOCK}")
        self._critical = float(-ndtri(BLOCK / (arl * len(SPANS))))
        self._state = _State()

    @property
    def seen(self) -> int:
        """Labels seen so far."""
        return self._state.seen

    def update(self, errors: ArrayLike) -> list[int]:
        """Take labels in order and return the positions of alarms, counted from 0 at the first label ever.

        Raises ``ValueError`` for anything but zeros and ones (booleans are fine). The same labels give the
        same alarms however they are cut into calls.
        """
        labels = np.asarray(errors)
        if labels.ndim != 1 or not bool(np.all((labels == 0) | (labels == 1))):
            raise ValueError("errors must be a one-dimensional array of zeros and ones")
        state = self._state
        running = np.concatenate(([0], np.cumsum(labels, dtype=np.int64)))
        ends = np.arange(BLOCK - state.open_labels, labels.size + 1, BLOCK)
        if not ends.size:
            state.open_errors += int(running[-1])
        else:
            sums = np.diff(running[ends], prepend=-state.open_errors)
            state.open_errors = int(running[-1] - running[ends[-1]])
        alarms = [state.seen + int(ends[block]) - 1 for block in self._scan_all(sums)] if ends.size else []
        state.open_labels = (state.open_labels + labels.size) % BLOCK
        state.seen += labels.size
        return alarms

    def _scan_all(self, sums: NDArray[np.int64]) -> list[int]:
        """Return the blocks with an alarm, starting anew after each."""
        alarms, start = [], 0
        while start < sums.size:
            found = self._first_alarm(sums[start:])
            if found is None:
                self._remember(sums[start:])
                break
            alarms.append(start + found)
            self._state.recent, self._state.older = [], (0, 0, 0)
            start += found + 1
        return alarms

    def _first_alarm(self, sums: NDArray[np.int64]) -> int | None:
        known = np.concatenate((np.array(self._state.recent, dtype=np.int64), sums))
        totals = _cumulated(known, self._state.older)
        ends = np.arange(len(self._state.recent), known.size)[:, None] + 1
        starts = ends - np.array(SPANS)
        # A span needs older blocks to be compared with, and block sums that are still remembered.
        usable = (starts >= 0) & (totals.blocks[np.maximum(starts, 0)] >= OLDER_BLOCKS)
        surprise = np.where(usable, _surprise(totals, np.maximum(starts, 0), ends), 0.0)
        over = np.flatnonzero(np.any(surprise > self._critical, axis=1))
        return int(over[0]) if over.size else None

    def _remember(self, sums: NDArray[np.int64]) -> None:
        known = [*self._state.recent, *sums.tolist()]
        kept = len(known) - SPANS[-1]
        if kept > 0:
            blocks, errors, squares = self._state.older
            gone = known[:kept]
            self._state.older = (blocks + kept, errors + sum(gone), squares + sum(s * s for s in gone))
        self._state.recent = known[max(kept, 0) :]

    def to_bytes(self) -> bytes:
        """Return the state, under 1 kB."""
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(self._state, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes, *, arl: float = 1_000_000) -> ErrorMonitor:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        monitor = cls(arl=arl)
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except msgspec.DecodeError as exc:
            raise CorruptBytes(f"DSER: {exc}") from exc
        if len(state.recent) > SPANS[-1] or not 0 <= state.open_errors <= state.open_labels < BLOCK:
            raise CorruptBytes("DSER: the state is impossible")
        if any(not 0 <= errors <= BLOCK for errors in state.recent):
            raise CorruptBytes("DSER: a block has more errors than labels")
        monitor._state = state
        return monitor


def _cumulated(sums: NDArray[np.int64], older: tuple[int, int, int]) -> _Totals:
    """Totals before each block and after the last, ``(blocks + 1,)``."""
    first = np.array(older, dtype=np.float64)
    columns = np.stack((np.ones_like(sums), sums, sums * sums)).astype(np.float64)
    totals = first[:, None] + np.concatenate((np.zeros((3, 1)), np.cumsum(columns, axis=1)), axis=1)
    return _Totals(totals[0], totals[1], totals[2])


def _surprise(totals: _Totals, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """How surprising the errors in ``[start, end)`` are after all older ones, ``(blocks, spans)``."""
    older, known = totals.blocks[starts] * BLOCK, totals.errors[starts]
    rows, hits = totals.blocks[ends] * BLOCK - older, totals.errors[ends] - known
    raised = np.minimum(known + TOLERATED * older, older)
    root = signed_root_binomial(hits, rows, raised, older)
    return root / np.sqrt(_dispersion(totals, starts))


def _dispersion(totals: _Totals, starts: NDArray[np.intp]) -> Floats:
    """Variance of the older block sums over the binomial one, where significantly above 1; else 1."""
    blocks, errors, squares = totals.blocks[starts], totals.errors[starts], totals.squares[starts]
    rate = errors / np.maximum(blocks * BLOCK, 1.0)
    binomial = BLOCK * rate * (1.0 - rate)
    scatter = squares - errors**2 / np.maximum(blocks, 1.0)
    enough = (blocks >= OLDER_BLOCKS) & (binomial > 0)
    statistic = np.divide(scatter, binomial, out=np.zeros_like(scatter), where=enough)
    freedom = np.maximum(blocks - 1.0, 1.0)
    excess = enough & (chi_square_tail(statistic, freedom) < DISPERSION_LEVEL)
    bound = statistic / np.asarray(
        chdtri(freedom, 0.75), dtype=np.float64
    )  # upper, as for the between-window variance
    return np.where(excess, np.maximum(bound, 1.0), 1.0)
