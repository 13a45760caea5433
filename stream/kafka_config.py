"""librdkafka dictionaries for our clients, made from the settings.

What the user put under ``kafka:`` comes first; properties that exactly-once counting rests on are laid over
it. A property of consumers is not given to producers and the other way round, so one map serves both
without librdkafka's warnings.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from stream.errors import ConfigError
from stream.settings.configuration import Settings
from stream.settings.masking import MASK, is_secret
from stream.settings.tree import nearest
from stream.transport import require_private

CLIENT_ID: Final = "driftstream"
HOPELESS: Final = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED}  # noqa: SLF001
)
"""Errors of a connection that do not heal by trying again."""

_CONSUMER_ONLY = re.compile(
    r"(fetch|queued|consume|offset\.store)\.|max\.partition\.fetch|isolation\.level|check\.crcs"
    r"|coordinator\.query|allow\.auto\.create"
)
_PRODUCER_ONLY = re.compile(
    r"(queue\.buffering|batch|compression|sticky|delivery|transaction)\.|linger\.ms|retries|partitioner"
    r"|message\.(send|timeout)|request\.timeout|queuing\.strategy|enable\.gapless"
)
_COMMON: Final = (
    "bootstrap.servers", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username",
    "sasl.password", "sasl.oauthbearer.method", "sasl.oauthbearer.client.id", "sasl.oauthbearer.scope",
    "sasl.oauthbearer.client.secret", "sasl.oauthbearer.token.endpoint.url", "https.ca.location",
    "ssl.ca.location", "ssl.ca.pem",
    "ssl.certificate.location", "ssl.certificate.pem", "ssl.key.location", "ssl.key.pem", "ssl.key.password",
    "ssl.keystore.location", "ssl.keystore.password", "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification", "client.id", "client.rack", "client.dns.lookup",
    "socket.timeout.ms", "socket.keepalive.enable", "reconnect.backoff.ms", "reconnect.backoff.max.ms",
    "metadata.max.age.ms", "broker.address.family", "message.max.bytes", "fetch.min.bytes",
    "fetch.wait.max.ms", "fetch.max.bytes", "max.partition.fetch.bytes", "fetch.queue.backoff.ms",
    "queued.min.messages", "isolation.level", "linger.ms", "batch.size", "compression.type",
    "statistics.interval.ms", "log.connection.close", "debug",
)  # fmt: skip
"""Properties that people set, to name the one a typo means; librdkafka alone knows them all."""


def consumer_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of the ingest consumer.

    Offsets come from Redis, so a position that Kafka no longer holds is an error, never a reset. With
    ``protocol: consumer`` (KIP-848) the broker owns session and assignment, and librdkafka refuses them here.
    """
    consumer = settings.consumer
    config: dict[str, Any] = {
        "client.id": CLIENT_ID,
        "fetch.queue.backoff.ms": 5,  # the default of 1000 halves the throughput of a draining consumer
        # Small replies stay in cache: a fifth less CPU an event (benchmarks.ingest) and 70 MiB less memory.
        # They bound a broker's rate to 1 MiB a round trip: raise it where the broker is far away.
        "fetch.max.bytes": 2**20,
        **_properties(settings, without=_PRODUCER_ONLY),
        "group.id": consumer.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",  # a replay of dead letters is exact by it
        "auto.offset.reset": "error",
        "max.poll.interval.ms": consumer.max_poll_interval_ms,
        "queued.max.messages.kbytes": max(1, settings.ingest.buffer_bytes // 1024),
    }
    if consumer.instance_id is not None:
        config["group.instance.id"] = consumer.instance_id
    if consumer.protocol == "consumer":
        return {**config, "group.protocol": "consumer"}
    return {
        **config,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": consumer.session_timeout_ms,
        "heartbeat.interval.ms": max(1, min(3000, consumer.session_timeout_ms // 3)),
    }


def producer_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of producers: idempotent, acknowledged by all in-sync replicas."""
    return {
        "client.id": CLIENT_ID,
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": 64 * 2**20,  # the topic decides; a dead letter is as large as its record
        **_properties(settings, without=_CONSUMER_ONLY),
        "acks": "all",
        "enable.idempotence": True,
    }


def admin_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of clients that only look at and create topics."""
    plain = _properties(settings, without=_CONSUMER_ONLY)
    return {"client.id": CLIENT_ID, **{k: v for k, v in plain.items() if not _PRODUCER_ONLY.match(k)}}


def validate_kafka(settings: Settings) -> None:
    """Let librdkafka judge every property, without connecting anywhere.

    Raises
    ------
    ConfigError
        librdkafka does not know a property or refuses its value; the message names where it was given.
    """
    silent = logging.Logger("librdkafka.validation", level=logging.CRITICAL + 1)
    for client, config in ((Producer, producer_config(settings)), (Consumer, consumer_config(settings))):
        del config["bootstrap.servers"]
        try:
            client(config, logger=silent)
        except (KafkaException, TypeError, ValueError) as exc:
            raise refused(settings, exc) from exc


def refused(settings: Settings, error: Exception) -> ConfigError:
    """Return the error for a configuration that librdkafka does not take."""
    cause = error.args[0] if error.args else error
    text = str(cause.str()) if hasattr(cause, "str") else str(cause)
    for name, value in settings.kafka.reveal().items():
        if is_secret(name) and value:
            text = text.replace(value, MASK)
    text = re.sub(r"^Failed to create [a-z ]+: ", "", text)
    quoted = re.search(r'(?:property:?) "([^"]+)"', text)
    name = quoted[1] if quoted else ""
    place = settings.where("kafka", name) if name else settings.where("kafka")
    if "No such configuration property" in text:
        close = nearest(name, _COMMON)
        hint = f", did you mean {close!r}?" if close else "; see librdkafka's CONFIGURATION.md"
        return ConfigError(f"{place}: unknown key {name!r} in kafka{hint}")
    return ConfigError(f"{place}: kafka: {text}")


def _properties(settings: Settings, *, without: re.Pattern[str]) -> dict[str, str]:
    """Return the user's properties except those of the other kind of client, for a link that may be used."""
    require_private(settings, "kafka")
    return {name: value for name, value in settings.kafka.reveal().items() if not without.match(name)}
