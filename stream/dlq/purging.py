"""Deleting dead letters: Kafka deletes from the beginning of a partition up to an offset, for good."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.dlq.letters import Mark
from stream.dlq.reading import DeadLetterLog
from stream.errors import DependencyError
from stream.kafka_config import admin_config, refused
from stream.settings.configuration import Settings

TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a purge deletes of one partition, ``[begin, end)``: how many letters, how many never replayed."""

    dlq: str
    partition: int
    begin: int
    end: int
    letters: int
    unreplayed: int


def cuts_before(log: DeadLetterLog, before_ms: int | None) -> list[Cut]:
    """Return what was written before a time (None: everything), counted."""
    whole = log.stretches()
    kept = whole if before_ms is None else log.since(whole, before_ms)
    ends = {(each.topic, each.partition): each.begin for each in kept}
    done: set[str] = set()
    letters: dict[tuple[str, int], list[str]] = {}
    for entry in log.read(whole):
        if isinstance(entry, Mark):
            done.add(entry.id)
        elif before_ms is None or entry.dlq_offset < ends[entry.dlq, entry.dlq_partition]:
            letters.setdefault((entry.dlq, entry.dlq_partition), []).append(entry.id)
    cuts = []
    for each in whole:
        place = (each.topic, each.partition)
        end = each.end if before_ms is None else ends[place]
        inside = letters.get(place, [])
        if each.begin < end:
            unreplayed = sum(identity not in done for identity in inside)
            cuts.append(
                Cut(
                    dlq=each.topic,
                    partition=each.partition,
                    begin=each.begin,
                    end=end,
                    letters=len(inside),
                    unreplayed=unreplayed,
                )
            )
    return cuts


def purge(settings: Settings, cuts: Iterable[Cut]) -> None:
    """Delete; there is no way back.

    Raises
    ------
    ConfigError
        librdkafka refuses the configuration.
    DependencyError
        Kafka does not delete; partitions before the one it names are purged.
    """
    silent = logging.Logger("librdkafka.purge", level=logging.CRITICAL + 1)
    try:
        admin: Any = AdminClient(admin_config(settings), logger=silent)
    except (KafkaException, TypeError, ValueError) as exc:
        raise refused(settings, exc) from exc
    asked = [TopicPartition(each.dlq, each.partition, each.end) for each in cuts]
    if not asked:
        return
    for at, future in admin.delete_records(asked, request_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S + 1)
        except (KafkaException, TimeoutError) as exc:
            reason = exc.args[0].str() if isinstance(exc, KafkaException) else "no answer in time"
            raise DependencyError(f"topic {at.topic}[{at.partition}]: not purged: {reason}") from exc
