from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from stream.cli import main
from stream.embedded import EmbeddedKafka
from stream.errors import ConfigError, DependencyError
from stream.preflight import require_topics
from stream.settings.configuration import Settings, parse_settings
from stream.topics import KafkaTopics, planned_topics

pytestmark = pytest.mark.services


def settings_of(kafka: EmbeddedKafka, **topics: Any) -> Settings:
    stem = uuid.uuid4().hex[:8]
    names = {
        name: f"{stem}-{name}" for name in ("inference", "labels", "alerts", "metrics", "actions", "panes")
    }
    return parse_settings(
        {
            "kafka": {"bootstrap.servers": kafka.bootstrap_servers},
            "redis": {"url": "redis://h"},
            "topics": {**names, **topics},
        }
    )


def test_missing_topics_are_made_and_found_again(kafka: EmbeddedKafka) -> None:
    settings = settings_of(kafka)
    inference, labels = settings.topics.inputs
    kafka.create_topics({inference: 2})
    first = KafkaTopics(settings).create(planned_topics(settings))
    assert [(state.name, state.status, state.partitions) for state in first] == [
        (inference, "exists", 2),
        (labels, "created", 8),
        (f"{inference}.dlq", "created", 1),
        (f"{labels}.dlq", "created", 1),
        (settings.topics.panes, "created", 8),
        (settings.topics.alerts, "created", 1),
        (settings.topics.metrics, "created", 1),
        (settings.topics.actions, "created", 1),
    ]
    second = KafkaTopics(settings).create(planned_topics(settings))
    assert {state.status for state in second} == {"exists"}
    needed = {state.name: state.partitions for state in first if state.name != settings.topics.actions}
    assert require_topics(settings) == needed


def test_a_dead_letter_may_be_larger_than_its_record(kafka: EmbeddedKafka) -> None:
    settings = settings_of(kafka, labels=None)
    KafkaTopics(settings).create(planned_topics(settings))
    resource = ConfigResource(ConfigResource.Type.TOPIC, settings.topics.dlq(settings.topics.inference))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    described = admin.describe_configs([resource])[resource].result(10)
    assert int(described["max.message.bytes"].value) == 2 * 2**20


def test_too_many_replicas_name_the_option(kafka: EmbeddedKafka) -> None:
    settings = settings_of(kafka)
    with pytest.raises(ConfigError, match="pass a smaller --replication-factor"):
        KafkaTopics(settings).create(planned_topics(settings, replication_factor=3))


def test_topics_create_speaks_json(
    kafka: EmbeddedKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(kafka, labels=None)
    config = tmp_path / "driftstream.yaml"
    names = settings.topics.model_dump()
    config.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap_servers}'}}\nredis: {{url: redis://h}}\n"
        f"topics: {json.dumps(names)}\n"
    )
    argv = ["topics", "create", "--config", str(config), "--partitions", "4", "--output", "json"]
    assert main(argv) == 0
    topics = json.loads(capsys.readouterr().out)["topics"]
    assert topics[0] == {"name": settings.topics.inference, "status": "created", "partitions": 4}
    assert main(argv) == 0
    topics = json.loads(capsys.readouterr().out)["topics"]
    assert {topic["status"] for topic in topics} == {"exists"}


def test_a_wrong_kafka_password_ends_at_once_and_is_named_as_such(kafka_parts: list[Path]) -> None:
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    with EmbeddedKafka(
        listeners=["SASL_PLAINTEXT"],
        properties={
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": scram,
        },
        format_options=["--add-scram", "SCRAM-SHA-512=[name=worker,password=right]"],
    ) as kafka:
        properties = {
            "bootstrap.servers": kafka.listener("SASL_PLAINTEXT"),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "worker",
        }
        redis = {"url": "redis://h"}
        right = parse_settings({"kafka": {**properties, "sasl.password": "right"}, "redis": redis})
        assert KafkaTopics(right).describe() == {}
        wrong = parse_settings({"kafka": {**properties, "sasl.password": "geheim"}, "redis": redis})
        begun = time.monotonic()
        with pytest.raises(
            DependencyError, match="mend the credentials and certificates under kafka"
        ) as error:
            KafkaTopics(wrong, timeout_s=30).describe()
        assert time.monotonic() - begun < 10
        assert "invalid credentials with SASL mechanism SCRAM-SHA-512" in str(error.value)
        assert "geheim" not in str(error.value)
