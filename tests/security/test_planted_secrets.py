"""No secret comes out: planted ones are looked for in everything that the commands print."""

from __future__ import annotations

import logging
import socketserver
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stream.cli import COMMANDS, main
from stream.errors import DriftstreamError
from stream.kafka_config import validate_kafka
from stream.preflight import redis_client, require_redis
from stream.settings.configuration import Settings, load_settings
from tests.security.identities import Authority, password

NOBODY = "127.0.0.1:1"


class _Garbage(socketserver.BaseRequestHandler):
    """Says what is no TLS: the client gives up at once."""

    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(b"no, this is not TLS\n" * 4)


@pytest.fixture(scope="module")
def garbage() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Garbage) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def planted(tmp_path: Path, garbage: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A configuration full of secrets from every source, and the secrets."""
    client = Authority.made(tmp_path, "ca").issue("client")
    key = client.key.read_text()
    secrets = {
        name: password() for name in ("in-file", "url", "by-variable", "token", "id", "client", "phrase")
    }
    config = tmp_path / "driftstream.yaml"
    document = {
        "kafka": {
            "bootstrap.servers": garbage,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "app",
            "sasl.password": secrets["in-file"],
            "ssl.key.password": secrets["phrase"],
            "ssl.key.pem": key,
            "ssl.certificate.pem": client.chain.read_text(),
        },
        "redis": {"url": f"redis://app:{secrets['url']}@{NOBODY}/0"},
        "metrics": {"port": 0},
        "models": {"m": {"learn": "24h"}},
    }
    config.write_text(yaml.safe_dump(document))
    for name in ("token", "id"):
        (tmp_path / name).write_text(secrets[name] + "\n")
    monkeypatch.setenv("DRIFTSTREAM_METRICS__TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("DRIFTSTREAM_PRIVACY__ID_KEY_FILE", str(tmp_path / "id"))
    monkeypatch.setenv("DRIFTSTREAM_REDIS__PASSWORD", secrets["by-variable"])
    monkeypatch.setenv("DRIFTSTREAM_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET", secrets["client"])
    return config, [*secrets.values(), key.splitlines()[1]]


def none_of(secrets: list[str], text: str) -> None:
    assert text
    assert [secret for secret in secrets if secret in text] == []


def test_every_source_is_read(planted: tuple[Path, list[str]]) -> None:
    settings = load_settings(planted[0])
    assert settings.metrics.token is not None
    assert settings.privacy.id_key is not None
    held = [*settings.kafka.reveal().values(), settings.metrics.token.get_secret_value()]
    held += [settings.redis.url.get_secret_value(), settings.privacy.id_key.get_secret_value()]
    held += [settings.redis.password.get_secret_value() if settings.redis.password else ""]
    for secret in planted[1]:
        assert any(secret in value for value in held)


@pytest.mark.parametrize(
    "words",
    [
        "config show",
        "config show --output json",
        "config validate",
        "check",
        "status",
        "topics create",
        "worker",
        "worker --only evaluate",
        "emit rows.csv --model m --rate 1",
        "reference show m",
    ],
)
def test_no_command_prints_one(
    words: str,
    planted: tuple[Path, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, secrets = planted
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("x\n1\n")
    assert words.split(maxsplit=1)[0] in COMMANDS
    with caplog.at_level(logging.DEBUG):
        main([*words.split(), "--config", str(config)])
    none_of(secrets, "".join(capsys.readouterr()))
    none_of(secrets, caplog.text + ".")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka": {"security.protocol": "sasl_ssll"}},
        {"kafka": {"sasl.pasword": "SECRET"}},
        {"kafka": {"sasl.password": ["SECRET"]}},
        {"kafka": {"ssl.key.pem": "SECRET", "security.protocol": "ssl"}},
        {"redis": {"url": "redis://app:SECRET/0"}},
        {"redis": {"url": "redis://app:SECRET@h:port/0"}},
        {"redis": {"url": "http://app:SECRET@h/0"}},
        {"redis": {"url": "rediss://app:SECRET@h:99999/0?ssl_password=SECRET"}},
        {"metrics": {"token": "SECRET"}},
        {"privacy": {"id_key": "SECRET" * 20}},
        {"privacy": {"id_kye": "SECRET"}},
    ],
    ids=str,
)
def test_no_error_of_a_wrong_configuration_quotes_one(
    wrong: dict[str, dict[str, object]],
    planted: tuple[Path, list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, secrets = planted
    for section in ("METRICS__TOKEN", "PRIVACY__ID_KEY"):
        monkeypatch.delenv(f"DRIFTSTREAM_{section}_FILE")
    document = yaml.safe_load(config.read_text())
    for section, values in wrong.items():
        document[section] = {**document.get(section, {}), **values}
    config.write_text(yaml.safe_dump(document).replace("SECRET", "SeCrEt1"))
    assert main(["check", "--config", str(config)]) == 2
    none_of([*secrets, "SeCrEt1"], "".join(capsys.readouterr()))


def test_no_representation_or_traceback_holds_one(planted: tuple[Path, list[str]]) -> None:
    settings = load_settings(planted[0])
    none_of(planted[1], f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}")
    for broken in (_without_redis, _without_kafka, _without_anything):
        with pytest.raises((DriftstreamError, ZeroDivisionError)) as error:
            broken(settings)
        told = "".join(traceback.format_exception(error.value))
        none_of(planted[1], told)
        none_of(planted[1], repr(redis_client(settings)))


def _without_redis(settings: Settings) -> None:
    require_redis(settings, timeout_s=0.2)


def _without_kafka(settings: Settings) -> None:
    kafka = settings.kafka.model_validate({**settings.kafka.reveal(), "security.protocol": "sasl_ssll"})
    validate_kafka(settings.model_copy(update={"kafka": kafka}))


def _without_anything(settings: Settings) -> None:
    raise ZeroDivisionError(f"{settings.redis} and {settings.kafka}")
