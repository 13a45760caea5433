"""The lines of a replay for a reader, where labels are joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from detectors import Reference
from stream.cli import app
from stream.cli.options import Output
from stream.cli.replay_output import Report, performance_text, window_line
from stream.records import WindowRecord
from stream.replay import METRICS
from stream.replay_intake import Totals

REALIZED = {"accuracy": 0.828, "n": 250, "coverage": 1.0, "final": True}
ESTIMATED = {"accuracy": 0.997, "standard_error": 0.001}


def record(**changes: Any) -> WindowRecord:
    fields: dict[str, Any] = {
        "model": "m",
        "version": "1",
        "source": "inference",
        "window_start_ms": 1_760_000_000_000,
        "window_end_ms": 1_760_000_010_000,
        "n": 250,
        "status": "ok",
        "severity": "none",
        "drifted": [],
        "features": {},
        "performance": {"realized": REALIZED, "estimated": ESTIMATED},
    }
    return WindowRecord(**fields | changes)


def told(**changes: Any) -> str:
    return " ".join(window_line(record(**changes)).split()[3:])


def test_line_of_a_window_has_its_accuracy_and_what_was_estimated() -> None:
    assert told() == "accuracy 0.8280 of 250 labels, estimated 0.9970"
    assert told(performance={"estimated": ESTIMATED}) == "accuracy estimated 0.9970"
    unlabelled = {"realized": {"accuracy": None, "n": 0, "final": False}, "estimated": {}}
    assert told(performance=unlabelled) == ""


def test_line_of_a_regression_has_its_mae() -> None:
    performance = {"realized": {"rmse": 9.0, "mae": 1234.5678, "n": 9}, "estimated": {"mae": 0.001234}}
    assert performance_text(record(performance=performance)) == "mae 1235 of 9 labels, estimated 0.001234"


def test_window_restated_by_labels_is_marked_and_names_what_had_drifted() -> None:
    line = told(status="drift", drifted=["x", "y"], revision=3, closed_by="labels")
    assert line == "x, y accuracy 0.8280 of 250 labels, estimated 0.9970 [labels, final]"


def test_restated_windows_are_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(Output.TEXT)
    early = {"realized": {**REALIZED, "n": 50, "final": False}, "estimated": ESTIMATED}
    for each in (
        record(performance={"estimated": ESTIMATED}),
        record(revision=1, closed_by="late"),
        record(revision=2, closed_by="labels", performance=early),
        record(revision=3, closed_by="labels"),
    ):
        report.show(each.to_message(METRICS))
    report.close(Totals(counted=500))
    *lines, _, summary = capsys.readouterr().out.splitlines()
    assert [line.rsplit("  ", 1)[-1] for line in lines][1:] == ["[revision 1]", "[labels, final]"]
    assert summary == "500 events in 1 windows: 1 ok; 1 restated; 2 restated by labels, 1 of them final"


def test_replay_of_labels_that_come_late_ends_with_final_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    score = np.round(rng.uniform(size=3000), 4)
    rows: dict[str, Any] = {"x": score, "prediction": score > 0.5, "score": score}
    rows = {name: column.astype(float) for name, column in rows.items()}
    rows["label"] = (rng.uniform(size=3000) < score).astype(float)
    rows["label"][2000:] = 1.0 - rows["label"][2000:]  # the concept is turned round, the features are not
    reference = Reference.build(
        {name: column[:1500] for name, column in rows.items()},
        window_rows=100,
        outputs=("score",),
        prediction="prediction",
        label="label",
        model="m",
        version="1",
    )
    (tmp_path / "r.json").write_text(reference.to_json())
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    options = "--rows 1500:3000 --rate 10 --window 10s --prediction prediction --score score --label label"
    command = ["replay", str(tmp_path / "rows.parquet"), "--reference", str(tmp_path / "r.json")]
    result = CliRunner().invoke(app, [*command, *options.split(), "--label-delay", "200"])
    assert result.exit_code == 0, result.output
    final = [line for line in result.stdout.splitlines() if line.endswith("[labels, final]")]
    accuracy = [float(line.partition("accuracy ")[2].split()[0]) for line in final]
    assert len(final) == 15
    assert min(accuracy[:5]) > 0.6 > 0.4 > max(accuracy[5:])
    assert all("of 100 labels, estimated 0.7" in line for line in final)
    assert "firing page concept_drift" in result.stdout
    assert result.stdout.endswith("15 of them final\n")
