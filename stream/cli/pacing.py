"""When the rows of ``driftstream emit`` happened, and when they are sent."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Self

import numpy as np

from stream.codec.times import MIN_MS
from stream.errors import ConfigError
from stream.row_events import Record, RowTimes, Source, column_times, paced_times, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.cli.delivery import Delivery
    from stream.rows import Table

_HOUR_MS = 3_600_000
_YEAR_MS = 365 * 24 * _HOUR_MS
_OLD_MS = 24 * _HOUR_MS
_SKEW_MS = 300_000
_TICK_S = 0.02  # rows that fall due within one tick are sent together
_UNPACED_ROWS = 5_000  # rows between two looks at the producer when nothing paces them


class Pace:
    """How many rows the wall clock allows by now: 1 + elapsed seconds times ``rows_per_second``.

    ``rows_per_second=None`` allows as many as there are, a slice at a time.
    """

    def __init__(self, rows_per_second: float | None, clock: Callable[[], float]) -> None:
        self._rows_per_second = rows_per_second
        self._clock = clock
        self._began = clock()

    def allowed(self, sent: int) -> int:
        """Rows that may have been sent by now, given that ``sent`` have been."""
        if self._rows_per_second is None:
            return sent + _UNPACED_ROWS
        return 1 + int((self._clock() - self._began) * self._rows_per_second)


class Interrupts:
    """Counts Ctrl-C while entered, in place of the exception.

    A KeyboardInterrupt raised while confluent-kafka polls is lost on the way and comes out as a SystemError.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._add)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _add(self, *_: object) -> None:
        self.count += 1


def send(
    ordered: Iterator[tuple[Source, Record]],
    delivery: Delivery,
    pace: Pace,
    advance: Callable[[int], None],
    interrupts: Interrupts,
) -> None:
    """Send as the pace allows and wait for every acknowledgement.

    Ctrl-C ends the sending and waits for what is under way; a second one does not wait.
    """
    sent = allowed = 0
    for source, record in ordered:
        while source == "inference" and sent >= allowed and not interrupts.count:
            allowed = pace.allowed(sent)
            delivery.poll(0 if sent < allowed else _TICK_S)
            advance(sent)
        if interrupts.count:
            break
        delivery.send(source, record)
        sent += source == "inference"
    delivery.summary.interrupted = interrupts.count > 0
    delivery.finish(lambda: interrupts.count > 1)


def rows_per_second(rate: float, speedup: str) -> float | None:
    """Return the rows per second of the wall clock; None when nothing paces them."""
    if not 0 < rate < math.inf:
        raise ConfigError(f"--rate {rate} must be a number above 0: rows per second")
    if speedup == "max":
        return None
    try:
        factor = float(speedup)
    except ValueError:
        factor = -1.0
    if not 0 <= factor < math.inf:
        raise ConfigError(f"--speedup {speedup!r} must be a number from 0 up, or 'max' (as 0: no pacing)")
    return rate * factor or None


def event_times(
    table: Table, rate: float, *, timestamp: str | None, start: str | None, now_ms: int
) -> RowTimes:
    """Return the column's times; without one, 1/rate s a row from ``start``.

    By default the start is the last whole hour that leaves no row in the future: event time runs faster than
    the wall clock under a speedup, and workers quarantine events from the future.

    Raises
    ------
    ConfigError
        If both a column and a start are given, either is no time, or the rows span centuries.
    """
    if timestamp is not None:
        if start is not None:
            raise ConfigError(
                "--start and --timestamp both say when the first row happened: give one of them"
            )
        return column_times(table, timestamp)
    span_ms = (len(table) - 1) * 1000 / rate
    if span_ms > now_ms - MIN_MS:
        raise ConfigError(
            f"--rate {rate} spreads {len(table)} rows over {span_ms / _YEAR_MS:.0f} years: raise it"
        )
    if start is not None:
        return paced_times(len(table), rate, parse_time(start, "--start"))
    return paced_times(len(table), rate, (now_ms - math.ceil(span_ms)) // _HOUR_MS * _HOUR_MS)


def is_old(times: RowTimes, now_ms: int) -> bool:
    """Whether a topic with a short retention would delete the events as they come, were they stamped so."""
    return int(times.ms.min()) < now_ms - _OLD_MS


def time_notes(times: RowTimes, now_ms: int) -> Iterator[str]:
    """Say what the event times will mean to Kafka and to workers, a line each."""
    ahead = int(np.count_nonzero(times.ms > now_ms + _SKEW_MS))
    if ahead:
        yield f"{ahead} events lie in the future, where workers quarantine them: give an earlier --start"
    if is_old(times, now_ms):
        yield "events are over a day old: records carry the time of sending, so that retention keeps them"
