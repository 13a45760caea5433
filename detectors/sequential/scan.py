"""The scan of our own detectors: after each block, the last L blocks against all older ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

SPANS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
STEP_BLOCKS = 512


class History(Protocol):
    """What a scan knows of the blocks since its last alarm. A block is a row of numbers, ``(blocks, k)``."""

    def first_alarm(self, blocks: Floats, /) -> int | None:
        """Return the first of these blocks after which the stream had changed, without remembering any."""
        ...

    def remember(self, blocks: Floats, /) -> None:
        """Add blocks that gave no alarm."""
        ...

    def forget(self) -> None:
        """Begin anew: nothing before this is compared with anything after it."""
        ...


def scan(blocks: Floats, history: History) -> list[int]:
    """Return the blocks with an alarm; the history begins anew after each.

    Blocks are taken in steps, so that an alarm costs no second look at everything after it.
    """
    alarms, start = [], 0
    while start < len(blocks):
        step = blocks[start : start + STEP_BLOCKS]
        found = history.first_alarm(step)
        if found is None:
            history.remember(step)
            start += len(step)
        else:
            alarms.append(start + found)
            history.forget()
            start += found + 1
    return alarms


@lru_cache(maxsize=64)
def critical_values(alarms_per_block: float) -> Floats:
    r"""Return the one-sided normal quantile for each span at which a steady stream alarms that often in all.

    Each span gets an equal part. Sums over L blocks that move on block by block hardly change from one look
    to the next, so looks are counted as Siegmund & Venkatraman (1995) do: the first crossings of a span are

    .. math:: \frac{z \varphi(z)}{L} \nu\left(z \sqrt{2/L}\right), \qquad
        \nu(x) \approx \frac{(2/x)(\Phi(x/2) - 1/2)}{(x/2)\Phi(x/2) + \varphi(x/2)}

    a block (the second from Siegmund & Yakir 2007). For L = 1 that is a normal's tail; for 256 it is a
    fifteenth of what a bound that takes looks as independent has. Spans overlap too: left to the safe side.

    >>> critical_values(50 / 1_000_000)[[0, 8, 15]].round(2).tolist()
    [4.53, 4.31, 3.83]
    """
    lengths = np.array(SPANS, dtype=np.float64)
    low, high = np.zeros(lengths.size), np.full(lengths.size, 40.0)
    for _ in range(60):
        middle = (low + high) / 2.0
        often = _crossings(middle, lengths) > alarms_per_block / lengths.size
        low, high = np.where(often, middle, low), np.where(often, high, middle)
    high.setflags(write=False)
    return high


def _crossings(z: Floats, lengths: Floats) -> Floats:
    """First crossings of ``z`` a block, by sums over so many blocks; falls with z from 1 on."""
    z = np.maximum(z, 1.0)
    half = z * np.sqrt(2.0 / lengths) / 2.0
    overshoot = (ndtr(half) - 0.5) / half / (half * ndtr(half) + _density(half))
    rate: Floats = z * _density(z) / lengths * overshoot
    return rate


def as_normal(t: Floats, freedom: Floats) -> Floats:
    """Turn Student's t into a normal with the same tail (Wallace 1959); good to 0.05 from 7 degrees on."""
    normal: Floats = (
        np.sqrt(freedom * np.log1p(t * t / freedom)) * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    )
    return np.copysign(normal, t)


def _density(z: Floats) -> Floats:
    density: Floats = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return density


def span_bounds(first: int, last: int, *, oldest: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each span starts and ends, for newest blocks ``first`` to ``last``, ``(blocks, spans)``.

    ``oldest`` is the least number of blocks before a span: where fewer are left, the start is -1.
    """
    ends = np.arange(first, last, dtype=np.intp)[:, None] + 1
    starts = ends - np.array(SPANS, dtype=np.intp)
    return np.where(starts >= oldest, starts, -1), ends
