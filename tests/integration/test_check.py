from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from detectors import Reference
from stream.check import Finding, exit_code
from stream.cli import main
from stream.embedded import EmbeddedKafka
from stream.errors import ConfigError, DependencyError
from stream.preflight import redis_client, require_kafka, require_redis, require_topics
from stream.settings.configuration import Settings, parse_settings


def settings_of(
    kafka: str | dict[str, Any] = "127.0.0.1:1", redis: str = "redis://127.0.0.1:1", **more: Any
) -> Settings:
    properties = {"bootstrap.servers": kafka} if isinstance(kafka, str) else kafka
    return parse_settings({"kafka": properties, "redis": {"url": redis}, **more})


@pytest.fixture
def silent_port() -> Any:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_refused_kafka_connection_is_one_line_with_the_reason() -> None:
    with pytest.raises(DependencyError) as error:
        require_kafka(settings_of(), timeout_s=0.5)
    assert str(error.value) == (
        "Kafka at 127.0.0.1:1 cannot be used: Connection refused; "
        "start the broker or mend kafka.bootstrap.servers (configuration)"
    )
    assert error.value.exit_code == 3


def test_a_port_that_is_not_kafka_ends_within_the_timeout(silent_port: int) -> None:
    begun = time.monotonic()
    with pytest.raises(DependencyError, match=r"no answer within 1 s; start the broker"):
        require_kafka(settings_of(f"127.0.0.1:{silent_port}"), timeout_s=1)
    assert time.monotonic() - begun < 5


def test_a_kafka_typo_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'security.protocol'"):
        require_kafka(settings_of({"bootstrap.servers": "127.0.0.1", "security.protcol": "ssl"}))


def test_a_refused_redis_connection_is_one_line_with_the_reason() -> None:
    with pytest.raises(DependencyError) as error:
        require_redis(settings_of(redis="redis://:geheim@127.0.0.1:1/0"))
    assert str(error.value) == (
        "Redis at redis://:**********@127.0.0.1:1/0 cannot be used: Connection refused; "
        "start Redis or mend redis.url (configuration)"
    )


def test_a_port_that_is_not_redis_ends_within_the_timeout(silent_port: int) -> None:
    with pytest.raises(DependencyError, match="Timeout reading from socket"):
        require_redis(settings_of(redis=f"redis://127.0.0.1:{silent_port}"), timeout_s=0.2)


def test_a_password_in_the_place_of_the_port_is_not_printed() -> None:
    with pytest.raises(ConfigError) as error:
        redis_client(settings_of(redis="redis://host:geheim/0"))
    assert "geheim" not in str(error.value)
    assert "write redis://USER:PASSWORD@HOST:PORT/DATABASE" in str(error.value)


def test_the_worst_finding_decides_the_exit_code() -> None:
    ok, warning, failed, away, invalid = (
        Finding("x", status, "") for status in ("ok", "warning", "failed", "unreachable", "invalid")
    )
    assert exit_code([ok, warning]) == 0
    assert exit_code([ok, failed]) == 1
    assert exit_code([failed, away]) == 3
    assert exit_code([failed, away, invalid]) == 2


@pytest.mark.services
def test_a_good_redis_gives_a_client(redis_url: str) -> None:
    with require_redis(settings_of(redis=redis_url)) as client:
        assert client.ping()


@pytest.mark.services
def test_an_evicting_redis_is_refused(redis_url: str) -> None:
    with Redis.from_url(redis_url) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(
                DependencyError, match=r"maxmemory-policy allkeys-lru, .*`maxmemory-policy noeviction`"
            ):
                require_redis(settings_of(redis=redis_url))
        finally:
            admin.config_set("maxmemory-policy", "noeviction")


@pytest.mark.services
def test_a_wrong_redis_password_is_named_as_such(redis_url: str) -> None:
    address = redis_url.replace("redis://", "redis://nobody:geheim@")
    with pytest.raises(DependencyError, match=r"mend the password in redis.url or redis.password") as error:
        require_redis(settings_of(redis=address))
    assert "geheim" not in str(error.value)


@pytest.mark.services
def test_an_account_without_info_is_a_warning(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Redis.from_url(redis_url) as admin:
        admin.acl_setuser(
            "narrow", enabled=True, passwords=["+pw"], keys=["ds:*"], commands=["+ping", "+get"]
        )
        try:
            address = redis_url.replace("redis://", "redis://narrow:pw@")
            require_redis(settings_of(redis=address)).close()
        finally:
            admin.acl_deluser("narrow")
    assert "grant +info" in caplog.text


@pytest.mark.services
def test_missing_topics_are_named_with_the_remedy(kafka: EmbeddedKafka) -> None:
    settings = settings_of(kafka.bootstrap_servers, topics={"inference": "none-such", "labels": None})
    with pytest.raises(
        ConfigError, match=r"has no topic none-such, none-such.dlq, .*`driftstream topics create`"
    ):
        require_topics(settings)


@pytest.mark.services
def test_check_reports_everything_and_changes_nothing(
    kafka: EmbeddedKafka, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"age": np.arange(400) % 40 + 20.0}
    reference = Reference.build(columns, window_rows=50, model="loan", version="1")
    (tmp_path / "loan.json").write_text(reference.to_json())
    names = {
        name: f"check-{name}" for name in ("inference", "labels", "alerts", "metrics", "actions", "panes")
    }
    config = tmp_path / "driftstream.yaml"
    text = (
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap_servers}'}}\nredis: {{url: '{redis_url}'}}\n"
        f"topics: {json.dumps(names)}\nmodels:\n  loan: {{references: [loan.json]}}\n"
    )
    config.write_text(text)
    argv = ["check", "--config", str(config), "--output", "json"]
    assert main(argv) == 1
    answer = json.loads(capsys.readouterr().out)
    failed = [check["detail"] for check in answer["checks"] if check["status"] == "failed"]
    assert not answer["ok"]
    assert len(failed) == 7  # nothing is written to the actions yet
    assert failed[0].startswith("check-inference does not exist")
    assert not [
        name for name in require_kafka(settings_of(kafka.bootstrap_servers)) if name.startswith("check-")
    ]

    assert main(["topics", "create", "--config", str(config), "--partitions", "3"]) == 0
    assert "created  check-inference, 3 partitions" in capsys.readouterr().out
    assert main(argv) == 0
    answer = json.loads(capsys.readouterr().out)
    details = {check["detail"] for check in answer["checks"] if check["status"] == "ok"}
    assert {"loan 1, 1 columns", "check-inference, 3 partitions", "check-alerts, 1 partition"} <= details

    config.write_text(text.replace("references: [loan.json]", "learn: 8d"))
    assert main(argv) == 0
    answer = json.loads(capsys.readouterr().out)
    told = {(check["status"], check["detail"]) for check in answer["checks"]}
    assert ("ok", "loan learns its own from 8d of events") in told
    short = "check-inference keeps events for 7d, loan learns from 8d: raise its retention.ms"
    assert ("warning", short) in told

    config.write_text(text.replace(kafka.bootstrap_servers, "127.0.0.1:1"))
    assert main(argv) == 3
    capsys.readouterr()
    config.write_text(text.replace("references", "refrences"))
    assert main(["check", "--config", str(config)]) == 2
    assert "did you mean 'references'" in capsys.readouterr().out
