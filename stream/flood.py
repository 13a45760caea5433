"""When so much of a topic is rejected that it is no pill but a change of schema: a circuit breaker. Pure.

Closed, records flow. A flood opens it: the intake of the topic pauses, and what is not read yet waits in
Kafka for whoever mends the producer or the configuration. Every ``probe_every_ms`` a few records are let
through (half open): the share of bad ones among them closes the breaker or opens it again. Nothing is lost
either way: offsets commit only behind what is counted or dead-lettered.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

_SLICES = 12


@dataclass(frozen=True, kw_only=True)
class FloodPolicy:
    """When rejected records are a flood, and what then; times in ms.

    More than ``share`` of the records of ``within_ms``, and at least ``records`` of them, rejected.
    ``pauses`` False lets a flood drain into the dead-letter topic.
    """

    share: float = 0.5
    records: int = 1_000
    within_ms: int = 60_000
    probe_every_ms: int = 30_000
    probe_records: int = 500
    pauses: bool = True


@dataclass
class _Slice:
    start_ms: int
    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class FloodGate:
    """The breaker of one topic; a clock of its own is never read, ``now_ms`` is monotonic.

    Attributes
    ----------
    flooding
        From the moment a flood is noticed until a probe, or the last minute of a drain, is fine.
    paused
        Whether no record may flow now.
    judged
        Records, and rejected ones by reason, of which it was last said whether they are a flood.
    """

    def __init__(self, policy: FloodPolicy) -> None:
        self._policy = policy
        self._slices: deque[_Slice] = deque()
        self._turns_ms = 0
        self.flooding = False
        self.paused = False
        self.judged: tuple[int, Counter[str]] = (0, Counter())

    @property
    def records(self) -> int:
        """Records of the last ``within_ms``, or of the probe."""
        return sum(each.records for each in self._slices)

    @property
    def rejected(self) -> Counter[str]:
        """Those of :attr:`records` that were rejected, by reason."""
        total: Counter[str] = Counter()
        for each in self._slices:
            total.update(each.rejected)
        return total

    @property
    def probing(self) -> bool:
        """Whether only a few records should flow."""
        return self.flooding and self._policy.pauses and not self.paused

    def saw(self, now_ms: int, records: int, rejected: Mapping[str, int]) -> None:
        """Count a batch: how many records, and how many were rejected by reason."""
        if self.paused:  # was on its way when the gate closed
            return
        if not self._slices or now_ms - self._slices[-1].start_ms >= self._policy.within_ms // _SLICES:
            self._slices.append(_Slice(now_ms))
        self._slices[-1].records += records
        self._slices[-1].rejected.update(rejected)
        self.look(now_ms)

    def look(self, now_ms: int) -> None:
        """Let time pass: old records are forgotten, a pause ends, a probe is judged."""
        if self.paused:
            if now_ms >= self._turns_ms:
                self.paused = False
                self._slices.clear()
                self._turns_ms = now_ms + self._policy.within_ms
            return
        while self._slices and now_ms - self._slices[0].start_ms >= self._policy.within_ms:
            self._slices.popleft()
        if self.probing and self.records < self._policy.probe_records and now_ms < self._turns_ms:
            return
        self.judged = records, rejected = self.records, self.rejected
        bad = rejected.total()
        mostly = bad > self._policy.share * records
        if not self.flooding:
            mostly &= bad >= self._policy.records
        self.flooding = mostly
        if mostly and self._policy.pauses:
            self.paused = True
            self._turns_ms = now_ms + self._policy.probe_every_ms
