"""``driftstream explain``: what a threshold is made of, where it came from, and what it can see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors import Monitor, Reference
from stream.cli import main

HOUR_MS = 3_600_000
CONFIG = """\
kafka: {bootstrap.servers: "b:9092"}
redis: {url: "redis://h/0"}
defaults:
  min_effect: 0.04
models:
  loans:
    references: [v1.json, v2.json]
    false_alarms: 1 per 30d
    features:
      age:
        min_effect: 0.2
  other: {references: [missing.json], arl: 500}
"""


def build(version: str, rows: int) -> Reference:
    rng = np.random.default_rng(5)
    times = 1_700_000_000_000 + np.arange(rows) * 15 * 60_000
    return Reference.build(
        {
            "age": rng.normal(40, 10, rows) + np.repeat(rng.normal(0, 3, rows // 4), 4),
            "income": rng.normal(50, 9, rows) + 9 * np.sin(2 * np.pi * (times // HOUR_MS % 24) / 24),
            "region": rng.choice(["north", "south", "east"], rows, p=[0.6, 0.3, 0.1]),
            "score": rng.random(rows),
            "label": rng.choice(["yes", "no"], rows),
        },
        window_rows=4,
        timestamps_ms=times,
        label="label",
        model="loans",
        version=version,
    )


@pytest.fixture(scope="module")
def references() -> dict[str, Reference]:
    return {version: build(version, rows) for version, rows in (("v1", 1200), ("v2", 4000))}


@pytest.fixture
def config(tmp_path: Path, references: dict[str, Reference], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for version, reference in references.items():
        (tmp_path / f"{version}.json").write_text(reference.to_json())
    path = tmp_path / "driftstream.yaml"
    path.write_text(CONFIG)
    return path


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    code = main(["explain", *argv])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def facts(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer(capsys, *argv, "--output", "json"))
    return told


def by_name(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in told["columns"]}


@pytest.mark.usefixtures("config")
def test_the_newest_version_is_explained_with_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(capsys, "--model", "loans")
    assert (told["model"], told["version"], told["sources"]) == ("loans", "v2", ["inference", "labels"])
    assert told["budget"] == {
        "model": "loans",
        "false_alarms": "1 per 30d",
        "arl": 43_200,
        "slide": "1m",
        "false_alarms_per_30d": 1.0,
        "from": "driftstream.yaml:8",
    }
    assert told["lookbacks"] == [1, 2, 3, 4, 5, 6, 8, 10, 12, 16]
    assert facts(capsys, "--model", "loans", "--model-version", "v1")["version"] == "v1"


@pytest.mark.usefixtures("config")
def test_every_smallest_effect_says_where_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTSTREAM_MODELS__LOANS__FEATURES__AGE__MIN_EFFECT", "0.25")
    columns = by_name(facts(capsys, "--model", "loans"))
    assert {name: (each["min_effect"], each["min_effect_from"]) for name, each in columns.items()} == {
        "age": (0.25, "environment variable DRIFTSTREAM_MODELS__LOANS__FEATURES__AGE__MIN_EFFECT"),
        "income": (0.04, "driftstream.yaml:4"),
        "region": (0.04, "driftstream.yaml:4"),
        "score": (0.02, "output: at most 0.02"),
        "label": (0.02, "output: at most 0.02"),
    }


@pytest.mark.usefixtures("config")
def test_the_parts_make_the_threshold_and_are_those_of_the_monitors(
    capsys: pytest.CaptureFixture[str], references: dict[str, Reference]
) -> None:
    columns = by_name(facts(capsys, "--model", "loans", "--rows", "200"))
    for source in ("inference", "labels"):
        part = references["v2"].for_source(source)
        assert part is not None
        own = {"age": 0.2} if source == "inference" else {}
        monitor = Monitor(part, arl=43_200, min_effect=0.04, min_effects=own, window_slices=5)
        one, ten = (monitor.smallest_shifts(rows=200, slices=count) for count in (1, 10))
        for name in part.names:
            column = columns[name]
            assert column["source"] == source
            assert column["smallest_visible"] == {"1": one[name], "10": ten[name]}
            assert column["threshold"] == one[name]
            parts = column["min_effect"] + column["lasting"] + column["sampling"]
            assert parts == pytest.approx(column["threshold"])
            assert column["looks"] == 10 * dict(zip(part.names, part.scores.per_column, strict=True))[name]


@pytest.mark.usefixtures("config")
def test_wander_and_season_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    columns = by_name(facts(capsys, "--model", "loans"))
    assert columns["age"]["between_share"] > 0.1
    assert columns["age"]["season"] == 0
    assert columns["age"]["lasting"] > 3 * columns["region"]["lasting"]
    assert columns["income"]["season"] > 1
    assert columns["region"]["watched"] == "north"


@pytest.mark.usefixtures("config")
def test_the_table_is_aligned_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lines = answer(capsys, "--model", "loans").splitlines()
    assert lines[1].startswith("loans: at most one false alarm in 43200 slides of 1m on average, 1 in 30d")
    assert lines[1].endswith("for each of inference and labels by itself")
    header = next(line for line in lines if line.startswith("column"))
    rows = lines[lines.index(header) + 1 : lines.index(header) + 6]
    age = by_name(facts(capsys, "--model", "loans"))["age"]
    assert rows[0].split()[:5] == [
        *("age", "feature", "location"),
        f"{age['threshold']:.3f}",
        f"{age['smallest_visible']['10']:.3f}",
    ]
    start = header.index("min_effect from")
    assert [row[start:] for row in rows[:2]] == ["driftstream.yaml:11", "driftstream.yaml:4"]


@pytest.mark.usefixtures("config")
def test_one_column_is_told_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    out = answer(capsys, "--model", "loans", "--feature", "age", "--rows", "500")
    assert "age: feature, numeric; the numbers are about its location\n" in out
    assert "  min_effect (driftstream.yaml:11)\n" in out
    assert "  chance in a slice of 500 rows\n" in out
    assert "smallest shift seen in 10 slices, half of the time\n" in out
    assert "region" not in out
    (column,) = facts(capsys, "--model", "loans", "--feature", "age")["columns"]
    assert column["name"] == "age"


@pytest.mark.usefixtures("config")
def test_a_reference_alone_is_explained_with_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    told = facts(capsys, "--reference", "v1.json")
    assert (told["budget"]["arl"], told["budget"]["from"]) == (10_000, "default")
    assert told["slice_rows"] == 50
    assert by_name(told)["age"]["min_effect"] == 0.05
    assert told["caveats"] == list(build("v1", 1200).caveats)
    configured = facts(capsys, "--reference", "v1.json", "--config", "driftstream.yaml")
    assert configured["budget"]["arl"] == 43_200
    assert by_name(configured)["age"]["min_effect"] == 0.2


@pytest.mark.usefixtures("config")
def test_show_says_what_explain_says_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    explained = by_name(facts(capsys, "--reference", "v2.json"))
    assert main(["reference", "show", "v2.json", "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["smallest_visible"] for each in shown["columns"]} == {
        name: each["smallest_visible"] for name, each in explained.items()
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "driftstream.yaml has 2 models: name one with --model"),
        (("--model", "loan"), "driftstream.yaml: no model 'loan', did you mean 'loans'?"),
        (
            ("--model", "loans", "--model-version", "v22"),
            "--model-version 'v22' is not one of loans, did you mean 'v2'?",
        ),
        (
            ("--model", "loans", "--feature", "agee"),
            "--feature 'agee' is not in the reference, did you mean 'age'?",
        ),
        (("--model", "other"), "driftstream.yaml:12: reference "),
        (("--reference", "none.json"), "no such file: none.json"),
        (
            ("--reference", "v1.json", "--model", "x"),
            "--model 'x': v1.json was built for 'loans'; leave the option out",
        ),
        (
            ("--reference", "v1.json", "--model-version", "v2"),
            "--model-version 'v2': v1.json was built for 'v1'; leave the option out",
        ),
    ],
)
@pytest.mark.usefixtures("config")
def test_what_cannot_be_explained_is_one_line(
    argv: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"driftstream: error: {message}")
    assert err.count("\n") == 1


def test_settings_of_a_column_that_another_reference_has_not_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("      age:", "      incom:"))
    for argv in (["--model", "loans"], ["--reference", "v1.json", "--config", "driftstream.yaml"]):
        assert main(["explain", *argv]) == 2
        assert capsys.readouterr().err == (
            "driftstream: error: driftstream.yaml:10: no reference of loans has a column 'incom', "
            "did you mean 'income'?\n"
        )


@pytest.mark.parametrize("rows", [5, 12])
def test_a_reference_of_a_few_rows_is_explained_too(
    tmp_path: Path, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"x": np.arange(rows) * 1.0, "same": ["a"] * rows, "gone": [None] * rows}
    reference = Reference.build(columns, window_rows=10, model="tiny", version="v1")
    (tmp_path / "tiny.json").write_text(reference.to_json())
    told = facts(capsys, "--reference", str(tmp_path / "tiny.json"))
    assert by_name(told)["x"]["between_share"] is None
    assert "?" in answer(capsys, "--reference", str(tmp_path / "tiny.json"))
