"""Where the ingest is: partitions, lag and watermarks, for those who scrape."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.metrics import Metrics
from stream.ownership import OwnedPartition


class IngestGauges:
    """Shows the partitions of one worker, and takes back those that it has no more."""

    def __init__(self, consumer: Consumer, metrics: Metrics) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._shown: set[tuple[str, int]] = set()

    def show(
        self, topics: Iterable[str], partitions: Iterable[OwnedPartition], *, paused: Collection[str]
    ) -> None:
        """Show every partition; ``paused`` are the topics that are not read now."""
        owned = list(partitions)
        for topic in topics:
            assigned = [each for each in owned if each.topic == topic]
            standing = len(assigned) if topic in paused else 0
            self._metrics.partitions(topic, assigned=len(assigned), paused=standing)
        for each in owned:
            self._metrics.lag(each.topic, each.partition, self._lag(each))
            self._metrics.watermark(each.topic, each.partition, each.intake.watermark_ms)
        shown = {(each.topic, each.partition) for each in owned}
        for topic, partition in self._shown - shown:
            self._metrics.revoked(topic, partition)
        self._shown = shown

    def _lag(self, owned: OwnedPartition) -> int | None:
        """Records that wait, by the end that the last fetch told of; None while none has."""
        at = TopicPartition(owned.topic, owned.partition)
        try:
            _, high = self._consumer.get_watermark_offsets(at, cached=True)
        except KafkaException:
            return None
        return max(high - owned.position, 0) if high >= 0 else None
