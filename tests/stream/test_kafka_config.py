from __future__ import annotations

from typing import Any

import pytest

from stream.errors import ConfigError
from stream.kafka_config import admin_config, consumer_config, producer_config, validate_kafka
from stream.settings.configuration import Settings, parse_settings


def settings_of(kafka: dict[str, Any] | None = None, **sections: Any) -> Settings:
    kafka = {"bootstrap.servers": "127.0.0.1:9092", **(kafka or {})}
    return parse_settings({"kafka": kafka, "redis": {"url": "redis://127.0.0.1/0"}, **sections})


def test_the_consumer_never_commits_or_resets_by_itself() -> None:
    config = consumer_config(settings_of({"isolation.level": "read_uncommitted"}))
    assert config["isolation.level"] == "read_committed"
    assert config["enable.auto.commit"] is False
    assert config["enable.auto.offset.store"] is False
    assert config["auto.offset.reset"] == "error"
    assert config["partition.assignment.strategy"] == "cooperative-sticky"
    assert config["fetch.queue.backoff.ms"] == 5
    assert config["queued.max.messages.kbytes"] == 16_384
    assert (config["session.timeout.ms"], config["heartbeat.interval.ms"]) == (10_000, 3000)


def test_the_new_protocol_leaves_session_and_assignment_to_the_broker() -> None:
    config = consumer_config(settings_of(consumer={"protocol": "consumer", "instance_id": "worker-0"}))
    assert config["group.protocol"] == "consumer"
    assert config["group.instance.id"] == "worker-0"
    assert not config.keys() & {
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
    }


def test_each_kind_of_client_gets_what_it_knows() -> None:
    settings = settings_of({"linger.ms": 50, "fetch.queue.backoff.ms": 9, "sasl.password": "pw"})
    consumer, producer, admin = consumer_config(settings), producer_config(settings), admin_config(settings)
    assert consumer["fetch.queue.backoff.ms"] == "9"
    assert producer["linger.ms"] == "50"
    assert "linger.ms" not in consumer.keys() | admin.keys()
    assert "fetch.queue.backoff.ms" not in producer.keys() | admin.keys()
    assert consumer["sasl.password"] == producer["sasl.password"] == admin["sasl.password"] == "pw"


def test_the_producer_is_idempotent() -> None:
    config = producer_config(settings_of())
    assert (config["acks"], config["enable.idempotence"], config["compression.type"]) == ("all", True, "lz4")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafka_takes_what_we_build(protocol: str) -> None:
    validate_kafka(settings_of({"socket.keepalive.enable": True}, consumer={"protocol": protocol}))


@pytest.mark.parametrize(
    ("kafka", "message"),
    [
        (
            {"security.protcol": "ssl"},
            "unknown key 'security.protcol' in kafka, did you mean 'security.protocol'?",
        ),
        ({"qqq": "x"}, "unknown key 'qqq' in kafka; see librdkafka's CONFIGURATION.md"),
        (
            {"security.protocol": "tls"},
            'kafka: Invalid value "tls" for configuration property "security.protocol"',
        ),
        (
            {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"},
            "kafka: sasl.username and sasl.password must be set",
        ),
        (
            {"security.protocol": "geheim", "sasl.password": "geheim"},
            'kafka: Invalid value "**********" for configuration property "security.protocol"',
        ),
    ],
)
def test_librdkafka_refuses_and_the_message_is_ours(kafka: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate_kafka(settings_of(kafka))
    assert str(error.value) == f"configuration: {message}"
