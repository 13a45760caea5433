"""``driftstream replay``: options, what is printed and written, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from detectors import Reference
from stream.cli import app, main
from stream.errors import ConfigError
from tests.stream.loan_rows import T0, columns, every, loan_reference

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
INSECTS = SHARED / "insects_gradual_balanced.parquet"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return loan_reference()


@pytest.fixture
def files(tmp_path: Path, reference: Reference) -> tuple[Path, Path]:
    """3,000 rows, ten a second, the last 1,000 shifted; and their reference, without the label."""
    values = columns(3000)
    values["age"][2000:] = [value + 15 for value in values["age"][2000:]]
    values["at"] = every(100, 3000).tolist()
    data, stored = tmp_path / "loans.parquet", tmp_path / "ref.json"
    pl.DataFrame(values).write_parquet(data)
    part = reference.for_source("inference")
    assert part is not None
    stored.write_text(part.to_json())
    return data, stored


def replay(files: tuple[Path, Path], *options: str | Path) -> Result:
    arguments = ["replay", files[0], "--reference", files[1], *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


TIMED = ("--rate", "10", "--window", "10s")
JSON = ("--output", "json")


def test_json_is_one_window_a_line(files: tuple[Path, Path]) -> None:
    result = replay(files, *TIMED, *JSON, "--rows", "0:1000,2000:3000")
    assert result.exit_code == 0, result.output
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [w["n"] for w in windows] == [100] * 20
    assert windows[0]["window_start_ms"] == 1_577_836_800_000
    assert [w["status"] for w in windows[:10]] == ["ok"] * 10
    assert windows[10]["status"] == "drift"
    assert set(windows[10]["features"]["age"]) >= {"effect", "p_value", "psi", "ks", "drifted"}
    assert {"model", "version", "window_end_ms", "drifted", "source", "closed_by"} <= windows[0].keys()
    assert replay(files, *TIMED, *JSON, "--rows", "0:1000,2000:3000").stdout == result.stdout


def test_the_column_of_times_decides_where_given(files: tuple[Path, Path]) -> None:
    result = replay(files, "--timestamp", "at", "--window", "20s", "--slide", "10s", *JSON)
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    assert windows[0]["window_end_ms"] == T0 + 10_000
    assert [w["n"] for w in windows] == [100] + [200] * 29 + [100]


def test_start_says_when_the_first_row_happened(files: tuple[Path, Path]) -> None:
    result = replay(files, *TIMED, *JSON, "--rows", "0:100", "--start", "2024-02-29T12:00:00+02:00")
    assert json.loads(result.stdout)["window_start_ms"] == 1_709_200_800_000


def test_fail_on_drift_exits_with_1_on_drift_only(files: tuple[Path, Path]) -> None:
    assert replay(files, *TIMED, "--fail-on-drift").exit_code == 1
    assert replay(files, *TIMED, "--fail-on-drift", "--rows", "0:2000").exit_code == 0
    assert replay(files, *TIMED).exit_code == 0


def test_text_is_a_line_a_window_then_the_alerts_and_a_summary(files: tuple[Path, Path]) -> None:
    lines = replay(files, *TIMED).stdout.splitlines()
    assert lines[0] == "2020-01-01T00:00:00Z       100  ok"
    assert lines[20] == "2020-01-01T00:03:20Z       100  drift            age"
    assert lines[21] == "  firing ticket data_drift: loans v2: the distribution of input features moved (age)"
    assert lines[-1] == (
        "3000 events in 30 windows: 10 drift, 20 ok; first drift in the window from 2020-01-01T00:03:20Z"
    )


def test_alerts_go_to_a_file_as_json_lines(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = replay(files, *TIMED, *JSON, "--alerts", tmp_path / "alerts.jsonl")
    assert all("evidence" not in json.loads(line) for line in result.stdout.splitlines())
    (alert,) = map(json.loads, (tmp_path / "alerts.jsonl").read_text().splitlines())
    assert alert["labels"]["alertname"] == "data_drift"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/data_drift.md"


def test_a_configuration_gives_the_defaults_and_options_come_first(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    config = tmp_path / "driftstream.yaml"
    config.write_text(
        "kafka: {bootstrap.servers: 127.0.0.1:1}\nredis: {url: redis://127.0.0.1:1/0}\n"
        "defaults: {window: 20s, slide: 10s, grace: 0s}\n"
        "models: {loans: {references: [ref.json], min_samples: 5000}}\n"
    )
    told = replay(files, "--rate", "10", *JSON, "--config", config)
    windows = [json.loads(line) for line in told.stdout.splitlines()]
    assert {w["status"] for w in windows} == {"not_enough_data"}
    assert len(windows) == 31
    said = replay(files, "--rate", "10", *JSON, "-c", config, "--min-samples", "50", "--window", "30s")
    windows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [w["n"] for w in windows] == [300] * 10
    assert windows[-1]["status"] == "drift"


def test_rows_out_of_order_and_late_rows_are_told_on_stderr(files: tuple[Path, Path]) -> None:
    result = replay(
        files, "--timestamp", "at", "--window", "1s", "--grace", "0s", *JSON, "--rows", "2000:3000,0:100"
    )
    assert "goes back in time at 1 rows" in result.stderr
    assert "note: " not in result.stdout
    assert all(json.loads(line) for line in result.stdout.splitlines())


def test_labels_are_replayed_when_their_column_is_named(
    files: tuple[Path, Path], reference: Reference
) -> None:
    files[1].write_text(reference.to_json())
    plain = [json.loads(line) for line in replay(files, *TIMED, *JSON).stdout.splitlines()]
    assert {window["source"] for window in plain} == {"inference"}
    result = replay(files, *TIMED, *JSON, "--label", "repaid", "--label-delay", "50")
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    labels = [window for window in windows if window["source"] == "labels"]
    assert sum(window["n"] for window in labels) == 3000
    assert labels[0]["n"] == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--window", "10s"), "give one of --timestamp COL and --rate"),
        ((*TIMED, "--timestamp", "at"), "give one of --timestamp COL and --rate"),
        (("--timestamp", "at", "--start", "2020-01-01"), "--start and --timestamp both say"),
        (("--timestamp", "att"), "--timestamp 'att' is not a column of loans.parquet: did you mean 'at'"),
        (("--rate", "0"), "--rate 0.0 must be a number above 0"),
        (("--rate", "1e-12"), "beyond the year 9999"),
        (("--rate", "10", "--window", "10"), "--window '10' must be a duration"),
        (("--rate", "10", "--window", "0s"), "must be longer than 0s"),
        ((*TIMED, "--slide", "3s"), "--slide 3s does not divide the window of 10s"),
        (("--rate", "10", "--window", "1d", "--slide", "1s"), "86400 panes: 1024 are the most"),
        ((*TIMED, "--features", "age"), "watches feature 'region'"),
        ((*TIMED, "--label", "repaid"), "has no label: build it with --label"),
        ((*TIMED, "--rows", "0:4000"), "rows 0:4000 are out of range"),
        ((*TIMED, "--alerts", "no/such/place"), "cannot write --alerts no/such/place"),
        ((*TIMED, "--config", "no.yaml"), "no.yaml"),
    ],
)
def test_a_wrong_option_is_one_line(
    files: tuple[Path, Path], options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(files[0]), "--reference", str(files[1]), *options]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_reference_that_does_not_fit_the_file_is_one_line(
    files: tuple[Path, Path], reference: Reference
) -> None:
    data, stored = files

    def refused(built: Reference, *options: str) -> str:
        stored.write_text(built.to_json())
        result = replay(files, *TIMED, *options)
        assert isinstance(result.exception, ConfigError), result.exception
        return str(result.exception)

    labels = reference.for_source("labels")
    assert labels is not None
    assert "watches labels only: name their column with --label" in refused(labels)
    values = columns(400) | {"p": np.linspace(0, 1, 400).tolist()}
    scored = Reference.build(values, window_rows=100, outputs=("p",), model="m", version="v")
    assert "watches the score: name its column with --score" in refused(scored)
    pl.read_parquet(data).rename({"age": "years", "region": "regions"}).write_parquet(data)
    assert "feature 'region' is not a column of loans.parquet: did you mean 'regions'?" in refused(
        Reference.build({"region": ["a", "b"] * 200}, window_rows=100, model="m", version="v")
    )


@pytest.mark.skipif(not INSECTS.exists(), reason="the shared data set is not here")
def test_a_real_change_is_found_and_nothing_before_it(tmp_path: Path) -> None:
    stored = tmp_path / "ref.json"
    build = ["reference", "build", "--input", str(INSECTS), "--model", "insects", "--model-version", "v1"]
    assert main([*build, "--rows", "1500:6000", "--window-rows", "200", "--output", str(stored)]) == 0
    spans = ("--rows", "6000:10000,15000:19000", "--rate", "20", "--window", "10s")
    first = replay((INSECTS, stored), *spans, *JSON)
    windows = [json.loads(line) for line in first.stdout.splitlines()]
    assert [w["n"] for w in windows] == [200] * 40
    assert {w["status"] for w in windows[:20]} == {"ok"}
    assert "drift" in {w["status"] for w in windows[20:23]}
    assert replay((INSECTS, stored), *spans, *JSON).stdout == first.stdout
