"""The global watermark: no earlier event is expected from any partition.

Each partition's owner stores its own watermark (max event time minus the allowed out-of-orderness) and,
while it is caught up and quiet, an idle beat that grows with every heartbeat. The global watermark is the
minimum over the partitions that are not idle; an unowned or lagging partition is not idle, so it holds
windows back and never splits them.

No two hosts' clocks are compared: a beat that no longer grows is an owner that no longer lives, and a
window that closes past an idle partition first waits until that partition has said *again* that it is
idle, after the others had gone by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream.gaps import Gap

BEATS_TO_SETTLE = 2  # one beat may have been under way when the others went by


@dataclass(frozen=True)
class PartitionClock:
    """What a partition's owner last stored: watermark (None = no event yet), idle beat (0 = active), gaps."""

    watermark_ms: int | None
    idle_beat: int = 0
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class GlobalWatermark:
    """``ms`` closes windows (None = nothing yet); ``data_ms`` is the part of it that events alone carried."""

    ms: int | None
    data_ms: int | None

    @property
    def is_by_quiet(self) -> bool:
        """Whether it has gone on by the wall clock, since every partition is idle."""
        return self.ms is not None and (self.data_ms is None or self.ms > self.data_ms)


def slower(one: GlobalWatermark, other: GlobalWatermark) -> GlobalWatermark:
    """How far two sources have come together: labels can be ahead of the predictions that they are about."""

    def least(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else min(a, b)

    return GlobalWatermark(least(one.ms, other.ms), least(one.data_ms, other.data_ms))


def max_known(watermarks_ms: Iterable[int | None]) -> int | None:
    """The greatest of the watermarks that are known; None where none is."""
    return max((ms for ms in watermarks_ms if ms is not None), default=None)


@dataclass
class _Seen:
    beat: int
    since_ms: int


@dataclass(frozen=True)
class _Candidate:
    watermark_ms: int
    beats: Mapping[int, int]


class WatermarkTracker:
    """Global watermark of one topic from its partitions' clocks; it never goes back.

    Parameters
    ----------
    lease_ms
        An idle beat that has not grown for this long (by the caller's monotonic clock) is stale.
    """

    def __init__(self, *, lease_ms: int = 5_000) -> None:
        self.lease_ms = lease_ms
        self._seen: dict[int, _Seen] = {}
        self._pending: list[_Candidate] = []
        self._ms: int | None = None
        self._flushed_ms: int | None = None
        self._stored: dict[int, int] = {}

    def went_back(self, clocks: Mapping[int, PartitionClock]) -> bool:
        """Whether a partition's stored watermark is older than it was: the store has lost commits.

        What is known then describes a past that will be counted again: start a new tracker.
        """
        ms = {p: clocks[p].watermark_ms if p in clocks else None for p in self._stored}
        return any(now is None or now < self._stored[p] for p, now in ms.items())

    def observe(
        self, clocks: Mapping[int, PartitionClock], *, monotonic_ms: int, now_ms: int
    ) -> GlobalWatermark:
        """Take in the clocks of **all** partitions of the topic.

        ``monotonic_ms`` measures how long a beat stood still. ``now_ms`` (wall clock) closes windows while
        every partition is idle: one whose end and grace have passed on the wall too gets no more events. That
        is not remembered, so a stream that resumes with older event times is not late by it.
        """
        self._stored = {p: c.watermark_ms for p, c in clocks.items() if c.watermark_ms is not None}
        idle = {p: c.idle_beat for p, c in clocks.items() if self._is_idle(p, c, monotonic_ms)}
        active = [c.watermark_ms for p, c in clocks.items() if p not in idle]
        known = [ms for ms in active if ms is not None]
        if not clocks or len(known) < len(active):
            return GlobalWatermark(self._ms, self._ms)
        if not idle:
            self._pending.clear()
            self._flushed_ms = None
            self._advance(min(known))
            return GlobalWatermark(self._ms, self._ms)
        settled = self._settle(min(known, default=now_ms), idle)
        if known:
            self._flushed_ms = None
            if settled is not None:
                self._advance(settled)
            return GlobalWatermark(self._ms, self._ms)
        self._flushed_ms = settled if settled is not None else self._flushed_ms
        return GlobalWatermark(max_known((self._ms, self._flushed_ms)), self._ms)

    def _is_idle(self, partition: int, clock: PartitionClock, monotonic_ms: int) -> bool:
        if clock.idle_beat == 0:
            self._seen.pop(partition, None)
            return False
        seen = self._seen.get(partition)
        if seen is None or seen.beat != clock.idle_beat:
            self._seen[partition] = _Seen(clock.idle_beat, monotonic_ms)
            return True
        return monotonic_ms - seen.since_ms < self.lease_ms

    def _settle(self, candidate_ms: int, idle: Mapping[int, int]) -> int | None:
        """Largest candidate that every idle partition has outlasted by two beats; None = none yet."""
        settled: int | None = None
        waiting: list[_Candidate] = []
        for candidate in self._pending:
            if any(idle.get(p, 0) < beat for p, beat in candidate.beats.items()):
                continue  # one of them is, or was, active again: its own watermark counts from now on
            if any(idle[p] < beat + BEATS_TO_SETTLE for p, beat in candidate.beats.items()):
                waiting.append(candidate)
                continue
            settled = candidate.watermark_ms
        if not waiting or candidate_ms > waiting[-1].watermark_ms:
            waiting.append(_Candidate(candidate_ms, dict(idle)))
        self._pending = waiting
        return settled

    def _advance(self, ms: int) -> None:
        self._ms = ms if self._ms is None else max(self._ms, ms)
