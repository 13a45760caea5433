"""What a process used between two moments: CPU seconds with threads and children, wall clock, memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.peers.clocks import cpu_seconds, peak_rss_bytes


@dataclass(frozen=True)
class Usage:
    """Cost of ``events`` events. CPU seconds are user + system of every thread of the process."""

    events: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int

    @property
    def per_core(self) -> float:
        """Events a second of CPU time."""
        return self.events / self.cpu_s

    @property
    def per_second(self) -> float:
        """Events a second by the clock."""
        return self.events / self.wall_s


@dataclass(frozen=True)
class Moment:
    """Clocks of a process, read together."""

    cpu_s: float
    wall_s: float


def now(pid: int) -> Moment:
    """Read the clocks of process ``pid``."""
    return Moment(cpu_seconds(pid), time.monotonic())


def usage(pid: int, start: Moment, events: int) -> Usage:
    """Return what process ``pid`` has used since ``start``."""
    end = now(pid)
    return Usage(events, end.cpu_s - start.cpu_s, end.wall_s - start.wall_s, peak_rss_bytes(pid))
