"""CPU seconds, clock and memory of a process, for what measures itself. Standard library only."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PROCESS_CPU = 2  # Linux: CPUCLOCK_SCHED, in the low bits of a clock id made from a process id


def cpu_seconds(pid: int) -> float:
    """Return user + system time of all threads of ``pid`` and of its living children, to the nanosecond."""
    try:
        spent = time.clock_gettime((~pid << 3) | _PROCESS_CPU)
    except OSError:  # a child that has just ended
        return 0.0
    return spent + sum(map(cpu_seconds, children(pid)))


def children(pid: int) -> list[int]:
    """Return the processes that threads of ``pid`` have started and that live."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, listed.read_text().split())
        except OSError:  # a thread that has just ended
            continue
    return found


def peak_rss_bytes(pid: int) -> int:
    """Return the largest resident set so far of ``pid``, and of its living children together."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 + sum(map(peak_rss_bytes, children(pid)))


@dataclass(frozen=True)
class Task:
    """What a peer is told: what to read, as whom, and where to leave its result and its state."""

    broker: str
    topic: str
    group: str
    events: int
    layout: str
    result: str
    directory: str
    way: str

    @classmethod
    def given(cls) -> Task:
        """Read the arguments of this process, in the order of the fields."""
        broker, topic, group, events, layout, result, directory, way = sys.argv[1:]
        return cls(broker, topic, group, int(events), layout, result, directory, way)


class Stopwatch:
    """Counts the events of a peer: the clock runs from the end of the warm-up to the last of ``events``.

    Call :meth:`event` after each. The warm-up, when the group is joined and the first records are there, is
    neither in the time nor in the events.
    """

    def __init__(self, events: int) -> None:
        self.seen = 0
        self._events = events
        self._warm = min(1_000, events // 10)
        self._start = (0.0, 0.0)
        self._spent: dict[str, float] = {}

    @property
    def done(self) -> bool:
        """Whether all events have been seen."""
        return self.seen >= self._events

    def event(self) -> None:
        """One more event was taken in."""
        self.seen += 1
        if self.seen == self._warm:
            self._start = cpu_seconds(os.getpid()), time.monotonic()
        elif self.seen == self._events:
            cpu_s, wall_s = cpu_seconds(os.getpid()), time.monotonic()
            self._spent = {"cpu_s": cpu_s - self._start[0], "wall_s": wall_s - self._start[1]}

    def write(self, path: str, windows: object) -> None:
        """Write what was used, and the counted windows."""
        usage = {
            "events": self._events - self._warm,
            **self._spent,
            "peak_rss_bytes": peak_rss_bytes(os.getpid()),
        }
        Path(path).write_text(json.dumps({"usage": usage, "windows": windows}))
