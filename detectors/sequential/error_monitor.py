r"""ErrorMonitor: did a rate of errors go up? A two-sample scan over a stream of zeros and ones.

Concept drift that leaves the features as they are shows here only. Labels are taken in blocks; after each
block the last L blocks are compared with *all* older ones, for L from 1 to 256. Comparing with everything
older, where a CUSUM compares with a fixed start, is what makes small changes visible soon.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.errors import CorruptBytes
from detectors.framing import frame, unframe
from detectors.sequential.error_history import BLOCK, ErrorBlocks, ErrorHistory
from detectors.sequential.scan import critical_values, scan

_MAGIC = b"DSER"
_VERSION = 2


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """Everything a monitor knows."""

    blocks: ErrorBlocks
    seen: int = 0
    open_labels: int = 0
    open_errors: int = 0


class ErrorMonitor:
    r"""Raises an alarm when the rate of ones went up for good.

    Use it for labelled errors and other 0/1 outcomes, and :class:`ScalarMonitor` for other numbers. For
    histograms of whole windows use :class:`detectors.Monitor`.

    Parameters
    ----------
    arl
        Average run length: labels between false alarms, at least, for independent labels.

    Notes
    -----
    Alarm when, for any L, the signed root of the likelihood ratio of two binomial samples (older rate raised
    by the tolerated 0.002) exceeds the span's :func:`~detectors.sequential.scan.critical_values` at
    :math:`50 / \mathrm{arl}` alarms a block. No decision before 8 older blocks. Where these vary more than
    binomial ones (chi-square at 1 %), the root is divided by the square root of their dispersion (McCullagh &
    Nelder 1989, section 4.5) and read as Student's t. After an alarm the scan starts anew. The dispersion is
    learned: labels that follow each other closely give more alarms than ``arl`` says, most of them in the
    first 2000.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> monitor = ErrorMonitor()
    >>> monitor.update(rng.random(20_000) < 0.05)
    []
    >>> monitor.update(rng.random(20_000) < 0.10)
    [20699]
    """

    def __init__(self, *, arl: float = 1_000_000) -> None:
        if not arl >= BLOCK:
            raise ValueError(f"arl is {arl}: give the labels between false alarms, at least {BLOCK}")
        self._critical = critical_values(BLOCK / arl)
        self._load(_State(ErrorBlocks()))

    @property
    def seen(self) -> int:
        """Labels seen so far."""
        return self._state.seen

    def update(self, errors: ArrayLike, /) -> list[int]:
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
        alarms = []
        if ends.size:
            sums = np.diff(running[ends], prepend=-state.open_errors)
            alarms = [
                state.seen + int(ends[block]) - 1 for block in self._scan(sums, np.full_like(sums, BLOCK))
            ]
            state.open_errors = int(running[-1] - running[ends[-1]])
        else:
            state.open_errors += int(running[-1])
        state.open_labels = (state.open_labels + labels.size) % BLOCK
        state.seen += labels.size
        return alarms

    def update_counts(self, errors: ArrayLike, rows: ArrayLike) -> list[int]:
        """Take entries of several labels each, in order, and return which of *these* entries gave an alarm.

        Use it for windows that were counted already; one call may follow another, and :meth:`update`. A block
        is the fewest whole entries with 50 labels, so entries of exactly 50 labels give what :meth:`update`
        gives, and larger ones are looked at one by one: fewer looks, fewer false alarms than ``arl`` allows.

        Raises ``ValueError`` unless ``0 <= errors <= rows`` holds for whole numbers in arrays of one length.
        """
        hits, sizes = np.asarray(errors), np.asarray(rows)
        if hits.ndim != 1 or hits.shape != sizes.shape:
            raise ValueError(
                f"errors and rows have shapes {hits.shape} and {sizes.shape}: give one of each an entry"
            )
        if not bool(np.all((hits >= 0) & (hits <= sizes) & (hits % 1 == 0) & (sizes % 1 == 0))):
            raise ValueError("errors and rows must be whole numbers with 0 <= errors <= rows")
        state = self._state
        ends, block_errors, block_rows = [], list[int](), list[int]()
        for entry, (hit, size) in enumerate(zip(hits.tolist(), sizes.tolist(), strict=True)):
            state.open_errors += int(hit)
            state.open_labels += int(size)
            if state.open_labels >= BLOCK:
                ends.append(entry)
                block_errors.append(state.open_errors)
                block_rows.append(state.open_labels)
                state.open_errors = state.open_labels = 0
            state.seen += int(size)
        alarms = self._scan(np.array(block_errors, dtype=np.int64), np.array(block_rows, dtype=np.int64))
        return [ends[block] for block in alarms]

    def _scan(self, errors: NDArray[np.int64], rows: NDArray[np.int64]) -> list[int]:
        alarms = scan(np.stack((errors, rows), axis=1).astype(np.float64), self._history)
        self._state.blocks = self._history.blocks
        return alarms

    def _load(self, state: _State) -> None:
        self._state = state
        self._history = ErrorHistory(self._critical, state.blocks)

    def to_bytes(self) -> bytes:
        """Return the state: under 1 kB for single labels, under 3 kB for counts."""
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(self._state, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes, *, arl: float = 1_000_000) -> ErrorMonitor:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        monitor = cls(arl=arl)
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSER: {exc}") from exc
        if not 0 <= state.open_errors <= state.open_labels < BLOCK or state.seen < 0:
            raise CorruptBytes("DSER: the state is impossible")
        state.blocks.check()
        monitor._load(state)
        return monitor
