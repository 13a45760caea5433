from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.cli import main
from stream.errors import ConfigError
from stream.faust_credentials import faust_credentials
from stream.kafka_config import consumer_config, producer_config
from stream.preflight import redis_client
from stream.settings.configuration import Settings, load_settings, parse_settings
from stream.settings.security_section import LINKS, Link
from stream.transport import require_loopback, require_private

FAR, NEAR = "kafka-1:9092,127.0.0.1:9092", "127.0.0.1:9092, localhost:9092,[::1]:9092"
TLS = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}


def settings_of(
    kafka: dict[str, Any] | None = None, redis: str = "redis://127.0.0.1/0", **sections: Any
) -> Settings:
    return parse_settings(
        {"kafka": {"bootstrap.servers": NEAR, **(kafka or {})}, "redis": {"url": redis}, **sections}
    )


def test_loopback_needs_nothing() -> None:
    for link in LINKS:
        require_private(settings_of(), link)
    require_private(settings_of(redis="unix:///run/redis.sock"), "redis")
    require_private(settings_of(redis="redis://"), "redis")


@pytest.mark.parametrize(
    ("settings", "link", "said"),
    [
        (settings_of({"bootstrap.servers": FAR}), "kafka", "plaintext to kafka-1:9092 is in clear"),
        (
            settings_of({"bootstrap.servers": FAR, "security.protocol": "SASL_PLAINTEXT"}),
            "kafka",
            "sasl_plaintext to kafka-1:9092 is in clear",
        ),
        (
            settings_of({"bootstrap.servers": FAR, **TLS, "enable.ssl.certificate.verification": False}),
            "kafka",
            "kafka.enable.ssl.certificate.verification is false: kafka-1:9092 may be anybody",
        ),
        (
            settings_of({"bootstrap.servers": FAR, **TLS, "ssl.endpoint.identification.algorithm": "none"}),
            "kafka",
            "kafka.ssl.endpoint.identification.algorithm is none: kafka-1:9092 may be anybody",
        ),
        (
            settings_of({**TLS, "sasl.oauthbearer.token.endpoint.url": "http://login.example/token"}),
            "kafka",
            "the client secret would travel in clear; write https://",
        ),
        (settings_of(redis="redis://:geheim@cache:6379/0"), "redis", "is in clear"),
        (settings_of(redis="redis://127.evil.example/0"), "redis", "is in clear"),
        (settings_of(redis="rediss://cache/0?ssl_cert_reqs=none"), "redis", "cache may be anybody"),
        (settings_of(redis="rediss://cache/0?ssl_check_hostname=false"), "redis", "cache may be anybody"),
        (settings_of(metrics={"host": "0.0.0.0"}), "metrics", "reads the numbers of every model"),
    ],
)
def test_what_others_can_read_or_answer_is_refused_unless_it_is_said_to_be_fine(
    settings: Settings, link: Link, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        require_private(settings, link)
    assert said in str(error.value)
    assert f"--insecure, security.insecure: [{link}] or DRIFTSTREAM_INSECURE={link}" in str(error.value)
    assert "\n" not in str(error.value)
    assert "geheim" not in str(error.value)
    values = settings.model_dump(mode="json", by_alias=True)
    values["redis"]["url"] = settings.redis.url.get_secret_value()
    require_private(parse_settings({**values, "security": {"insecure": [link]}}), link)
    other: Link = "redis" if link != "redis" else "kafka"
    with pytest.raises(ConfigError):
        require_private(parse_settings({**values, "security": {"insecure": [other]}}), link)


def test_tls_and_a_token_need_nothing_more() -> None:
    settings = settings_of(
        {"bootstrap.servers": FAR, **TLS}, "rediss://cache/0", metrics={"host": "::", "token": "t" * 16}
    )
    for link in LINKS:
        require_private(settings, link)


def test_no_client_is_made_for_a_link_that_is_refused() -> None:
    settings = settings_of({"bootstrap.servers": FAR}, "redis://cache/0")
    for make in (consumer_config, producer_config, faust_credentials, redis_client):
        with pytest.raises(ConfigError, match="in clear"):
            make(settings)


def test_the_option_and_the_variable_say_it_for_every_link(tmp_path: Path) -> None:
    config = tmp_path / "driftstream.yaml"
    config.write_text(
        f"kafka: {{bootstrap.servers: '{FAR}'}}\nredis: {{url: redis://cache}}\n"
        "models: {m: {learn: 24h}}\nsecurity: {insecure: [redis]}\n"
    )
    assert load_settings(config, environ={}).security.insecure == ("redis",)
    assert load_settings(config, environ={"DRIFTSTREAM_INSECURE": "kafka"}).security.insecure == (
        "kafka",
        "redis",
    )
    assert load_settings(config, environ={"DRIFTSTREAM_INSECURE": "true"}).security.insecure == LINKS
    assert load_settings(config, environ={"DRIFTSTREAM_SECURITY__INSECURE": ""}).security.insecure == ()
    with pytest.raises(ConfigError, match="DRIFTSTREAM_INSECURE is 'maybe'; write true, or some of kafka"):
        load_settings(config, environ={"DRIFTSTREAM_INSECURE": "maybe"})
    assert main(["config", "validate", "--config", str(config)]) == 2
    assert main(["config", "validate", "--config", str(config), "--insecure"]) == 0


def test_events_go_to_another_machine_by_tls_or_when_it_is_said_to_be_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n1\n")
    assert main(["emit", str(rows), "--model", "m", "--rate", "1", "--bootstrap-servers", FAR]) == 2
    assert "--bootstrap-servers kafka-1:9092: plaintext to another machine" in capsys.readouterr().err
    require_loopback(NEAR)


def test_a_certificate_that_is_not_there_is_named_with_its_setting() -> None:
    settings = parse_settings(
        {
            "kafka": {"bootstrap.servers": NEAR, **TLS, "ssl.ca.location": "/none/ca.pem"},
            "redis": {"url": "rediss://h", "ca": "/none/ca.pem"},
        }
    )
    with pytest.raises(ConfigError, match=r"redis.ca /none/ca.pem is no file"):
        redis_client(settings)
    with pytest.raises(ConfigError, match=r"kafka: ssl.ca.location .* cannot be used: No such file"):
        faust_credentials(settings)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({**TLS, "sasl.mechanism": "GSSAPI"}, "does not speak sasl.mechanism GSSAPI; use PLAIN, SCRAM"),
        ({**TLS, "sasl.mechanism": "OAUTHBEARER"}, "OAUTHBEARER needs sasl.oauthbearer.method: oidc"),
        (
            {**TLS, "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc"},
            "OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id",
        ),
        ({**TLS, "ssl.keystore.location": "k.p12"}, "does not read ssl.keystore.location; write it as PEM"),
    ],
)
def test_what_the_evaluator_does_not_speak_is_refused_with_what_to_write(
    properties: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        faust_credentials(settings_of(properties))
    assert said in str(error.value)
