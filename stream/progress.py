"""Liveness that means turning loops, and readiness that means progress: what waits is counted and looked at.

What a client tells without asking comes from its own fetches, so one that does not fetch believes that it has
read everything. The broker is asked, then, but only while nothing comes: an answer may take as long as the
fetch that the broker holds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.ownership import OwnedPartition

QUIET_MS: Final = 5_000
ASKED_AT_ONCE: Final = 4
ANSWER_S: Final = 2.0
LOOK_S: Final = 30.0
STALE_S: Final = 60.0


@dataclass
class RecordProgress:
    """Whether an ingest that counts nothing has nothing to count.

    ``reason`` is None while all is well. Written by the ingest thread, read by others.
    """

    consumer: Consumer
    reason: str | None = None
    _turn: int = 0
    _waiting: dict[tuple[str, int], int] = field(default_factory=dict)

    def look(self, partitions: Sequence[OwnedPartition], now_ms: int) -> None:
        """Ask for the ends of some partitions where no records have come for :data:`QUIET_MS`."""
        if any(now_ms - owned.quiet_since_ms < QUIET_MS for owned in partitions):
            self.reason = None
            self._waiting.clear()
            return
        for _ in range(min(ASKED_AT_ONCE, len(partitions))):
            self._turn += 1
            if not self._ask(partitions[self._turn % len(partitions)]):
                return
        self.reason = None

    def _ask(self, owned: OwnedPartition) -> bool:
        """Whether the partition has nothing to count; seen waiting twice at one position, it is stuck."""
        at = TopicPartition(owned.topic, owned.partition)
        try:
            _, end = self.consumer.get_watermark_offsets(at, timeout=ANSWER_S)
        except (KafkaException, TypeError) as exc:  # no answer is None
            self.reason = f"Kafka does not answer: {exc}"
            return False
        key, behind = (owned.topic, owned.partition), end - max(owned.position, owned.end or 0)
        before = self._waiting.get(key)
        if behind <= 0:
            self._waiting.pop(key, None)
            return True
        self._waiting[key] = owned.position
        if before != owned.position:
            self._turn -= 1  # look again at this one
            return True
        self.reason = f"{behind} records of {owned.topic}[{owned.partition}] wait, none is counted"
        return False


@dataclass
class Health:
    """When each loop last turned, and what broke."""

    beats: dict[str, float] = field(default_factory=dict)
    failure: BaseException | None = None

    def beat(self, loop: str) -> None:
        """The loop is alive."""
        self.beats[loop] = time.monotonic()

    def livez(self) -> tuple[bool, str]:
        """Whether every loop turned lately; never whether Kafka or Redis answer: a restart would not help."""
        now = time.monotonic()
        late = [name for name, at in self.beats.items() if now - at > STALE_S]
        return not late, f"loops without a beat for {STALE_S:.0f} s: {', '.join(late)}" if late else "ok"


@dataclass
class LookProgress:
    """When the evaluation last looked at its models without an error."""

    looked: float | None = None

    def done(self) -> None:
        """It looked, or looks at this moment."""
        self.looked = time.monotonic()

    def readiness(self) -> tuple[bool, str]:
        """Whether windows that close are evaluated."""
        if self.looked is None:
            return False, "the evaluation has not joined its group yet"
        since_s = time.monotonic() - self.looked
        if since_s > LOOK_S:
            return False, f"the evaluation has not looked at its models for {since_s:.0f} s: see the log"
        return True, "ok"
