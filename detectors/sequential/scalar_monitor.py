r"""ScalarMonitor: did the mean of a stream of numbers change? A two-sample scan that learns its own noise.

The same scan as :class:`detectors.ErrorMonitor`, for real values and in both directions. How much a mean
varies is learned from the means of older blocks, short and long, so that values which follow each other
closely (a queue's latency, a score by customer) widen the margin instead of raising alarms.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.errors import CorruptBytes
from detectors.framing import frame, unframe
from detectors.sequential.scan import Floats, critical_values, scan
from detectors.sequential.value_history import BLOCK, ValueBlocks, ValueHistory

_MAGIC = b"DSSM"
_VERSION = 1
LARGEST = 1e100


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """Everything a monitor knows; ``open`` are the values of the block that is not full yet."""

    blocks: ValueBlocks
    seen: int = 0
    open: list[float] = []


class ScalarMonitor:
    r"""Raises an alarm when the mean of a stream went up or down for good.

    Use it for scores, latencies, amounts, errors of a regression; for zeros and ones
    :class:`detectors.ErrorMonitor` sees a rise sooner. A stream with a cycle of a day has a mean that moves:
    use :class:`detectors.Monitor` with a reference of several days.

    Parameters
    ----------
    arl
        Average run length: values between false alarms, at least, for values whose correlation dies out
        within some hundred.
    min_effect
        Tolerated change of the mean, in standard deviations of values around their block's mean.

    Notes
    -----
    After each block of 32 values, for L from 1 to 256, with :math:`n = 32 L` newest and m older values, alarm
    when

    .. math:: \frac{|\bar x_L - \bar x_{old}| - \epsilon s}{\sqrt{\max(v, v_L)/n + v/m}},

    read as Student's t, exceeds the span's :func:`~detectors.sequential.scan.critical_values` at
    :math:`16 / \mathrm{arl}` alarms a block and direction. v is the long-run variance by batch means over 1
    to 32 older blocks (Conway 1963), v_L the variance inside the newest blocks times the same inflation,
    against single wild values. No decision before 8 older blocks; after an alarm the scan starts anew.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> monitor = ScalarMonitor()
    >>> monitor.update(rng.normal(size=20_000))
    []
    >>> monitor.update(rng.normal(size=2_000) - 0.5)
    [20095]
    """

    def __init__(self, *, arl: float = 100_000, min_effect: float = 0.01) -> None:
        if not arl >= BLOCK:
            raise ValueError(f"arl is {arl}: give the values between false alarms, at least {BLOCK}")
        if not min_effect >= 0.0:
            raise ValueError(f"min_effect is {min_effect}: give standard deviations, 0 or more")
        self._critical = critical_values(BLOCK / arl / 2.0)
        self._min_effect = min_effect
        self._load(_State(ValueBlocks()))

    @property
    def seen(self) -> int:
        """Values seen so far."""
        return self._state.seen

    def update(self, values: ArrayLike, /) -> list[int]:
        """Take values in order and return the positions of alarms, counted from 0 at the first value ever.

        Raises ``ValueError`` for values that are missing, infinite or beyond 1e100: leave them out and count
        them elsewhere. The same values give the same alarms however they are cut into calls.
        """
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim != 1 or not bool(np.all(np.abs(numbers) <= LARGEST)):
            raise ValueError("values must be a one-dimensional array of finite numbers up to 1e100")
        state = self._state
        before = state.seen - len(state.open)
        waiting = np.concatenate((np.array(state.open), numbers))
        whole = waiting.size // BLOCK
        alarms = scan(_blocks(waiting[: whole * BLOCK]), self._history)
        state.blocks = self._history.blocks
        state.open = waiting[whole * BLOCK :].tolist()
        state.seen += numbers.size
        return [before + (block + 1) * BLOCK - 1 for block in alarms]

    def _load(self, state: _State) -> None:
        self._state = state
        self._history = ValueHistory(self._critical, self._min_effect, state.blocks)

    def to_bytes(self) -> bytes:
        """Return the state, under 6 kB."""
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(self._state, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes, *, arl: float = 100_000, min_effect: float = 0.01) -> ScalarMonitor:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        monitor = cls(arl=arl, min_effect=min_effect)
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSSM: {exc}") from exc
        if len(state.open) >= BLOCK or state.seen < len(state.open) or not np.all(np.isfinite(state.open)):
            raise CorruptBytes("DSSM: the state is impossible")
        state.blocks.check()
        monitor._load(state)
        return monitor


def _blocks(values: NDArray[np.float64]) -> Floats:
    """Mean and squared deviations of each block, added one by one: the same in any number of blocks."""
    rows = values.reshape(-1, BLOCK)
    means = np.cumsum(rows, axis=1)[:, -1] / BLOCK
    deviations = np.cumsum((rows - means[:, None]) ** 2, axis=1)[:, -1]
    return np.stack((means, deviations), axis=1)
