"""Variables of the environment: each setting has one, they win over the file, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.settings.configuration import SETTING_TREE
from stream.settings.environment import variable
from tests.stream.settings_files import SMALLEST, error_of, settings_of


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "redis_url"
    secret.write_text("redis://:geheim@h/1\n")
    settings = settings_of(
        tmp_path,
        SMALLEST,
        DRIFTSTREAM_KAFKA__BOOTSTRAP_SERVERS="other:9092",
        DRIFTSTREAM_KAFKA__SASL_PASSWORD="a: b",
        DRIFTSTREAM_REDIS__URL_FILE=str(secret),
        DRIFTSTREAM_TOPICS__LABELS="",
        DRIFTSTREAM_METRICS__PORT="9000",
        DRIFTSTREAM_MODELS__LOAN_APPROVAL__REFERENCES="a.json, /b.json",
    )
    assert settings.kafka.reveal() == {"bootstrap.servers": "other:9092", "sasl.password": "a: b"}
    assert settings.redis.url.get_secret_value() == "redis://:geheim@h/1"
    assert settings.topics.inputs == ("inference",)
    assert settings.metrics.port == 9000
    assert settings.models["loan-approval"].references == (tmp_path / "a.json", Path("/b.json"))


def test_the_environment_can_give_a_section_the_file_lacks(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "kafka: {bootstrap.servers: b}\n", DRIFTSTREAM_REDIS__URL="redis://h/0")
    assert settings.redis.prefix == "ds"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "REDIS__ULR",
            "x",
            "environment variable DRIFTSTREAM_REDIS__ULR sets nothing, did you mean DRIFTSTREAM_REDIS__U",
        ),
        (
            "METRICS_PORT",
            "1",
            "environment variable DRIFTSTREAM_METRICS_PORT sets nothing, did you mean DRIFTSTREAM_MET",
        ),
        ("QQQ", "1", "environment variable DRIFTSTREAM_QQQ sets nothing"),
        (
            "METRICS__PORT",
            "x",
            "environment variable DRIFTSTREAM_METRICS__PORT: metrics.port is 'x': must be an int",
        ),
        (
            "METRICS__PORT_FILE",
            "/nope",
            "environment variable DRIFTSTREAM_METRICS__PORT_FILE: cannot read '/nope': ",
        ),
        (
            "KAFKA__GROUP_ID",
            "g",
            "environment variable DRIFTSTREAM_KAFKA__GROUP_ID: kafka.group.id cannot be set",
        ),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    assert error_of(tmp_path, SMALLEST, **{f"DRIFTSTREAM_{name}": value}).startswith(message)


def test_a_setting_given_by_variable_and_by_file_is_refused(tmp_path: Path) -> None:
    error = error_of(tmp_path, SMALLEST, DRIFTSTREAM_REDIS__URL="redis://h", DRIFTSTREAM_REDIS__URL_FILE="/x")
    assert error.startswith(
        "environment: DRIFTSTREAM_REDIS__URL and DRIFTSTREAM_REDIS__URL_FILE set the same"
    )


def test_kubernetes_service_links_are_not_settings(tmp_path: Path) -> None:
    settings_of(
        tmp_path,
        SMALLEST,
        DRIFTSTREAM_SERVICE_HOST="10.0.0.1",
        DRIFTSTREAM_SERVICE_PORT_HTTP="9464",
        DRIFTSTREAM_PORT="tcp://10.0.0.1:9464",
        DRIFTSTREAM_METRICS_PORT_9464_TCP_ADDR="10.0.0.1",
    )


def test_every_scalar_setting_has_a_variable_of_its_own() -> None:
    names = [
        variable((section, key))
        for section, branch in SETTING_TREE.keys.items()
        if branch
        for key in branch.keys
    ]
    assert len(names) == len(set(names)) > 30
