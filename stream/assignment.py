"""The partitions this worker owns, as the consumer group hands them over and takes them back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import redis
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from stream.alerts import AlertRoute, data_loss
from stream.crash_points import reached
from stream.errors import DependencyError
from stream.kafka_config import HOPELESS
from stream.messages import Message
from stream.ownership import OwnedPartition, start_offset, take_over
from stream.sinks import KafkaSink
from stream.store import PartitionStore

log = logging.getLogger(__name__)
ANSWER_S = 10.0
CLAIM_BUDGET_S = 30.0
CONTEST_S = 5.0  # a straggler hears that it has lost its partitions at its next poll
RETRY_S = 0.5
NO_REDIS = "Redis: no answer while claiming partitions"
REFUSALS = HOPELESS | {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError._FATAL,  # noqa: SLF001
}

Key = tuple[str, int]
T = TypeVar("T")


class Assignment:
    """Owned partitions by (topic, partition).

    Parameters
    ----------
    alerts
        Where the alert of a retention gap goes.

    Attributes
    ----------
    before_revoke
        Called with the partitions about to leave, to commit what they have counted.
    generation
        Grows whenever a partition changes hands.
    is_leaving
        Set before the consumer is closed: what it is still given is not claimed.
    """

    before_revoke: Callable[[list[OwnedPartition]], None]

    def __init__(
        self, *, store: PartitionStore, consumer: Consumer, sink: KafkaSink, alerts: AlertRoute
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._sink = sink
        self._alerts = alerts
        self._owned: dict[Key, OwnedPartition] = {}
        self._contested: dict[Key, float] = {}
        self.generation = 0
        self.joined = False
        self.is_leaving = False

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(list(self._owned.values()))

    def __len__(self) -> int:
        return len(self._owned)

    def get(self, topic: str, partition: int) -> OwnedPartition | None:
        """The partition, or None when it is not ours."""
        return self._owned.get((topic, partition))

    def owned(self, topic: str, partition: int) -> OwnedPartition:
        """The partition; asking for one that is not ours is a programming error."""
        return self._owned[topic, partition]

    def positions(self) -> list[TopicPartition]:
        """Every owned partition, for pausing and resuming."""
        return [TopicPartition(topic, partition) for topic, partition in self._owned]

    # ---- callbacks of the consumer group

    # the client calls these with its consumer

    def on_assign(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Claim the partitions and consume each from the offset that Redis holds.

        Not while leaving: what comes while the consumer closes is taken back in the same moment.
        """
        if self.is_leaving:
            return
        self.generation += 1
        for topic in sorted({at.topic for at in partitions}):
            self._declare(topic)
        self._consume([self._claim(at.topic, at.partition) for at in partitions])
        self.joined = True
        log.info('assigned partitions="%s"', _names(partitions))

    def on_revoke(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Commit what the partitions have counted, then let go of them."""
        self.generation += 1
        leaving = [owned for at in partitions if (owned := self.get(at.topic, at.partition))]
        self.before_revoke(leaving)
        self._drop(partitions)
        log.info('revoked partitions="%s"', _names(partitions))

    def on_lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Another worker may own them already: drop everything uncommitted."""
        self.generation += 1
        self._drop(partitions)
        log.warning('lost partitions="%s"', _names(partitions))

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        for at in partitions:
            self._owned.pop((at.topic, at.partition), None)
            self._contested.pop((at.topic, at.partition), None)

    # ---- claiming

    def reclaim(self, partitions: Sequence[OwnedPartition]) -> None:
        """Redis went back, or our epochs are gone: drop what was counted, claim again, read from there.

        All at once: a broker answers for offsets only after the fetch that it is holding, half a second each.
        """
        self.generation += 1
        for topic in sorted({owned.topic for owned in partitions}):
            self._declare(topic)
        self._consumer.incremental_unassign(
            [TopicPartition(each.topic, each.partition) for each in partitions]
        )
        self._consume([self._claim(each.topic, each.partition) for each in partitions])

    def _consume(self, starts: list[TopicPartition]) -> None:
        """Consume from there. The client remembers a pause beyond an assignment, even one that was lost."""
        self._consumer.incremental_assign(starts)
        if starts:
            self._consumer.resume(starts)

    def release(self, owned: OwnedPartition) -> None:
        """Another worker has claimed after us: stop consuming until the group decides.

        Usually it takes the partition from us in a moment. If not, the other one was a straggler that claimed
        what it had just lost: see :meth:`settle`.
        """
        at = TopicPartition(owned.topic, owned.partition)
        self._drop([at])
        self._consumer.pause([at])
        self._contested[owned.topic, owned.partition] = time.monotonic() + CONTEST_S

    def settle(self) -> None:
        """Claim the contested partitions that the group has left with us."""
        now = time.monotonic()
        for topic, partition in [key for key, until in self._contested.items() if until <= now]:
            self.generation += 1
            try:
                start = self._claim(topic, partition)
            except DependencyError as exc:  # cut off from Kafka: perhaps no member any more
                log.warning('contested partition="%s[%s]" reason="%s"', topic, partition, exc)
                self._contested = dict.fromkeys(self._contested, time.monotonic() + CONTEST_S)
                return
            log.warning('still ours, claimed again partition="%s[%s]"', topic, partition)
            del self._contested[topic, partition]
            self._consumer.resume([start])
            self._go_to(start)

    def _go_to(self, start: TopicPartition) -> None:
        try:
            self._consumer.seek(start)
        except KafkaException:  # only a partition that is being fetched can seek
            self._consumer.incremental_unassign([start])
            self._consumer.incremental_assign([start])

    def _claim(self, topic: str, partition: int) -> TopicPartition:
        """Take the partition over in Redis; where to consume from."""
        where = f"{topic}[{partition}]"
        low, high = self._bounds(topic, partition)
        reached("claim.before")
        claim = self._patiently(lambda: self._store.claim(topic, partition))
        reached("claim.after")
        start = start_offset(claim, low, high, where=where)
        owned = take_over(claim, start, topic=topic, partition=partition, sink=self._sink)
        owned.generation = self.generation
        owned.quiet_since_ms = time.monotonic_ns() // 1_000_000
        owned.drain.send(self._patiently(lambda: self._store.undelivered(topic, partition)))
        if start.lost:
            log.error('records lost to retention partition="%s" lost="%s"', where, start.lost)
            owned.messages.append(self._loss_alert(owned, start.lost, claim.watermark_ms or 0))
        self._owned[topic, partition] = owned
        return TopicPartition(topic, partition, start.offset)

    def _loss_alert(self, owned: OwnedPartition, lost: int, at_ms: int) -> Message:
        first = owned.position - lost
        alert = data_loss(topic=owned.topic, partition=owned.partition, first=first, lost=lost, at_ms=at_ms)
        return alert.to_message(self._alerts)

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end. A partition that the group already knows of may be news to the client."""
        at, what = TopicPartition(topic, partition), f"Kafka: no offsets of {topic}[{partition}]"

        def ask() -> tuple[int, int]:
            bounds = self._consumer.get_watermark_offsets(at, timeout=ANSWER_S)
            if bounds is None or OFFSET_INVALID in bounds:
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "is its leader up?"))
            return bounds

        return self._patiently(ask, what)

    def _declare(self, topic: str) -> None:
        """Tell the evaluators the number of partitions; asked anew each time, since topics grow.

        The producer is asked: a consumer that is asked in its own callback forgets which call it serves, and
        aborts the process when closing serves one more.
        """
        partitions = self._patiently(
            lambda: self._sink.partitions(topic, timeout_s=ANSWER_S), f"Kafka: no metadata of {topic}"
        )
        self._patiently(lambda: self._store.declare_topic(topic, partitions))

    def _patiently(self, call: Callable[[], T], what: str = NO_REDIS) -> T:
        """Retry through a restart or a connection that breaks; a longer outage ends the worker.

        Raises
        ------
        DependencyError
            ``what`` cannot be had, and why.
        """
        deadline = time.monotonic() + CLAIM_BUDGET_S
        while True:
            try:
                return call()
            except (redis.RedisError, KafkaException) as exc:
                if _is_refusal(exc) or time.monotonic() > deadline:
                    raise DependencyError(f"{what}: {exc}") from exc
                log.warning('claiming, tried again what="%s" reason="%s"', what, exc)
                time.sleep(RETRY_S)


def _is_refusal(exc: Exception) -> bool:
    return isinstance(exc, KafkaException) and exc.args[0].code() in REFUSALS


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ",".join(f"{at.topic}[{at.partition}]" for at in partitions)
