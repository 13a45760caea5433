"""Reading stretches of topics once, beside whoever consumes them: no group joined, nothing committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream.errors import DependencyError
from stream.kafka_config import consumer_config, refused
from stream.settings.configuration import Settings

log_client = logging.getLogger("librdkafka")
CHUNK = 500
POLL_S = 0.1
TIMEOUT_S = 10.0
PATIENCE_S = 60.0
_END = KafkaError._PARTITION_EOF  # noqa: SLF001  # the client's spelling
_NO_LEADER = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
_GROUP_ONLY = ("group.instance.id", "group.protocol")


@dataclass(frozen=True, order=True)
class Stretch:
    """Offsets ``[begin, end)`` of one partition."""

    topic: str
    partition: int
    begin: int
    end: int


class RangeReader:
    """Reads stretches with a consumer of its own; use it as a context.

    Raises
    ------
    ConfigError
        librdkafka refuses the configuration.
    """

    def __init__(self, settings: Settings) -> None:
        config: dict[str, Any] = {**consumer_config(settings), "enable.partition.eof": True}
        for name in _GROUP_ONLY:
            config.pop(name, None)
        try:
            self._consumer = Consumer(config, logger=log_client)
        except (KafkaException, TypeError, ValueError) as exc:
            raise refused(settings, exc) from exc

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    # ---- where

    def bounds(self, topic: str) -> list[Stretch]:
        """Return everything that Kafka holds of a topic, a stretch a partition.

        Raises
        ------
        DependencyError
            Kafka does not tell.
        """
        try:
            known = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            if known.error is not None:
                raise DependencyError(f"Kafka: {topic} cannot be read: {known.error.str()}")
            return [
                Stretch(topic, partition, *self._ends(topic, partition)) for partition in known.partitions
            ]
        except KafkaException as exc:
            raise DependencyError(f"Kafka: no offsets of {topic}: {exc.args[0].str()}") from exc

    def _ends(self, topic: str, partition: int) -> tuple[int, int]:
        deadline = time.monotonic() + TIMEOUT_S
        at = TopicPartition(topic, partition)
        while True:
            try:
                ends = self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
            except KafkaException as exc:  # a leader that is being elected
                if exc.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
                continue
            if ends is None or OFFSET_INVALID in ends:
                raise DependencyError(f"Kafka: no offsets of {topic}[{partition}]: is its leader up?")
            return ends

    def since(self, stretches: Iterable[Stretch], at_ms: int) -> list[Stretch]:
        """Cut off what was recorded before ``at_ms``; a broker that cannot tell leaves them whole."""
        whole = list(stretches)
        asked = [TopicPartition(each.topic, each.partition, max(at_ms, 0)) for each in whole]
        try:
            found = self._consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
        except KafkaException as exc:
            log_client.debug('no offsets for times, read from the start reason="%s"', exc)
            return whole
        first = {(at.topic, at.partition): at.offset for at in found if at.error is None}
        cut = []
        for each in whole:
            offset = first.get((each.topic, each.partition), each.begin)
            begin = each.end if offset < 0 else max(each.begin, offset)
            cut.append(Stretch(each.topic, each.partition, min(begin, each.end), each.end))
        return cut

    # ---- reading

    def read(
        self, stretches: Sequence[Stretch], *, unless: Callable[[], bool] = lambda: False
    ) -> Iterator[list[Message]]:
        """Give back the records of the stretches, some at a time; partitions in no particular order.

        Parameters
        ----------
        unless
            Ends the reading early, asked between two chunks.

        Raises
        ------
        DependencyError
            Kafka lets go of a stretch, or gives nothing for a minute.
        """
        wanted = [each for each in stretches if each.begin < each.end]
        ends = {(each.topic, each.partition): each.end for each in wanted}
        places = [TopicPartition(each.topic, each.partition, each.begin) for each in wanted]
        self._consumer.assign(places)
        self._consumer.resume(places)  # paused at its end, when it was read before
        heard = time.monotonic()
        while ends and not unless():
            records = self._consumer.consume(CHUNK, POLL_S)
            if not records:
                if time.monotonic() - heard > PATIENCE_S:
                    names = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(ends))
                    raise DependencyError(f"Kafka gives nothing of {names} for {PATIENCE_S:.0f} s")
                continue
            heard = time.monotonic()
            inside = self._inside(records, ends)
            if inside:
                yield inside
        self._consumer.unassign()

    def _inside(self, records: list[Message], ends: dict[tuple[str, int], int]) -> list[Message]:
        """Return the records of the stretches; a partition read to its end leaves ``ends``."""
        inside: list[Message] = []
        for record in records:
            if record.topic() is None:
                continue  # of the connection: what matters is whether records come
            at = (str(record.topic()), int(record.partition() or 0))
            offset, error = int(record.offset() or 0), record.error()
            if error is not None and error.code() != _END:
                raise DependencyError(f"Kafka: {at[0]}[{at[1]}] cannot be read: {error.str()}")
            end = ends.get(at)
            if end is None:
                continue
            if error is None and offset < end:
                inside.append(record)
            if offset >= end - (error is None):
                del ends[at]
                self._consumer.pause([TopicPartition(*at)])
        return inside
