"""Create topics and wait until they can be used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.02


def create_topics(
    client: Mapping[str, str], topics: Mapping[str, int], *, config: Mapping[str, str] | None = None
) -> None:
    """Create ``topics`` (name to number of partitions, one replica) and wait for a leader of each partition.

    Raises
    ------
    DependencyError
        A topic exists already, or the broker refused it.
    """
    admin = AdminClient({**client, "log_level": 0})
    wanted = [
        NewTopic(name, num_partitions=count, replication_factor=1, config=dict(config or {}))
        for name, count in topics.items()
    ]
    for name, created in admin.create_topics(wanted, operation_timeout=_TIMEOUT_SECONDS).items():
        try:
            created.result()
        except KafkaException as error:
            raise DependencyError(f"topic {name!r} cannot be created: {error.args[0].str()}") from error
    _await_leaders(admin, topics)


def _await_leaders(admin: AdminClient, topics: Mapping[str, int]) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    for name, count in topics.items():
        while not _led(admin, name, count):
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"topic {name!r} has no leader after {_TIMEOUT_SECONDS:.0f} s: see the broker's log"
                )
            time.sleep(_LOOK_EVERY_SECONDS)


def _led(admin: AdminClient, name: str, count: int) -> bool:
    seen = admin.list_topics(name, timeout=_TIMEOUT_SECONDS).topics[name].partitions
    return len(seen) == count and all(partition.leader >= 0 for partition in seen.values())
