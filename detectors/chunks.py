"""Cutting a reference into chunks like live slices: by rows, or by time where it has timestamps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WANTED_CHUNKS = 20
SMALLEST_CHUNK = 20
_SECOND, _MINUTE, _HOUR = 1000, 60_000, 3_600_000
USUAL_MS = tuple(
    unit * number
    for unit, numbers in (
        (_SECOND, (1, 2, 5, 10, 15, 20, 30)),
        (_MINUTE, (1, 2, 5, 10, 15, 20, 30)),
        (_HOUR, (1, 2, 3, 4, 6, 8, 12, 24)),
    )
    for number in numbers
)
SNAP = 0.15
GAP = 10  # times the median: no window takes that long, the reference has a hole there


class Chunks(NamedTuple):
    """The chunk of each row (rest rows left out), and the event time that stands for each chunk."""

    of_row: NDArray[np.intp]
    times_ms: NDArray[np.int64] | None

    @property
    def number(self) -> int:
        """Number of chunks."""
        return int(self.of_row.max(initial=-1)) + 1

    def rows(self, first: int, stop: int) -> slice:
        """Return the rows of some chunks in a row."""
        return slice(*np.searchsorted(self.of_row, [first, stop]).tolist())


def chunk_rows(rows: int, window_rows: int) -> int:
    """Return the rows of a chunk: a window's, or fewer where the reference would give less than 20 chunks.

    Shorter chunks vary more than windows, so what is learned from them is on the safe side.
    """
    return min(window_rows, max(rows // WANTED_CHUNKS, SMALLEST_CHUNK))


def cut_rows(rows: int, size: int) -> NDArray[np.intp]:
    """Return the chunk of each row; rest rows at the end belong to none and are left out."""
    return np.arange(rows // size * size) // size


def cut_time(times_ms: NDArray[np.int64], size: int) -> tuple[NDArray[np.intp], int] | None:
    """Return the chunk of each row and the chunks' duration; ``None`` where time does not move.

    The duration is the one that ``size`` rows usually take, a round one where that is within 15 %; chunks
    are aligned to the epoch like live windows. So a quiet night makes small chunks, as it makes small
    windows.
    """
    spans = np.diff(times_ms[::size])
    median = float(np.median(spans)) if spans.size > 1 else 0.0
    if median < 1.0:
        return None
    usual = float(spans[spans <= GAP * median].mean())
    nearest = min(USUAL_MS, key=lambda candidate: abs(candidate - usual))
    duration = nearest if abs(nearest - usual) <= SNAP * usual else round(usual)
    return np.unique(times_ms // duration, return_inverse=True)[1].reshape(-1), duration


def chunk_times(times_ms: NDArray[np.int64], chunk: NDArray[np.intp], duration_ms: int) -> NDArray[np.int64]:
    """Return the time that stands for each chunk: half its duration, at most half an hour, after its start.

    So chunks that begin a moment before the full hour belong to the hour that they cover.
    """
    starts = times_ms[np.searchsorted(chunk, np.arange(int(chunk[-1]) + 1))] // duration_ms * duration_ms
    return starts + min(duration_ms, _HOUR) // 2
