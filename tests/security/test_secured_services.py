"""Every way into Kafka and Redis that is promised, with exactly the rights that docs/security.md names."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from redis import Redis

from detectors import Reference
from stream.cli import main
from stream.learning.reference_building import EventColumns, build_named
from stream.settings.privacy_section import PrivacySettings
from tests.integration.pipeline import Pipeline, eventually, send, values
from tests.security.secured import Secured, secured

pytestmark = pytest.mark.services

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()
HOW = ("scram", "oauth", "mtls")
KEY = "the key of the ids"
FIELDS = {"town": "hash", "mail": "mask"}
LABELLED = ("--label", "y", "--prediction", "said", "--score", "score")


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, kafka_parts: list[Path], redis_binary: str
) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("secured")) as found:
        allow_redis(found)
        yield found


def allow_redis(services: Secured) -> None:
    """Give the worker's account the rights of the page; the tests' prefixes start with ``ds``."""
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)
    words = line.replace(">PASSWORD", f">{services.secrets['redis']}").replace("~ds:", "~ds-").split()
    with Redis.from_url(services.redis.url) as admin:
        assert admin.execute_command(*words)


def allow_kafka(services: Secured, pipeline: Pipeline) -> None:
    """Grant what the page's ``kafka-acls`` lines say, for the topics and the group of the pipeline."""
    names = {"inference": "inference", "labels": "labels"} | {
        f"drift.{role}": role for role in pipeline.topics
    }
    lines = re.findall(r"^kafka-acls --add (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        words = iter(shlex.split(line))
        given: dict[str, list[str]] = {}
        for option, value in zip(words, words, strict=True):
            given.setdefault(option, []).append(value)
        (principal,) = given["--allow-principal"]
        for operation in given["--operation"]:
            for topic in given.get("--topic", []):
                stem, dlq, _ = topic.partition(".dlq")
                name = pipeline.topics[names[stem]] + dlq
                services.grant(principal.removeprefix("User:"), operation.upper(), "TOPIC", name)
            for group in given.get("--group", []):
                name = group.replace("driftstream", f"workers-{pipeline.prefix}")
                services.grant(principal.removeprefix("User:"), operation.upper(), "GROUP", name)


def private_rows(path: Path) -> dict[str, list[Any]]:
    """Rows of a model with labels, whose people are planted in two of its features."""
    rng = np.random.default_rng(7)
    score = np.round(rng.uniform(size=600), 3)
    rows: dict[str, list[Any]] = {
        "x": rng.normal(size=600).tolist(),
        "town": rng.choice(["planted-Ulm", "planted-Jena"], size=600).tolist(),
        "mail": [f"planted-{i}@example.org" for i in range(600)],
        "score": score.tolist(),
        "said": np.where(score > 0.5, "yes", "no").tolist(),
        "y": np.where(rng.uniform(size=600) < score, "yes", "no").tolist(),
    }
    path.write_text(
        "\n".join([",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))])
    )
    return rows


def private_reference() -> Reference:
    rows = private_rows(Path(os.devnull))
    columns = EventColumns(
        features={name: rows[name] for name in ("x", "town", "mail")},
        prediction=rows["said"],
        score=rows["score"],
        label=rows["y"],
    )
    privacy = PrivacySettings.model_validate({"id_key": KEY, "fields": FIELDS}).field_privacy
    return build_named(columns, window_rows=50, times_ms=None, privacy=privacy, model="m", version="v1")


def contents(client: Redis, name: bytes) -> bytes:
    """Everything that a key holds."""
    kind = client.type(name)
    if kind == b"hash":
        return b"\n".join(part for pair in client.hgetall(name).items() for part in pair)
    if kind == b"zset":
        return b"\n".join(client.zrange(name, 0, -1))
    return b"\n".join(client.lrange(name, 0, -1)) if kind == b"list" else client.get(name) or b""


def assert_kept_as_promised(pipeline: Pipeline) -> None:
    """Every key of Redis expires, or the page names it; none holds an id or a value that a rule changes."""
    rows = re.findall(r"^\| `ds:(\S+)` \|", PAGE, re.MULTILINE)
    assert len(rows) == 16
    known = [re.compile(re.sub("TOPIC|P(?=})|M(?=})", "[^:]+", row.replace("{", r"\{"))) for row in rows]
    with Redis.from_url(pipeline.redis_url) as client:
        names = list(client.scan_iter(match=f"{pipeline.prefix}:*", count=1_000))
        kinds = {name.decode().removeprefix(pipeline.prefix + ":"): client.pttl(name) for name in names}
        forever = [name for name, ttl_ms in kinds.items() if ttl_ms < 0]
        assert [name for name in forever if not any(each.fullmatch(name) for each in known)] == []
        assert {name.rpartition(":")[2] for name in forever} >= {
            "cursor",
            "state",
            "join",
            "learning",
            "strata",
        }
        assert any(":pending:" in name for name in kinds)
        assert any(":pane:" in name for name in kinds)
        everything = b"\n".join([*names, *(contents(client, name) for name in names)])
    letters = pipeline.reader("inference.dlq").poll()
    assert [letter.value() for letter in letters] == [b""]
    everything += b"\n".join(bytes(value) for _, value in letters[0].headers() or [])
    for role in ("metrics", "alerts"):
        everything += b"\n".join(record.value() or b"" for record in pipeline.reader(role).poll())
    assert b"***" in everything or b"#" in everything
    assert b"planted" not in everything


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
