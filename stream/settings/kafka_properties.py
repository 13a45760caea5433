"""The ``kafka:`` map: any librdkafka property under its own dotted name.

Properties that decide whether an event is counted exactly once belong to driftstream and are refused
here with the setting that replaces them. Whether a name or a value suits librdkafka is librdkafka's to
say: :func:`stream.kafka_config.validate_kafka` asks it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, RootModel, SecretStr, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from stream.settings.masking import is_secret

OWNED: Final = {
    "acks": "driftstream always waits for all in-sync replicas",
    "request.required.acks": "driftstream always waits for all in-sync replicas",
    "enable.idempotence": "driftstream always produces idempotently",
    "transactional.id": "driftstream publishes through its own outbox",
    "auto.offset.reset": "positions live in Redis and are never reset silently",
    "enable.auto.commit": "offsets commit together with the counts",
    "enable.auto.offset.store": "offsets commit together with the counts",
    "auto.commit.interval.ms": "offsets commit together with the counts; see ingest.flush_interval",
    "enable.partition.eof": "driftstream listens for the ends of partitions itself",
    "group.id": "set consumer.group",
    "group.instance.id": "set consumer.instance_id",
    "group.protocol": "set consumer.protocol",
    "partition.assignment.strategy": "driftstream assigns cooperatively; see consumer.protocol",
    "session.timeout.ms": "set consumer.session_timeout",
    "heartbeat.interval.ms": "it follows consumer.session_timeout",
    "max.poll.interval.ms": "set consumer.max_poll_interval",
    "queued.max.messages.kbytes": "set ingest.buffer_bytes",
    "metadata.broker.list": "write bootstrap.servers",
}
"""Properties that a user may not set, and what to do instead."""

_NAME = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")


def _name(value: object) -> object:
    """Refuse names we own, callbacks, and names that no librdkafka property can have."""
    if value in OWNED:
        raise PydanticCustomError("owned", "cannot be set: {why}", {"why": OWNED[str(value)]})
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise PydanticCustomError(
            "name", "is not a librdkafka property; names are dotted, such as security.protocol"
        )
    return value


def _scalar(value: object) -> object:
    """Return the text librdkafka reads: ``true`` and ``false`` in lower case, numbers in decimal."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | SecretStr):
        return value
    raise PydanticCustomError("scalar", "must be text, a number, true or false")


PropertyName = Annotated[str, BeforeValidator(_name)]
PropertyValue = Annotated[
    str | SecretStr,
    BeforeValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]


class KafkaProperties(RootModel[dict[PropertyName, PropertyValue]]):
    """Properties for every Kafka client of driftstream; ``bootstrap.servers`` is required.

    Values whose name says password, passphrase, secret or private key are held as ``SecretStr``.
    """

    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "required": ["bootstrap.servers"],
            "properties": {
                "bootstrap.servers": {"type": "string", "description": "host:port, comma separated"}
            },
        },
    )

    @model_validator(mode="before")
    @classmethod
    def _hide(cls, data: Any) -> Any:
        """Wrap secrets before anything can print them."""
        if not isinstance(data, dict):
            return data
        return {
            key: SecretStr(value) if is_secret(str(key)) and isinstance(value, str) else value
            for key, value in data.items()
        }

    @model_validator(mode="after")
    def _require_bootstrap(self) -> KafkaProperties:
        if not self.root.get("bootstrap.servers"):
            raise PydanticCustomError(
                "bootstrap", "needs bootstrap.servers, the brokers to start from, such as 127.0.0.1:9092"
            )
        return self

    @property
    def bootstrap_servers(self) -> str:
        """The brokers to start from, ``host:port`` separated by commas."""
        return str(self.root["bootstrap.servers"])

    def reveal(self) -> dict[str, str]:
        """Return all properties with the secrets in clear, for a client and nothing else."""
        return {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value
            for key, value in self.root.items()
        }
