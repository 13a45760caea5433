"""The clocks that the shell reads. The core never reads one: it is told the time."""

from __future__ import annotations

import time
from typing import Protocol


def monotonic_ms() -> int:
    """The clock of timers."""
    return time.monotonic_ns() // 1_000_000


def thread_ms() -> int:
    """CPU time of this thread."""
    return time.thread_time_ns() // 1_000_000


class Clock(Protocol):
    """A wall clock and a monotonic one, both in ms."""

    def now_ms(self) -> int:
        """Epoch ms."""

    def monotonic_ms(self) -> int:
        """Ms since an arbitrary moment; never goes back."""


class WallClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        """See :class:`Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """See :class:`Clock`."""
        return monotonic_ms()


WALL_CLOCK = WallClock()
