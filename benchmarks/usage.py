"""What a process used between two moments: CPU seconds of all its threads, wall clock, memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROCESS_CPU = 2  # Linux: CPUCLOCK_SCHED, in the low bits of a clock id made from a process id


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
    return Moment(_cpu_seconds(pid), time.monotonic())


def usage(pid: int, start: Moment, events: int) -> Usage:
    """Return what process ``pid`` has used since ``start``."""
    end = now(pid)
    return Usage(events, end.cpu_s - start.cpu_s, end.wall_s - start.wall_s, _peak_rss_bytes(pid))


def _cpu_seconds(pid: int) -> float:
    """To the nanosecond where the kernel tells (Linux), else in ticks of 10 ms."""
    try:
        return time.clock_gettime((~pid << 3) | _PROCESS_CPU)
    except (AttributeError, OSError):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def _peak_rss_bytes(pid: int) -> int:
    """The largest resident set so far where the kernel keeps it (Linux), else the present one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024
