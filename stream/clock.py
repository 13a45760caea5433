"""The clocks that the shell reads. The core never reads one: it is told the time."""

from __future__ import annotations

import time
from typing import Protocol


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
        return time.monotonic_ns() // 1_000_000


WALL_CLOCK = WallClock()
