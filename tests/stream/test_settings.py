from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.errors import ConfigError
from stream.settings.configuration import load_settings, parse_settings
from tests.stream.settings_files import SMALLEST, error_of, settings_of


def mapping(**sections: Any) -> dict[str, Any]:
    return {"kafka": {"bootstrap.servers": "b:9092"}, "redis": {"url": "redis://h/0"}, **sections}


def test_the_smallest_file_gives_the_documented_defaults(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, SMALLEST)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.topics.alerts == "drift.alerts"
    assert settings.ingest.flush_interval_ms == 250
    assert settings.ingest.buffer_bytes == 16 * 2**20
    assert settings.time.restate_for_ms == 3_600_000
    assert settings.alerts.renotify_ms == 4 * 3_600_000
    assert settings.metrics.port == 9464


def test_a_model_spec_merges_the_defaults(tmp_path: Path) -> None:
    spec = settings_of(tmp_path, SMALLEST + "defaults: {window: 10m, arl: 500}\n").model_spec("loan-approval")
    assert (spec.window_ms, spec.slide_ms, spec.pane_ms, spec.grace_ms) == (600_000, 60_000, 60_000, 30_000)
    assert (spec.min_samples, spec.min_effect, spec.arl) == (50, 0.1, 500)
    assert spec.references == (tmp_path / "references/loan-approval-v2.json",)


@pytest.mark.parametrize(
    ("defaults", "model", "slide_ms"),
    [
        ({}, {"window": "10s"}, 10_000),
        ({"window": "30s"}, {}, 30_000),
        ({"window": "30s"}, {"slide": "10s"}, 10_000),
        ({"window": "5m", "slide": "5m"}, {"slide": "1m"}, 60_000),
    ],
)
def test_slide_is_a_minute_or_the_window_unless_given(
    defaults: dict[str, str], model: dict[str, str], slide_ms: int
) -> None:
    models = {"m": {"references": ["r.json"], **model}}
    assert parse_settings(mapping(defaults=defaults, models=models)).model_spec("m").slide_ms == slide_ms


def test_slide_divides_window(tmp_path: Path) -> None:
    assert error_of(tmp_path, SMALLEST + "    window: 90s\n") == (
        "driftstream.yaml:9: window 90s of loan-approval is not a multiple of slide 1m; "
        "set slide in models.loan-approval to 90s or a whole fraction of it"
    )
    assert error_of(tmp_path, SMALLEST + "defaults: {window: 1m, slide: 5m}\n").startswith(
        "driftstream.yaml:9: window 1m of loan-approval is not a multiple of slide 5m"
    )


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model 'loan_approval', did you mean 'loan-approval'"):
        settings_of(tmp_path, SMALLEST).model_spec("loan_approval")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("    widnow: 5m\n", "9: unknown key 'widnow' in models.loan-approval, did you mean 'window'?"),
        ("modles: {}\n", "9: unknown key 'modles' in the configuration, did you mean 'models'?"),
        (
            "limits: {zzz: 1}\n",
            "9: unknown key 'zzz' in limits; known: record_bytes, features, string_bytes, ",
        ),
        (
            "ingest: {flush_interval: 250}\n",
            "9: ingest.flush_interval is 250: must be a duration: a number with",
        ),
        ("ingest: {flush_interval: 0s}\n", "9: ingest.flush_interval is '0s': must be longer than 0s"),
        (
            "ingest: {buffer_bytes: 64mb}\n",
            "9: ingest.buffer_bytes is '64mb': must be a size in bytes, such as",
        ),
        ("ingest: {batch: true}\n", "9: ingest.batch is True: must be a number"),
        ("ingest: {batch: 0}\n", "9: ingest.batch is 0: must be greater than or equal to 1"),
        ("ingest: 5\n", "9: ingest must be a mapping of keys to values"),
        ("consumer: {protocol: new}\n", "9: consumer.protocol is 'new': must be 'classic' or 'consumer'"),
        (
            "consumer: {max_poll_interval: 5s}\n",
            "9: consumer needs max_poll_interval to be at least session_timeout",
        ),
        ("topics: {alerts: a b}\n", "9: topics.alerts is 'a b': must be a Kafka topic name"),
        ("topics: {alerts: labels}\n", "9: topics uses labels twice; every topic needs its own name"),
        ("topics:\n  alerts: inference.dlq\n", "9: topics uses inference.dlq twice"),
        ("    references: x\n", "9: key 'references' is given twice, first in line 7"),
        (
            "  b: {references: []}\n",
            "9: models.b.references is empty: reference files, one per model version",
        ),
        ("  b: {}\n", "9: models.b.references is missing: reference files, one per model version"),
        (
            "  b: {learn: 24h, references: [x]}\n",
            "9: models.b.learn is 1d beside references; keep one of the two",
        ),
        (
            "  b: {references: [x], features: {zip: {categorical: true}}}\n",
            "9: models.b.features.zip.categorical is for references that are learned; build the files with",
        ),
        ("  b: {learn: 0s}\n", "9: models.b.learn is '0s': must be longer than 0s"),
        (
            "  b: {learn: 15m}\n",
            "9: learn 15m of b is less than 20 slides of 1m; learn at least 20m, better a day or a week",
        ),
        (
            "  b: {learn: 24h, learn_rows: 10}\n",
            "9: models.b.learn_rows is 10: must be greater than or equal",
        ),
        (
            "  'b{}': {references: [x]}\n",
            "9: models.b{} must be 1 to 128 bytes of printable text without braces",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    error = error_of(tmp_path, SMALLEST + text)
    assert error.startswith(f"driftstream.yaml:{message}")
    assert "\n" not in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("group.id: x", "2: kafka.group.id cannot be set: set consumer.group"),
        (
            "enable.auto.commit: true",
            "2: kafka.enable.auto.commit cannot be set: offsets commit together with the",
        ),
        ("error_cb: x", "2: kafka.error_cb is not a librdkafka property; names are dotted"),
        ("sasl.username: [a]", "2: kafka.sasl.username is a list: must be text, a number, true or false"),
        ("bootstrap.server: x", "1: kafka needs bootstrap.servers, the brokers to start from"),
    ],
)
def test_the_kafka_map_takes_what_is_not_ours(tmp_path: Path, line: str, message: str) -> None:
    replaced = SMALLEST.replace("bootstrap.servers: 127.0.0.1:9092", line)
    text = (
        replaced
        if line.startswith("bootstrap")
        else replaced.replace("\nredis:", "\n  bootstrap.servers: b\nredis:")
    )
    assert error_of(tmp_path, text).startswith(f"driftstream.yaml:{message}")


def test_kafka_values_are_the_text_librdkafka_reads() -> None:
    kafka = {"bootstrap.servers": "b", "log.connection.close": False, "socket.timeout.ms": 500}
    assert parse_settings({**mapping(), "kafka": kafka}).kafka.reveal() == {
        "bootstrap.servers": "b",
        "log.connection.close": "false",
        "socket.timeout.ms": "500",
    }


def test_a_misspelt_required_key_is_one_error(tmp_path: Path) -> None:
    assert error_of(tmp_path, SMALLEST.replace("references:", "refernces:")) == (
        "driftstream.yaml:7: unknown key 'refernces' in models.loan-approval, did you mean 'references'?"
    )
    assert error_of(tmp_path, SMALLEST.replace("kafka:", "kafak:")) == (
        "driftstream.yaml:1: unknown key 'kafak' in the configuration, did you mean 'kafka'?"
    )


def test_a_missing_section_names_the_file(tmp_path: Path) -> None:
    assert error_of(tmp_path, "kafka: {bootstrap.servers: b}\n") == (
        "driftstream.yaml: redis is missing: where the state is kept"
    )


def test_several_errors_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    error = error_of(tmp_path, SMALLEST + "    arl: 0\ningest: {batch: x}\nx: 1\n").splitlines()
    assert error[0] == "driftstream.yaml: 3 errors"
    assert [line.split(": ")[0] for line in error[1:]] == [f"driftstream.yaml:{n}" for n in (9, 10, 11)]


def test_secrets_are_masked_everywhere_and_revealed_on_demand() -> None:
    settings = parse_settings(
        {
            "kafka": {"bootstrap.servers": "b", "sasl.password": "geheim", "ssl.key.password": "geheim"},
            "redis": {"url": "rediss://app:geheim@h/0", "password": "geheim"},
        }
    )
    shown = (
        repr(settings) + str(settings) + str(settings.model_dump(mode="json")) + str(settings.model_dump())
    )
    assert "geheim" not in shown
    assert "rediss://app:**********@h/0" in shown
    assert settings.kafka.reveal()["sasl.password"] == "geheim"
    assert settings.redis.url.get_secret_value() == "rediss://app:geheim@h/0"


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {bootstrap.servers: b, sasl.password: [geheim]}\nredis: {url: redis://h}\n",
        "kafka: {bootstrap.server: b, sasl.password: geheim}\nredis: {url: redis://h}\n",
        "kafka: {bootstrap.servers: b}\nredis: {url: 'http://:geheim@h'}\n",
        "kafka: {bootstrap.servers: b}\nredis: {url: redis://h, password: [geheim]}\n",
        "kafka: {bootstrap.servers: b}\nredis: {url: redis://h, password: geheim, pasword: geheim}\n",
    ],
)
def test_errors_never_hold_a_secret(tmp_path: Path, text: str) -> None:
    assert "geheim" not in error_of(tmp_path, text)


def test_no_file_at_all_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no driftstream.yaml in the working directory; .*--config FILE"):
        load_settings(None, {})


def test_the_topics_of_a_configuration() -> None:
    topics = parse_settings(mapping(topics={"labels": None})).topics
    assert topics.all == (
        "inference", "inference.dlq", "drift.panes", "drift.alerts", "drift.metrics", "drift.actions",
    )  # fmt: skip


def test_a_window_of_too_many_slides_is_refused_with_the_remedy() -> None:
    values = {
        "kafka": {"bootstrap.servers": "127.0.0.1:9092"},
        "redis": {"url": "redis://127.0.0.1:6379/0"},
        "models": {"m": {"references": ["m.json"], "window": "24h"}},
    }
    with pytest.raises(ConfigError, match=r"more than 1024 slides of 1m; set slide in models\.m"):
        parse_settings(values).model_spec("m")


def test_a_model_without_references_learns_them_as_the_defaults_say() -> None:
    spec = parse_settings(
        {**mapping(), "defaults": {"learn": "24h"}, "models": {"a": {}, "b": {"references": ["b.json"]}}}
    )
    assert (spec.model_spec("a").learn_ms, spec.model_spec("a").learn_rows) == (86_400_000, 100_000)
    assert spec.model_spec("b").learn_ms is None
    features = {"zip": {"categorical": True}, "age": {"min_effect": 0.1}}
    model = {"learn": "2h", "learn_rows": 5_000, "features": features}
    own = parse_settings({**mapping(), "models": {"a": model}})
    assert own.model_spec("a").categorical == {"zip"}
    assert own.model_spec("a").min_effects == {"age": 0.1}
    assert (own.model_spec("a").learn_ms, own.model_spec("a").learn_rows) == (7_200_000, 5_000)
