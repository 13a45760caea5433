"""Readiness that means progress: records that wait are counted, windows that close are looked at.

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
