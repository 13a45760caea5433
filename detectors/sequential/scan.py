"""The scan of our own detectors: after each block, the last L blocks against all older ones."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


def span_bounds(first: int, last: int, *, oldest: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each span starts and ends, for newest blocks ``first`` to ``last``, ``(blocks, spans)``.

    ``oldest`` is the least number of blocks before a span: where fewer are left, the start is -1.
    """
    ends = np.arange(first, last, dtype=np.intp)[:, None] + 1
    starts = ends - np.array(SPANS, dtype=np.intp)
    return np.where(starts >= oldest, starts, -1), ends
