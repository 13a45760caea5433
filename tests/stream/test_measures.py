"""Measures: numbers about an answer that are no feature, watched for models whose labels take weeks."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from detectors import Monitor, Reference
from stream.cli import app
from stream.codec import JsonInferenceDecoder

ROWS = 8_000


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """The dwell time falls from row 6,000 on; nothing else changes."""
    rng = np.random.default_rng(4)
    dwell = rng.gamma(4.0, 10.0, ROWS)
    dwell[6_000:] *= 0.7
    return {"x": rng.normal(size=ROWS), "score": rng.uniform(size=ROWS), "dwell": dwell}


@pytest.fixture(scope="module")
def reference(rows: dict[str, np.ndarray]) -> Reference:
    known = {name: values[:4_000] for name, values in rows.items()}
    return Reference.build(known, window_rows=200, measures=("dwell",), model="m", version="v1")


def test_a_measure_that_moves_is_a_ticket(rows: dict[str, np.ndarray], reference: Reference) -> None:
    monitor = Monitor(reference)
    assert reference.roles == ("feature", "score", "measure")
    assert monitor.min_effects == {"x": 0.05, "score": 0.02, "dwell": 0.05}
    verdicts = [
        monitor.update({name: values[start : start + 200] for name, values in rows.items()})
        for start in range(5_000, 7_000, 200)
    ]
    assert [verdict.drifted_names for verdict in verdicts] == [()] * 5 + [("dwell",)] * 5
    assert {verdict.severity for verdict in verdicts[5:]} == {"ticket"}
    assert Reference.from_json(reference.to_json()).fingerprint == reference.fingerprint


def test_measures_are_read_from_their_own_object(reference: Reference) -> None:
    events = [
        {"measures": {"dwell": 12.5, "latency_ms": 3}, "features": {"x": 1, "dwell": 99}},
        {"measures": {"dwell": None}},
        {"features": {"dwell": 7}},
        {"measures": {"dwell": "long"}},
    ]
    values = [
        msgspec.json.encode({"prediction_id": str(i), "model": "m", "ts": 1_700_000_000_000, **event})
        for i, event in enumerate(events)
    ]
    batch = JsonInferenceDecoder({("m", "v1"): reference}).decode(values, [-1] * len(values))
    (block,) = batch.blocks
    order = np.argsort(block.rows)
    dwell = block.columns["dwell"][order]
    assert dwell[0] == 12.5
    assert np.isnan(dwell[1:3]).all()
    assert np.isinf(dwell[3])
    assert reference.count({}).cells.shape == reference.tally(block.columns)[0].cells.shape


def test_a_replay_of_a_file_with_measures(rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    file, stored = tmp_path / "rows.parquet", tmp_path / "reference.json"
    pl.DataFrame(rows).write_parquet(file)
    roles = ["--score", "score", "--measures", "dwell"]
    build = ["reference", "build", "--input", str(file), "--rows", "0:4000", "--window-rows", "200"]
    build += ["--model", "m", "--model-version", "v1", "--output", str(stored), *roles]
    assert CliRunner().invoke(app, build).exit_code == 0
    replay = ["replay", str(file), "--reference", str(stored), "--rows", "4000:8000", "--rate", "20"]
    replay += ["--window", "10s", "--output", "json"]
    result = CliRunner().invoke(app, [*replay, *roles])
    assert result.exit_code == 0, result.output
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [window["drifted"] for window in windows] == [[]] * 10 + [["dwell"]] * 10
    refused = CliRunner().invoke(app, [*replay, "--score", "score"])
    assert "watches measure 'dwell': name it with --measures" in str(refused.exception)
