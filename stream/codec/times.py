"""Event times of a chunk: RFC 3339 or epoch ms, else the time of the Kafka record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_MS = 100_000_000_000
"""March 1973. Epoch *seconds* of today, sent by mistake, lie below it; times of old data sets above it."""
MAX_MS = 253_402_300_799_999
"""The end of the year 9999. Epoch microseconds of today lie above it."""
NO_TIME = -1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

RawTime = datetime | int | float | None


class EventTimes(NamedTuple):
    """Epoch ms of each event, :data:`NO_TIME` where not plausible, and how many took the record's time."""

    ms: NDArray[np.int64]
    fallbacks: int


def event_times(raw: Sequence[RawTime], rows: NDArray[np.intp], record_ms: Sequence[int]) -> EventTimes:
    """Return the event time of each of ``rows``: its own, else the record's. Fractions of a ms are cut."""
    fallbacks = 0
    try:
        ms = np.fromiter(raw, np.int64, len(raw))
    except (TypeError, OverflowError):  # not all of them are numbers of a plausible size
        fallbacks = sum(1 for time in raw if time is None)
        pairs = zip(raw, rows, strict=True)
        whole = [_whole_ms(record_ms[row] if time is None else time) for time, row in pairs]
        ms = np.fromiter(whole, np.int64, len(whole))
    ms[(ms < MIN_MS) | (ms > MAX_MS)] = NO_TIME
    return EventTimes(ms, fallbacks)


def _whole_ms(time: datetime | int | float) -> int:
    if isinstance(time, datetime):
        return (time - _EPOCH) // _MILLISECOND
    return int(time) if abs(time) <= MAX_MS else MAX_MS + 1
