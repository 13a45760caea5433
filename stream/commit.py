"""Committing: what the owned partitions have counted goes to Redis, each partition in one script."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from stream.closes import Closes
from stream.counting import Delta
from stream.crash_points import reached
from stream.dead_letter_queue import DeadLetterQueue
from stream.errors import Fenced, OffsetMismatch
from stream.keys import PaneKey
from stream.messages import Message, notice_messages, notices
from stream.metrics import Metrics
from stream.outcomes.join_rows import merged
from stream.outcomes.sending import OutcomeJoin
from stream.ownership import OwnedPartition
from stream.sinks import Sink
from stream.store import PartitionCommit, PartitionStore
from stream.windows import WindowSpec

log = logging.getLogger(__name__)
CLOSE_TIMEOUT_S = 10.0
CLOSING_FLUSH_MS = 50


class Committer:
    """Commits partitions and publishes what the commits left in their outboxes.

    Parameters
    ----------
    panes_topic, panes_partitions
        Where the evaluators listen; a model's notices go to its home partition.
    windows
        By model: tells which panes may belong to windows that are closed already.
    join
        Where predictions and labels go; None where no model's outcomes are joined.
    """

    def __init__(
        self,
        *,
        store: PartitionStore,
        sink: Sink,
        metrics: Metrics,
        windows: Mapping[str, WindowSpec],
        panes_topic: str,
        panes_partitions: int,
        join: OutcomeJoin | None = None,
    ) -> None:
        self._store = store
        self._join = join
        self._sink = sink
        self._metrics = metrics
        self._windows = windows
        self._closes = Closes(windows.values())
        self._soonest_ms = min((spec.pane_closes_at(0) for spec in windows.values()), default=0)
        self._is_closing = False
        self._panes_topic = panes_topic
        self._panes_partitions = panes_partitions
        self._dead = DeadLetterQueue(sink)

    def dead(self, letters: Iterable[Message]) -> None:
        """Send dead letters on their way; the next commit waits for all of them first."""
        self._dead.send(letters)

    def take(self, owned: OwnedPartition, delta: Delta, *, out_of_orderness_ms: int) -> None:
        """Add what a batch counted to what the partition has not committed yet, and move its watermark."""
        intake = owned.intake
        if delta.panes is intake.panes:  # counted in place
            intake.dirty |= delta.touched
        else:
            for key in delta.touched:
                intake.add(key, delta.panes[key])
        intake.totals.update(delta.totals)
        intake.unknown.update(delta.unknown)
        intake.outcomes.add(delta.outcomes)
        self._metrics.unknown_model(owned.topic, delta.totals["unknown"])
        self._metrics.late(owned.topic, delta.totals["late"])
        self._metrics.apart(owned.topic, delta.totals)
        if delta.max_ts_ms is not None:
            before_ms = intake.watermark_ms
            intake.advance(delta.max_ts_ms - out_of_orderness_ms)
            self._is_closing |= self._closes.between(before_ms, intake.watermark_ms)
            self._is_closing |= self._closes.are_near(intake.watermark_ms)

    def flush_by(self, next_ms: int, last_ms: int) -> int:
        """When to commit: at ``next_ms``, or soon after the last commit where windows close by this one.

        Soon, too, while a close is near: what is left to commit at the close is little then, and nobody waits
        for a commit of thousands of panes that has just begun.
        """
        return min(next_ms, last_ms + CLOSING_FLUSH_MS) if self.is_closing else next_ms

    @property
    def is_closing(self) -> bool:
        """Whether windows close, or are about to, by what was counted since the last commit."""
        return self._is_closing

    def commit(self, partitions: Iterable[OwnedPartition]) -> list[tuple[OwnedPartition, Exception]]:
        """Commit every partition that has something to say; those refused, with Fenced or OffsetMismatch.

        The numbers are those of :mod:`stream.ingest`.

        Raises
        ------
        DependencyError
            Kafka does not take the dead letters. Nothing was committed.
        redis.RedisError
            Redis does not answer. Whether it committed is found out by committing the same again; what it
            joined already changes nothing then.
        """
        self._is_closing = False
        by_topic: dict[str, list[OwnedPartition]] = defaultdict(list)
        for owned in partitions:
            by_topic[owned.topic].append(owned)
        # 1. dead letters
        if len(self._dead):
            reached("dead_letters.before")
            self._dead.confirm()
            reached("dead_letters.after")
        # 2. predictions and labels
        if self._join is not None:
            reached("join.before")
            self._join.join(merged(owned.intake.outcomes for each in by_topic.values() for owned in each))
            reached("join.after")
        refused: list[tuple[OwnedPartition, Exception]] = []
        for topic, members in by_topic.items():
            refused += self._commit_topic(topic, members)
        return refused

    def _commit_topic(
        self, topic: str, members: Sequence[OwnedPartition]
    ) -> list[tuple[OwnedPartition, Exception]]:
        started = time.perf_counter()
        now_ms = time.time_ns() // 1_000_000
        for owned in members:
            missing = owned.intake.missing()
            owned.restore(missing, self._store.load_panes(topic, owned.partition, missing), self._windows)
        commits = {owned.partition: owned.to_commit(self._notices(owned)) for owned in members}
        # 3. counts with offsets
        reached("counts.before")
        outcomes = self._store.commit(topic, commits)
        reached("counts.after")
        seconds = time.perf_counter() - started
        refused: list[tuple[OwnedPartition, Exception]] = []
        for owned in members:
            outcome = outcomes[owned.partition]
            self._metrics.commit(topic, _result(outcome), seconds=seconds, now_ms=now_ms)
            if outcome is not None:
                refused.append((owned, outcome))
                continue
            # 4. publish
            reached("notices.before")
            self._landed(owned, commits[owned.partition])
            reached("notices.after")
        active = [each for each in members if outcomes[each.partition] is None and each.wants_passed]
        passed_ms = self._store.passed_ms(topic) if active else None
        for owned in active:
            owned.knows_passed(passed_ms)
        return refused

    def _landed(self, owned: OwnedPartition, commit: PartitionCommit) -> None:
        owned.landed(commit)
        if commit.totals.get("lost"):
            self._metrics.lost(owned.topic, commit.totals["lost"])
            self._metrics.alert("data_loss", "firing")

    def _notices(self, owned: OwnedPartition) -> list[Message]:
        keys = owned.intake.announce(self._closes_at, soonest_ms=self._soonest_ms, passed_ms=owned.passed_ms)
        told = notices(owned.topic, owned.partition, keys, joined=owned.intake.outcomes.labelled)
        return notice_messages(told, topic=self._panes_topic, partitions=self._panes_partitions)

    def _closes_at(self, key: PaneKey) -> int:
        """When the first window of a pane closes."""
        return self._windows[key.model].pane_closes_at(key.start_ms)

    def publish_again(self, partitions: Iterable[OwnedPartition]) -> int:
        """Serve delivery reports and repeat what was refused; how many messages are not acknowledged yet."""
        self._sink.poll()
        waiting = 0
        for owned in partitions:
            owned.drain.retry()
            waiting += len(owned.drain)
        self._metrics.outbox("partitions", waiting)
        return waiting

    def close(self) -> None:
        """Wait for the messages under way; what is not acknowledged stays in its outbox."""
        left = self._sink.close(timeout_s=CLOSE_TIMEOUT_S)
        if left:
            log.warning('left in the outbox messages="%s"', left)


def _result(outcome: Exception | None) -> str:
    if outcome is None:
        return "ok"
    if isinstance(outcome, Fenced):
        return "fenced"
    assert isinstance(outcome, OffsetMismatch)
    return "mismatch"
