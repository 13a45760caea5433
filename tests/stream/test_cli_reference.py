"""``driftstream reference build|show``: from a file of rows to a reference, and back to a reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from detectors import Reference
from stream.cli.reference import app
from stream.cli.reference_files import rows_per_window
from stream.codec import JsonInferenceDecoder, JsonLabelDecoder
from stream.errors import ConfigError
from stream.row_events import inference_events, paced_times
from stream.row_labels import label_events
from stream.rows import Roles, read_rows

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
MINUTE_MS = 60_000


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """6,000 rows, one a second, in time order."""
    rng = np.random.default_rng(5)
    n = 6000
    path = tmp_path / "loans.parquet"
    pl.DataFrame(
        {
            "at": [1_700_000_000_000 + 1000 * i for i in range(n)],
            "income": pl.Series(rng.normal(50, 9, n)).scatter([3, 7], None),
            "region": rng.choice(["north", "south"], n),
            "zip": rng.choice([10, 20, 30], n),
            "decision": rng.choice([0, 1], n),
            "p": rng.random(n),
            "repaid": rng.choice(["yes", "no"], n),
        }
    ).write_parquet(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def build(loans: Path, *options: str | Path) -> tuple[Result, Reference]:
    output = loans.with_suffix(".json")
    result = run(
        "build", "--input", loans, "--model", "m", "--model-version", "v1", *options, "--output", output
    )
    assert result.exception is None, result.exception
    return result, Reference.from_json(output.read_text())


def refused(loans: Path, *options: str | Path) -> str:
    output = loans.with_suffix(".json")
    result = run(
        "build", "--input", loans, "--model", "m", "--model-version", "v1", *options, "--output", output
    )
    assert isinstance(result.exception, ConfigError)
    assert not output.exists()
    assert "\n" not in str(result.exception)
    return str(result.exception)


ROLES = ("--timestamp", "at", "--prediction", "decision", "--score", "p", "--label", "repaid")


def test_columns_take_the_names_and_roles_of_the_events(loans: Path) -> None:
    _, reference = build(loans, *ROLES, "--window-rows", "200", "--categorical", "zip")
    assert (reference.model, reference.version) == ("m", "v1")
    assert dict(zip(reference.names, zip(reference.roles, reference.kinds, strict=True), strict=True)) == {
        "income": ("feature", "numeric"),
        "region": ("feature", "categorical"),
        "zip": ("feature", "categorical"),
        "prediction": ("prediction", "categorical"),
        "score": ("score", "numeric"),
        "label": ("label", "categorical"),
    }
    assert (reference.counts.n, reference.window_rows) == (6000, 200)
    assert not [caveat for caveat in reference.caveats if "timestamps" in caveat]


def test_only_the_rows_asked_for_are_counted(loans: Path) -> None:
    _, reference = build(loans, *ROLES, "--rows", "100:4100,5000:6000", "--window-rows", "100")
    assert reference.counts.n == 5000


def test_rows_are_put_in_the_order_of_their_timestamps(loans: Path) -> None:
    _, ordered = build(loans, *ROLES, "--window-rows", "200")
    result, swapped = build(loans, *ROLES, "--window-rows", "200", "--rows", "3000:6000,0:3000")
    assert swapped.fingerprint == ordered.fingerprint
    assert "goes back in time at 1 rows" in result.stderr


def test_without_timestamps_the_reference_says_so(loans: Path) -> None:
    result, reference = build(loans, "--features", "income,region", "--window-rows", "200")
    assert reference.names == ("income", "region")
    assert any("no timestamps" in caveat for caveat in reference.caveats)
    assert "caveat: no timestamps" in result.stdout


def test_a_window_becomes_the_median_rows_of_its_length(loans: Path) -> None:
    _, reference = build(loans, *ROLES, "--window", "5m", "--slide", "5m")
    assert reference.window_rows == 300


def test_windows_that_overlap_are_judged_slide_by_slide(loans: Path) -> None:
    _, reference = build(loans, *ROLES, "--window", "5m")
    assert reference.window_rows == 60


def test_the_median_window_ignores_the_cut_ones_at_both_ends() -> None:
    times = np.concatenate([np.arange(30) * 1000, MINUTE_MS + np.arange(5 * 60) * 1000])
    assert rows_per_window(len(times), times, window="1m", window_rows=None) == 60
    assert rows_per_window(len(times), times, window="5m") == 60
    assert rows_per_window(len(times), times, window="2m", slide="2m") == 120
    with pytest.raises(ConfigError, match="does not divide"):
        rows_per_window(len(times), times, window="5m", slide="2m")


@pytest.mark.parametrize(("rows", "expected"), [(10_000_000, 1000), (30_000, 500), (100, 50)])
def test_the_window_is_by_default_small_enough_for_sixty_of_them(rows: int, expected: int) -> None:
    assert rows_per_window(rows, None, window=None, window_rows=None) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--window", "5m"), "--window 5m needs --timestamp COL; without times give --window-rows N"),
        (("--window", "5m", "--window-rows", "9"), "give one of them"),
        (("--window", "5", "--timestamp", "at"), "--window '5' must be a duration"),
        (("--window", "0s", "--timestamp", "at"), "must be longer than 0"),
        (
            ("--label", "repayed"),
            "--label 'repayed' is not a column of loans.parquet: did you mean 'repaid'?",
        ),
        (
            ("--categorical", "zap"),
            "--categorical 'zap' is not a column of loans.parquet: did you mean 'zip'?",
        ),
        (("--score", "region"), "--score 'region' holds String: a score is a number"),
        (("--rows", "0:6001"), "rows 0:6001 are out of range: loans.parquet has 6000 rows"),
        (("--rows", "0:1"), "the reference has 1 rows: give at least 2"),
    ],
)
def test_a_wrong_option_is_one_line_with_its_remedy(
    loans: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in refused(loans, *options)


def test_a_feature_may_not_take_the_name_of_an_output(tmp_path: Path) -> None:
    path = tmp_path / "clash.csv"
    path.write_text("score,p\n1,2\n3,4\n")
    assert "feature 'score' and --score 'p' would share a name" in refused(path, "--score", "p")
    _, reference = build(path)
    assert dict(zip(reference.names, reference.roles, strict=True)) == {"score": "feature", "p": "feature"}


def test_the_file_is_replaced_whole_and_nothing_else_is_left(loans: Path, tmp_path: Path) -> None:
    build(loans, *ROLES)
    before = sorted(tmp_path.iterdir())
    _, reference = build(loans, "--features", "income")
    assert sorted(tmp_path.iterdir()) == before
    assert reference.names == ("income",)


def test_a_directory_that_is_not_there_is_named(loans: Path, tmp_path: Path) -> None:
    output = tmp_path / "none" / "ref.json"
    result = run("build", "--input", loans, "--model", "m", "--model-version", "v1", "--output", output)
    assert isinstance(result.exception, ConfigError)
    assert f"cannot write {output}: No such file or directory" in str(result.exception)


def test_show_gives_the_same_facts_to_readers_and_machines(loans: Path) -> None:
    built, reference = build(loans, *ROLES, "--window-rows", "200", "--rows", "0:600")
    text = run("show", loans.with_suffix(".json"))
    assert text.stdout.strip() in built.stdout
    assert f"m v1 ({reference.fingerprint})" in text.stdout
    shown: dict[str, Any] = json.loads(run("show", loans.with_suffix(".json"), "--output", "json").stdout)
    assert (shown["rows"], shown["window_rows"], shown["chunks"]) == (600, 200, reference.variation.chunks)
    assert shown["columns"][0] == {
        "name": "income",
        "role": "feature",
        "kind": "numeric",
        "missing": pytest.approx(2 / 600),
        "bins": int(reference.binning.value_cells[0]),
        "smallest_visible": {"1": pytest.approx(0.42, abs=0.15), "10": pytest.approx(0.2, abs=0.1)},
    }
    assert shown["power"] == {"arl": 10_000, "min_effect": 0.05, "slice_rows": 200}
    assert "column      role        kind         bins  missing  seen in 1  in 10\n" in text.stdout
    assert shown["caveats"] == list(reference.caveats)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("{}", "is not a reference"),
        ("\0", "is not a reference"),
        ("[1", "is not a reference"),
    ],
)
def test_what_is_no_reference_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "ref.json"
    if content is not None:
        path.write_text(content)
    result = run("show", path)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert str(path) in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_reference_of_real_rows(tmp_path: Path) -> None:
    path = SHARED / "insects_gradual_balanced.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    output = tmp_path / "insects.json"
    result = run(
        *("build", "--input", path, "--model", "insects", "--model-version", "v1", "--label", "cls"),
        *("--rows", "1500:6000", "--window-rows", "200", "--output", output),
    )
    assert result.exception is None, result.exception
    reference = Reference.from_json(output.read_text())
    assert (reference.counts.n, reference.window_rows, reference.variation.chunks) == (4500, 200, 22)
    assert reference.names == (*(f"att{i}" for i in range(1, 34)), "label")


def test_the_events_of_the_references_own_rows_give_its_own_counts(loans: Path) -> None:
    """What ties build, emit and replay together: a row counts the same from the file and from its event."""
    options = ("--prediction", "decision", "--score", "p", "--label", "repaid", "--categorical", "zip")
    _, reference = build(loans, *options, "--features", "income,region,zip")
    table = read_rows(loans)
    roles = Roles.of(
        table, features=["income", "region", "zip"], prediction="decision", score="p", label="repaid"
    )
    times = paced_times(len(table), 20, 1_577_836_800_000)
    events = list(inference_events(table, roles, times, model="m", version="v1"))
    labels = [record for record in label_events(table, roles, times, model="m") if record is not None]
    for decode, source, records in (
        (JsonInferenceDecoder, "inference", events),
        (JsonLabelDecoder, "labels", labels),
    ):
        batch = decode({("m", "v1"): reference}).decode(
            [r.value for r in records], [r.ts_ms for r in records]
        )
        assert (batch.rejected, batch.unknown, batch.ts_fallbacks) == ([], {}, 0)
        (block,) = batch.blocks
        own = reference.for_source(source)
        assert own is not None
        assert np.array_equal(own.binning.count(block.columns)[0], own.counts.cells)
        assert block.ts_ms.tolist() == [record.ts_ms for record in records]
