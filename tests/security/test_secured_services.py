"""Every way into Kafka and Redis that is promised, with exactly the rights that docs/security.md names."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from stream.cli import main
from tests.integration.pipeline import Pipeline, eventually, send, values
from tests.security.private_people import (
    FIELDS,
    KEY,
    assert_kept_as_promised,
    private_reference,
    private_rows,
)
from tests.security.rights import allow_kafka, allow_redis
from tests.security.secured import Secured, secured

pytestmark = pytest.mark.services

HOW = ("scram", "oauth", "mtls")
LABELLED = ("--label", "y", "--prediction", "said", "--score", "score")


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, kafka_parts: list[Path], redis_binary: str
) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("secured")) as found:
        allow_redis(found)
        yield found


@pytest.fixture
def pipelines(
    services: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Pipeline]]:
    """One pipeline for each way into Kafka, all on the one Redis by TLS."""
    secret = tmp_path / "redis-password"
    secret.write_text(services.secrets["redis"] + "\n")
    monkeypatch.setenv("DRIFTSTREAM_REDIS__PASSWORD_FILE", str(secret))
    with ExitStack() as stack:
        made, reference = {}, private_reference()
        for how in HOW:
            (directory := tmp_path / how).mkdir()
            made[how] = stack.enter_context(
                Pipeline(
                    directory,
                    services.kafka,
                    services.redis.url,
                    references={"m": [reference]},
                    partitions=2,
                )
            )
            document = yaml.safe_load(made[how].config.read_text())
            document["redis"] |= services.redis_section()
            document["kafka"] = getattr(services, how)()
            document["privacy"] = {"id_key": KEY, "fields": FIELDS}
            document["models"]["n"] = {"learn": "24h"}
            document["errors"] = {"letters": "place"}
            made[how].config.write_text(yaml.safe_dump(document))
            allow_kafka(services, made[how])
        yield made


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    """Run a command in this process; what it printed on either stream."""
    got = main(list(argv))
    out, err = capsys.readouterr()
    assert got == code, out + err
    return out + err


def test_a_worker_counts_and_judges_by_every_way_in_with_no_more_rights_than_the_page_names(
    services: Secured,
    pipelines: dict[str, Pipeline],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = tmp_path / "planted-rows.csv"  # which its ids begin with
    private_rows(rows)
    workers = {how: pipeline.worker(name=how) for how, pipeline in pipelines.items()}
    for how, pipeline in pipelines.items():
        workers[how].await_ready()
        config = str(pipeline.config)
        checked = json.loads(run(capsys, "check", "--config", config, "--output", "json"))
        assert checked["ok"], how
        with monkeypatch.context() as serving:
            for name, value in services.scram("serving").items():
                key = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
                serving.setenv(f"DRIFTSTREAM_KAFKA__{key}", value)
            emit = ("emit", str(rows), "--rate", "20", "--speedup", "max", "--config", config)
            run(capsys, *emit, *LABELLED, "--model", "m", "--model-version", "v1")
            if how == HOW[0]:
                run(capsys, *emit, *LABELLED, "--model", "n", "--model-version", "v1")
                run(capsys, *emit, "--model", "nobody's")
        send(pipeline.producer(), pipeline.topics["inference"], [(0, b"planted, and no event")])
        eventually(lambda p=pipeline: p.total("rejected") == 1, lambda w=workers[how]: w.log)  # type: ignore[misc]
        windows = pipeline.reader("metrics")
        eventually(lambda seen=windows: values(seen.poll()), lambda w=workers[how]: w.log)  # type: ignore[misc]
        status = json.loads(run(capsys, "status", "--config", config, "--output", "json"))
        assert len(status["workers"]) == 1
        assert status["kafka"] is None
        eventually(lambda p=pipeline: p.total("events", "labels") == 600, "the labels")  # type: ignore[misc]
        assert pipeline.total("events") == 600
        assert status["models"][0]["model"] == "m"
    run(
        capsys,
        "forget",
        "--config",
        str(pipelines["scram"].config),
        "--subject",
        "planted-rows:0",
        "--remember",
        "1d",
    )
    assert_kept_as_promised(pipelines["scram"])
    exposition = workers["scram"].get("/metrics")[1]
    assert 'model="m"' in exposition
    assert "nobody" not in exposition  # a name that events bring, not the configuration
    assert "planted" not in exposition
    for how, worker in workers.items():
        assert worker.stop(signal.SIGTERM) == 0, worker.log
        assert "planted" not in worker.log
        for line in worker.log.splitlines():
            assert "uthoriz" not in line, (how, line)
            assert not any(secret in line for secret in services.secrets.values()), (how, line)
    assert services.tokens.given >= 2  # one for librdkafka, one for Faust


def checked(capsys: pytest.CaptureFixture[str], config: Path, name: str) -> str:
    """The one line that ``driftstream check`` says of a service that cannot be used."""
    document = json.loads(run(capsys, "check", "--config", str(config), "--output", "json", code=3))
    (line,) = (each["detail"] for each in document["checks"] if each["status"] == "unreachable")
    (found,) = (each["name"] for each in document["checks"] if each["status"] == "unreachable")
    assert found == name
    assert "\n" not in line
    return str(line)


@pytest.mark.parametrize(
    ("how", "changed", "said"),
    [
        (
            "scram",
            {"sasl.password": "planted-wrong"},
            "invalid credentials with SASL mechanism SCRAM-SHA-512",
        ),
        ("scram", {"ssl.ca.location": "other-ca.pem"}, "certificate verify failed"),
        ("mtls", {"ssl.certificate.location": None, "ssl.key.location": None}, "certificate"),
        (
            "mtls",
            {"ssl.certificate.location": "stranger.chain.pem", "ssl.key.location": "stranger.key.pem"},
            "cert",
        ),
        ("oauth", {"sasl.oauthbearer.client.secret": "planted-wrong"}, "invalid_client"),
    ],
    ids=["password", "authority", "no-certificate", "certificate", "client-secret"],
)
def test_what_kafka_does_not_accept_is_told_in_one_line(
    services: Secured,
    how: str,
    changed: dict[str, str | None],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kafka = getattr(services, how)()
    for name, value in changed.items():
        if value is None:
            del kafka[name]
        else:
            kafka[name] = str(services.directory / value) if value.endswith(".pem") else value
    redis = {**services.redis_section(), "password": services.secrets["redis"]}
    config = tmp_path / "driftstream.yaml"
    config.write_text(yaml.safe_dump({"kafka": kafka, "redis": redis, "models": {"m": {"learn": "24h"}}}))
    line = checked(capsys, config, "kafka")
    assert said in line
    assert "mend the credentials and certificates under kafka" in line
    assert "planted" not in line
    if "sasl.password" in changed:
        rows = tmp_path / "rows.csv"
        rows.write_text("x\n1\n")
        emit = ("emit", str(rows), "--model", "m", "--rate", "1", "--config", str(config))
        assert said in run(capsys, *emit, code=3)


@pytest.mark.parametrize(
    ("changed", "said", "remedy"),
    [
        ({"password": "planted-wrong"}, "invalid username-password pair", "mend the password"),
        ({"ca": "other-ca.pem"}, "certificate verify failed", "mend redis.ca"),
        ({"certificate": "stranger.chain.pem", "key": "stranger.key.pem"}, "", "mend redis.ca"),
    ],
    ids=["password", "authority", "certificate"],
)
def test_what_redis_does_not_accept_is_told_in_one_line(
    services: Secured,
    changed: dict[str, str],
    said: str,
    remedy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {name: str(services.directory / v) if v.endswith(".pem") else v for name, v in changed.items()}
    redis = {**services.redis_section(), "password": services.secrets["redis"], **given}
    kafka = {"bootstrap.servers": services.kafka.bootstrap_servers}
    config = tmp_path / "driftstream.yaml"
    config.write_text(yaml.safe_dump({"kafka": kafka, "redis": redis, "models": {"m": {"learn": "24h"}}}))
    line = checked(capsys, config, "redis")
    assert said in line
    assert remedy in line
    assert "planted" not in line


def test_topics_are_created_by_who_may_and_by_nobody_else(
    services: Secured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = {"inference": "made-in", "labels": None, "alerts": "made-a", "metrics": "made-m"}
    document: dict[str, object] = {
        "kafka": services.scram("deployer"),
        "redis": {**services.redis_section(), "password": services.secrets["redis"]},
        "topics": {**topics, "actions": "made-x", "panes": "made-p"},
        "models": {"m": {"learn": "24h"}},
    }
    config = tmp_path / "driftstream.yaml"
    config.write_text(yaml.safe_dump(document))
    argv = ("topics", "create", "--config", str(config), "--partitions", "2")
    assert "grant Create on the topic" in run(capsys, *argv, code=3)
    for operation in ("CREATE", "DESCRIBE"):
        services.grant("deployer", operation, "TOPIC", "made-", "PREFIXED")
    assert "created  made-in, 2 partitions" in run(capsys, *argv)
    assert "exists" in run(capsys, *argv)


def test_a_host_that_the_certificate_does_not_name_is_refused(
    services: Secured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka = services.scram() | {
        "bootstrap.servers": services.kafka.listener("SASL_SSL").replace("localhost", "127.0.0.1")
    }
    redis = services.redis_section() | {
        "password": "x",
        "url": services.redis_url.replace("localhost", "127.0.0.1"),
    }
    config = tmp_path / "driftstream.yaml"
    config.write_text(yaml.safe_dump({"kafka": kafka, "redis": redis, "models": {"m": {"learn": "24h"}}}))
    out = run(capsys, "check", "--config", str(config), code=3)
    assert out.count("unreachable") == 2
    assert "mend the credentials and certificates under kafka" in out
    assert "mend redis.ca" in out
