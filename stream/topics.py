"""Look at the topics of a Kafka cluster, compare them with the configuration, create what is missing.

This is also where librdkafka's errors become ours: the broker, the reason and the remedy in one line.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from stream.errors import ConfigError, DependencyError, DriftstreamError
from stream.kafka_config import HOPELESS, admin_config, refused
from stream.settings.configuration import Settings

DEFAULT_PARTITIONS = 8
_ATTEMPT_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
_TLS = re.compile(r"SSL|certificate|TLS")


@dataclass(frozen=True)
class TopicState:
    """What a topic is after ``create``: there before, or made now."""

    name: str
    status: Literal["exists", "created"]
    partitions: int


class KafkaTopics:
    """A short-lived connection to the cluster of the settings.

    Parameters
    ----------
    settings
        Only the ``kafka`` properties are used to connect.
    timeout_s
        How long to try before the cluster counts as unreachable.

    Raises
    ------
    ConfigError
        librdkafka refuses the configuration.
    """

    def __init__(self, settings: Settings, *, timeout_s: float = 8.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._reasons: dict[str, int] = {}
        silent = logging.Logger("librdkafka.topics", level=logging.CRITICAL + 1)
        config: dict[str, Any] = {**admin_config(settings), "error_cb": self._on_error}
        try:
            self._admin = AdminClient(config, logger=silent)
        except (KafkaException, TypeError, ValueError) as exc:
            raise refused(settings, exc) from exc

    def describe(self) -> dict[str, int]:
        """Return the number of partitions of every topic that this client may see.

        Raises
        ------
        DependencyError
            No broker answered in time, or the broker refuses us.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            left = max(0.05, deadline - time.monotonic())
            try:
                metadata = self._admin.list_topics(timeout=min(_ATTEMPT_SECONDS, left))
            except KafkaException as exc:
                self._admin.poll(0)
                if self._hopeless() or time.monotonic() >= deadline:
                    raise self._unreachable() from exc
                continue
            return {name: len(topic.partitions) for name, topic in metadata.topics.items() if not topic.error}

    def retention_ms(self, topic: str) -> int | None:
        """Return how long a topic keeps its records; None when it keeps them for good or does not say."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            (asked,) = self._admin.describe_configs([resource], request_timeout=self._timeout_s).values()
            stored = asked.result(self._timeout_s + 1)["retention.ms"].value
        except (KafkaException, TimeoutError, KeyError):
            return None  # not everybody may ask
        retention_ms = int(stored)
        return None if retention_ms < 0 else retention_ms

    def create(self, wanted: Iterable[NewTopic]) -> list[TopicState]:
        """Create the topics that are missing and leave the others alone; doing it twice changes nothing.

        Returns once the cluster shows all of them. One that somebody else made meanwhile counts as created: a
        request that was slow and sent again by the client looks the same.

        Raises
        ------
        DependencyError
            The cluster is unreachable, does not let us, or does not show what it created.
        ConfigError
            It has too few brokers for the replication factor, or refuses a setting.
        """
        existing = self.describe()
        topics = list(wanted)
        missing = [topic for topic in topics if topic.topic not in existing]
        if missing:
            self._create_missing(missing)
        known = self._shown([topic.topic for topic in topics]) if missing else existing
        return [
            TopicState(topic.topic, "exists" if topic.topic in existing else "created", known[topic.topic])
            for topic in topics
        ]

    def _shown(self, names: list[str]) -> dict[str, int]:
        """Wait until the cluster's metadata holds the topics; their numbers of partitions."""
        deadline = time.monotonic() + self._timeout_s
        while missing := [name for name in names if name not in (known := self.describe())]:
            if time.monotonic() >= deadline:
                raise DependencyError(
                    f"Kafka at {self._settings.kafka.bootstrap_servers} created topic {missing[0]} but does "
                    f"not show it after {self._timeout_s:g} s; run this again"
                )
            self._admin.poll(_PAUSE_SECONDS)
        return known

    def _create_missing(self, topics: list[NewTopic]) -> None:
        futures: Mapping[str, Future[None]] = self._admin.create_topics(
            topics, operation_timeout=self._timeout_s, request_timeout=self._timeout_s
        )
        for topic in topics:
            try:
                futures[topic.topic].result(self._timeout_s + 1)
            except KafkaException as exc:
                if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # someone else was faster
                    raise self._not_created(topic, exc.args[0]) from exc
            except TimeoutError as exc:
                raise self._not_created(topic, None) from exc

    def _not_created(self, topic: NewTopic, error: KafkaError | None) -> DriftstreamError:
        """Return the error for a topic that the cluster did not create, with its remedy."""
        code = error.code() if error is not None else None
        reason = str(error.str()).rstrip(".") if error is not None else "no answer in time"
        what = (
            f"Kafka at {self._settings.kafka.bootstrap_servers} did not create topic {topic.topic}: {reason}"
        )
        if code == KafkaError.INVALID_REPLICATION_FACTOR:
            return ConfigError(f"{what}; pass a smaller --replication-factor")
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return DependencyError(f"{what}; grant Create on the topic, or have it created by its owner")
        return DependencyError(f"{what}; create it with the tools of your cluster and run this again")

    def _on_error(self, error: KafkaError) -> None:
        """Keep each reason once, with its code."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._reasons[reason_of(str(error.str()))] = error.code()

    def _hopeless(self) -> bool:
        """Whether a reason so far is one that trying again does not mend."""
        return any(code in HOPELESS or _TLS.search(reason) for reason, code in self._reasons.items())

    def _unreachable(self) -> DependencyError:
        """Return the error for a cluster that did not answer, with the reasons librdkafka gave."""
        servers = self._settings.kafka.bootstrap_servers
        place = self._settings.where("kafka", "bootstrap.servers")
        reasons = "; ".join(self._reasons) or f"no answer within {self._timeout_s:g} s"
        remedy = (
            "mend the credentials and certificates under kafka"
            if self._hopeless()
            else "start the broker or mend kafka.bootstrap.servers"
        )
        return DependencyError(f"Kafka at {servers} cannot be used: {reasons}; {remedy} ({place})")


def planned_topics(
    settings: Settings, *, partitions: int = DEFAULT_PARTITIONS, replication_factor: int = -1
) -> list[NewTopic]:
    """Return every topic that driftstream reads or writes, as it would create it.

    The inputs and the notices between the stages are what scales, so ``partitions`` is theirs; alerts,
    metrics, actions and dead letters are few and get one. A ``replication_factor`` of -1 takes the default
    of the cluster.
    """
    scaling = {*settings.topics.inputs, settings.topics.panes}
    dead_letters = {settings.topics.dlq(topic) for topic in settings.topics.inputs}
    # A dead letter is its record plus headers: at the cluster's default limit the largest would not fit.
    room = {"max.message.bytes": str(max(2 * 2**20, 2 * settings.limits.record_bytes))}
    return [
        NewTopic(
            name,
            num_partitions=partitions if name in scaling else 1,
            replication_factor=replication_factor,
            config={"cleanup.policy": "delete", **(room if name in dead_letters else {})},
        )
        for name in settings.topics.all
    ]


def missing_topics(settings: Settings, existing: Mapping[str, int]) -> list[str]:
    """Return the topics that a worker needs and the cluster lacks, in the order of the configuration."""
    return [name for name in settings.topics.needed if name not in existing]


def reason_of(text: str) -> str:
    """Shorten ``host/bootstrap: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT)``.

    >>> reason_of("a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms)")
    'Connection refused'
    """
    text = re.sub(r" \((after|in state)[^)]*\)", "", text)
    text = re.sub(r"^[^ ]+/\w+: ", "", text)
    text = re.sub(r"error:[0-9A-F]+:SSL routines::?", "TLS: ", text)
    return re.sub(r"^Connect to [^ ]+ failed: ", "", text).strip()
