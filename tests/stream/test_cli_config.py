from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stream.cli import COMMANDS, main
from stream.settings.reference_page import configuration_page, configuration_schema

ROOT = Path(__file__).parents[2]
CONFIG = """\
kafka: {bootstrap.servers: "127.0.0.1:9092", sasl.password: geheim}
redis: {url: "redis://:geheim@127.0.0.1:6379/0"}
models:
  loan-approval: {references: [loan.json], window: 10s}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "driftstream.yaml"
    path.write_text(CONFIG)
    return path


def test_show_prints_what_is_in_effect_and_no_secret(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show"]) == 0
    out = capsys.readouterr().out
    shown = yaml.safe_load(out)
    assert "geheim" not in out
    assert shown["redis"]["url"] == "redis://:**********@127.0.0.1:6379/0"
    assert shown["ingest"]["flush_interval"] == "250ms"
    assert shown["models"] == {
        "loan-approval": {"references": [str(config.parent / "loan.json")], "window": "10s"}
    }


def test_show_speaks_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["kafka"]["sasl.password"] == "**********"


def test_show_takes_the_environment(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTSTREAM_METRICS__PORT", "9999")
    assert main(["config", "show", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["port"] == 9999


def test_a_typo_is_one_line_on_stderr_and_exit_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG.replace("window", "widnow"))
    assert main(["config", "validate"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "driftstream: error: driftstream.yaml:4: unknown key 'widnow' in models.loan-approval, "
        "did you mean 'window'?\n"
    )


def test_validate_names_a_missing_reference(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG.replace("sasl.password: geheim", "client.id: x"))
    assert main(["config", "validate"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("driftstream: error: driftstream.yaml:4: reference ")
    assert "driftstream reference build --model loan-approval" in err


def test_validate_lets_librdkafka_judge_the_kafka_map(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("sasl.password", "security.protcol"))
    assert main(["config", "validate"]) == 2
    assert capsys.readouterr().err == (
        "driftstream: error: driftstream.yaml:1: unknown key 'security.protcol' in kafka, "
        "did you mean 'security.protocol'?\n"
    )


def test_the_schema_accepts_the_file_and_refuses_a_typo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    values: dict[str, Any] = yaml.safe_load(CONFIG)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    values["models"]["loan-approval"]["widnow"] = "5m"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, schema)


def test_the_schema_writes_defaults_as_the_file_does() -> None:
    schema = json.loads(configuration_schema())
    assert schema["$defs"]["IngestSettings"]["properties"]["flush_interval"]["default"] == "250ms"
    assert schema["properties"]["defaults"]["default"]["window"] == "5m"


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text()
    assert committed == configuration_page(), (
        "run: driftstream config schema -o markdown > docs/configuration.md"
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["bogus"], "driftstream: error: No such command 'bogus'; see `driftstream --help`\n"),
        (
            ["version", "--bogus"],
            "driftstream: error: No such option: --bogus; see `driftstream version --help`\n",
        ),
        (
            ["config", "show", "-c", "nope.yaml"],
            "driftstream: error: nope.yaml: no such file; pass the configuration",
        ),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(message)


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: driftstream [OPTIONS] COMMAND")
    assert all(f"  {name} " in err for name in COMMANDS)


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import stream.check

    def interrupted(path: Path | None, *, insecure: bool) -> list[stream.check.Finding]:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream.check, "run_checks", interrupted)
    assert main(["check"]) == 130


def test_an_unexpected_error_shows_its_traceback_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import stream.check

    def broken(path: Path | None, *, insecure: bool) -> list[stream.check.Finding]:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(stream.check, "run_checks", broken)
    assert main(["check"]) == 1
    assert "ZeroDivisionError: by design" in capsys.readouterr().err


def test_version_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--output", "json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert {"driftstream", "python", "confluent-kafka", "decoder"} <= parts.keys()


def test_help_imports_nothing_heavy() -> None:
    heavy = [
        "confluent_kafka",
        "faust",
        "numpy",
        "polars",
        "redis",
        "river",
        "scipy",
        "stream.settings.configuration",
    ]
    code = f"import sys, stream.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream", "bogus"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "driftstream: error: No such command 'bogus'; see `driftstream --help`\n"
