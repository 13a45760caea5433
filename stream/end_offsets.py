"""Where the partitions of topics begin and end on Kafka; nobody's consumer position is touched."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import OffsetSpec as _OffsetSpec  # type: ignore[attr-defined]

from stream.errors import DependencyError
from stream.kafka_config import admin_config, refused
from stream.settings.configuration import Settings

Place = tuple[str, int]
_SPEC: Any = _OffsetSpec  # the client leaves it untyped


class Bounds(NamedTuple):
    """Offsets ``[begin, end)`` that Kafka holds of one partition."""

    begin: int
    end: int


def topic_bounds(
    settings: Settings, places: Iterable[Place], *, timeout_s: float = 4.0
) -> dict[Place, Bounds]:
    """Return the bounds of (topic, partition) pairs; those whose leader is away are left out.

    Raises
    ------
    ConfigError
        librdkafka refuses the configuration.
    DependencyError
        Kafka tells nothing within ``timeout_s``.
    """
    wanted = list(places)
    if not wanted:
        return {}
    silent = logging.Logger("librdkafka.offsets", level=logging.CRITICAL + 1)
    try:
        config: dict[str, Any] = {**admin_config(settings), "error_cb": _ignored}
        admin = AdminClient(config, logger=silent)
    except (KafkaException, TypeError, ValueError) as exc:
        raise refused(settings, exc) from exc
    begins = _ask(admin, wanted, _SPEC.earliest(), timeout_s)
    ends = _ask(admin, wanted, _SPEC.latest(), timeout_s) if begins else {}
    if not ends:
        servers = settings.kafka.bootstrap_servers
        raise DependencyError(f"Kafka at {servers} told no offsets within {timeout_s:g} s")
    return {place: Bounds(begins[place], end) for place, end in ends.items() if place in begins}


def _ask(admin: AdminClient, wanted: list[Place], spec: Any, timeout_s: float) -> dict[Place, int]:
    asked = {TopicPartition(topic, partition): spec for topic, partition in wanted}
    found: dict[Place, int] = {}
    for at, future in admin.list_offsets(asked, request_timeout=timeout_s).items():
        try:
            found[at.topic, at.partition] = int(future.result(timeout_s + 1).offset)
        except (KafkaException, TimeoutError):
            continue  # what is not known is left out
    return found


def _ignored(_: object) -> None:
    """Connection errors: what matters is whether an answer comes in time."""
