"""Ingest: batches of records to counts, counts and offsets to Redis in one atomic commit.

One thread owns a consumer. It gathers records, decodes them into columns, counts columns into panes, and
commits. A commit, in order:

1. Dead letters are acknowledged by Kafka.
2. Predictions and labels are joined, model by model.
3. One script a partition: epoch and offset are checked, then panes, outbox and the new offset are written.
4. The outbox is published; what is acknowledged is trimmed by the next commit.
5. The offset is committed to Kafka too, for lag tools only.

A crash before 3 counts the records again from the stored offset; a crash after it never does. Between 2 and 3
the same rows are joined again, which changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import redis
from confluent_kafka import Consumer, TopicPartition

from stream.assignment import Assignment
from stream.clock import monotonic_ms, thread_ms
from stream.codec import Decoder, Rejected
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.crash_points import reached
from stream.dead_letters import dead_letter, emptied
from stream.errors import DependencyError, Fenced
from stream.flood_guard import FloodGuard
from stream.gather import CLOSING_POLL_S, POLL_S, batch_for, gather
from stream.ingest_gauges import IngestGauges
from stream.learning.sightings import Sightings
from stream.metrics import Metrics
from stream.ownership import OwnedPartition
from stream.progress import RecordProgress
from stream.topic_batch import TopicBatch

log = logging.getLogger(__name__)
HOLD_S = 0.5
PROBE_MS = 5_000
COMMITS_APART = 10
"""A commit begins at least so many times the processor time of the last one after that has ended: with
thousands of panes there is time left to count. Waiting for Redis is not in it."""
LONGEST_APART_MS = 2_000


@dataclass(frozen=True, kw_only=True)
class IngestSpec:
    """Limits and intervals of the ingest loop; times in ms."""

    batch: int
    flush_interval_ms: int
    flush_events: int
    out_of_orderness_ms: int
    max_future_skew_ms: int
    idle_after_ms: int
    dlq_suffix: str
    whole_letters: bool = True
    beat_interval_ms: int = 1_000


@dataclass(frozen=True)
class Source:
    """One input topic: how its records decode and how its columns count."""

    topic: str
    decoder: Decoder
    counter: BatchCounter


class Ingest:
    """The loop. :meth:`run` returns after :meth:`stop`; what it raises ends the worker."""

    def __init__(
        self,
        spec: IngestSpec,
        sources: Sequence[Source],
        *,
        consumer: Consumer,
        assignment: Assignment,
        committer: Committer,
        metrics: Metrics,
        floods: FloodGuard,
        beat: Callable[[], None],
        sightings: Sightings | None = None,
    ) -> None:
        self.spec = spec
        self.assignment = assignment
        self._sources: Mapping[str, Source] = {source.topic: source for source in sources}
        self._consumer = consumer
        self._committer = committer
        self._metrics = metrics
        self._floods = floods
        self._sightings = sightings
        self._replacement: Sequence[Source] | None = None
        self._stopping = threading.Event()
        self._progress = RecordProgress(consumer)
        self._held = False
        self._next_flush_ms = 0
        self._next_beat_ms = 0
        self._next_probe_ms = 0
        self._uncommitted = 0
        self._batch = spec.batch
        self._poll_s = POLL_S
        self._beat_heard = beat
        self._gauges = IngestGauges(consumer, metrics)
        self._last_commit_ms = monotonic_ms()

    # ---- life

    def run(self) -> None:
        """Consume until stopped; then commit, publish and leave the group."""
        self.assignment.before_revoke = self._commit_leaving
        self._consumer.subscribe(
            list(self._sources),
            on_assign=self.assignment.on_assign,
            on_revoke=self.assignment.on_revoke,
            on_lost=self.assignment.on_lost,
        )
        try:
            while not self._stopping.is_set():
                self.step()
            self.commit()
        finally:
            self.assignment.is_leaving = True
            self._consumer.close()
            self._committer.close()

    def stop(self) -> None:
        """Ask the loop to end; safe from any thread and from a signal handler."""
        self._stopping.set()

    def replace(self, sources: Sequence[Source]) -> None:
        """Count with other decoders and bins from the next turn on; safe from any thread.

        Nothing else has to change: a pane's key holds the fingerprint of the reference that counted it.
        """
        self._replacement = sources

    def _replaced(self) -> None:
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            self._sources = {source.topic: source for source in replacement}

    def step(self) -> None:
        """One turn: gather, count, and commit when it is time."""
        self._beat_heard()
        self._replaced()
        if not self._held:
            self._floods.turn()
        limit = self._floods.limit(self._batch)
        batches = gather(
            self._consumer,
            self.assignment,
            {topic: source.decoder for topic, source in self._sources.items()},
            limit=limit,
            poll_s=self._poll_s,
            unless=self._stopping.is_set,
            newest_ms=self._newest_ms,
        )
        if batches:
            self._uncommitted += sum(map(len, batches))
            self._batch = batch_for(self.spec.batch, max(map(self._count, batches)))
        self._poll_s = CLOSING_POLL_S if batches and self._committer.is_closing else POLL_S
        now = monotonic_ms()
        flush_ms = self._committer.flush_by(self._next_flush_ms, self._last_commit_ms)
        if self._uncommitted >= self.spec.flush_events or now >= flush_ms:
            self.commit()
        if now >= self._next_beat_ms:
            self._next_beat_ms = now + self.spec.beat_interval_ms
            self._beat(now)

    def readiness(self) -> tuple[bool, str]:
        """Whether this worker counts: a member of the group, its commits taken."""
        if not self.assignment.joined:
            return False, "not a member of the consumer group yet"
        if self._held:
            since_s = (monotonic_ms() - self._last_commit_ms) / 1000
            return False, f"no commit was taken for {since_s:.0f} s: see the log"
        for trouble in (self._floods.trouble(), self._progress.reason):
            if trouble is not None:
                return False, trouble
        return True, f"{len(self.assignment)} partitions"

    # ---- records in

    def _newest_ms(self) -> int:
        """The latest event time that is not from the future."""
        return time.time_ns() // 1_000_000 + self.spec.max_future_skew_ms

    def _count(self, batch: TopicBatch) -> int:
        """Count a batch; of how many model versions it was."""
        source, decoded = self._sources[batch.topic], batch.decoded
        counted = source.counter.count(
            decoded,
            batch.at,
            [owned.intake.watermark_ms for owned in batch.owned],
            newest_ms=batch.newest_ms,
            panes=[owned.intake.panes for owned in batch.owned],
        )
        for model, events in counted.events.items():
            self._metrics.events(batch.topic, model, events)
        self._metrics.timestamp_fallbacks(batch.topic, decoded.ts_fallbacks)
        if decoded.fault:
            self._metrics.decoder_fault(batch.topic)
            log.error('decoded in Python topic="%s" reason="%s"', batch.topic, decoded.fault)
        if self._sightings is not None:
            self._sightings.take(batch, counted.deltas)
        self._refuse(batch, counted.rejected)
        now, newest_ms = monotonic_ms(), max(self._newest_ms(), batch.newest_ms)
        for owned, delta, offset in zip(batch.owned, counted.deltas, batch.next_offsets(), strict=True):
            owned.saw_records(now, newest_ms=newest_ms)
            if owned.after_gap and (first_ms := batch.first_ms(owned)) is not None:
                owned.end_gap(first_ms + self.spec.out_of_orderness_ms)
            self._committer.take(owned, delta, out_of_orderness_ms=self.spec.out_of_orderness_ms)
            owned.position = offset
        return len(decoded.blocks)

    def _refuse(self, batch: TopicBatch, refused: Sequence[Rejected]) -> None:
        """Send the rejected records of a batch to the dead-letter topic."""
        reasons = Counter(each.reason for each in refused)
        self._floods.saw(batch.topic, len(batch), reasons)
        if not refused:
            return
        for reason, count in reasons.items():
            self._metrics.rejected(batch.topic, reason, count)
        dlq = batch.topic + self.spec.dlq_suffix
        letters = [
            dead_letter(batch.held[row], dlq_topic=dlq, reason=reason, detail=detail)
            for row, reason, detail in refused
        ]
        self._committer.dead(letters if self.spec.whole_letters else list(map(emptied, letters)))

    # ---- commits out

    def commit(self) -> None:
        """Commit what changed. While Redis or Kafka refuses, partitions are paused and the group is kept."""
        now, cpu_ms = monotonic_ms(), thread_ms()
        self._next_flush_ms = now + self.spec.flush_interval_ms
        changed = [owned for owned in self.assignment if owned.changed]
        try:
            if self._sightings is not None:
                self._sightings.tell(now)
            refused = self._committer.commit(changed)
        except (redis.RedisError, DependencyError) as exc:
            self._hold(exc)
            return
        self._release()
        self._uncommitted = 0
        self._last_commit_ms = now
        apart_ms = min(COMMITS_APART * (thread_ms() - cpu_ms), LONGEST_APART_MS)
        self._next_flush_ms = max(now + self.spec.flush_interval_ms, monotonic_ms() + apart_ms)
        self._resolve(refused)
        self._committer.publish_again(self.assignment)
        # 5. for lag tools; a failure here costs nothing
        offsets = [
            TopicPartition(o.topic, o.partition, o.position) for o in changed if o.committed is not None
        ]
        if offsets:
            reached("offsets.before")
            self._consumer.commit(offsets=offsets, asynchronous=True)
            reached("offsets.after")

    def _commit_leaving(self, leaving: list[OwnedPartition]) -> None:
        try:
            if self._sightings is not None:
                self._sightings.tell(monotonic_ms())
            self._committer.commit([owned for owned in leaving if owned.changed])
        except (redis.RedisError, DependencyError) as exc:
            log.warning('left uncommitted, the next owner counts it again reason="%s"', exc)

    def _resolve(self, refused: Sequence[tuple[OwnedPartition, Exception]]) -> None:
        """Let go of partitions that another worker has claimed, and read the others from what Redis holds."""
        gone_back: list[OwnedPartition] = []
        for owned, reason in refused:
            log.warning('commit refused partition="%s[%s]" reason="%s"', owned.topic, owned.partition, reason)
            if isinstance(reason, Fenced) and reason.stored > owned.epoch:
                self.assignment.release(owned)
                continue
            self._metrics.rewound(owned.topic)
            gone_back.append(owned)
        if gone_back:
            self.assignment.reclaim(gone_back)

    def _hold(self, reason: Exception) -> None:
        self._next_flush_ms = monotonic_ms() + int(HOLD_S * 1000)
        for topic in {owned.topic for owned in self.assignment}:
            self._metrics.commits_total.labels(topic, "error").inc()
        if not self._held:
            log.error('commit failed, intake paused reason="%s"', reason)
            self._held = True
        positions = self.assignment.positions()
        if positions:
            self._consumer.pause(positions)

    def _release(self) -> None:
        if not self._held:
            return
        self._held = False
        log.info("commits work again, intake resumed")
        for owned in self.assignment:  # not polled while paused: it was not quiet, it was not looked at
            owned.quiet_since_ms = monotonic_ms()
        positions = [at for at in self.assignment.positions() if not self._floods.paused(at.topic)]
        if positions:
            self._consumer.resume(positions)

    # ---- idleness and gauges

    def _beat(self, now_ms: int) -> None:
        """Tell the evaluators which partitions are caught up and quiet, and the gauges where we are."""
        self.assignment.settle()
        quiet = [owned for owned in self.assignment if self._is_idle(owned, now_ms)]
        for owned in quiet:
            owned.idle_beat += 1
        if now_ms >= self._next_probe_ms:  # has Redis still what we know? Where nothing comes, nobody asks
            self._next_probe_ms = now_ms + PROBE_MS
            quiet = [owned for owned in self.assignment if not owned.changed]
            if not self._held:
                self._progress.look(list(self.assignment), now_ms)
        if quiet and not self._held:
            try:
                refused = self._committer.commit(quiet)
            except (redis.RedisError, DependencyError) as exc:
                self._hold(exc)
                return
            self._resolve(refused)
        paused = (
            self._sources if self._held else [each for each in self._sources if self._floods.paused(each)]
        )
        self._gauges.show(self._sources, self.assignment, paused=paused)

    def _is_idle(self, owned: OwnedPartition, now_ms: int) -> bool:
        if self._floods.paused(owned.topic):
            return False
        return (
            owned.caught_up and not owned.changed and now_ms - owned.quiet_since_ms >= self.spec.idle_after_ms
        )
