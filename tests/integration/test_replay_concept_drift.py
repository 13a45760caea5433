"""Elec2 with labels flipped from some row on: told by the labels as soon as by ADWIN, features silent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from river.drift import ADWIN
from sklearn.naive_bayes import GaussianNB

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "elec2.parquet"
FEATURES = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
TRAINED, KNOWN, FLIPPED, END, WINDOW = 10_000, 25_000, 35_000, 40_000, 50

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="elec2.parquet is not here")


def driftstream(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "stream", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flipped(points: float, seed: int, path: Path) -> np.ndarray:
    """Write shuffled rows with a model's answers; its errors rise by so much at row 35,000. The errors."""
    rng = np.random.default_rng(seed)
    rows = pl.read_parquet(DATA).sample(fraction=1.0, shuffle=True, seed=seed)[:END]
    x = rows.select(FEATURES).to_numpy()
    truth = (rows["class"] == "UP").to_numpy().astype(int)
    probability = GaussianNB().fit(x[:TRAINED], truth[:TRAINED]).predict_proba(x)[:, 1]
    said = (probability > 0.5).astype(int)
    right = said == truth
    flip = (np.arange(END) >= FLIPPED) & right & (rng.uniform(size=END) < points / right.mean())
    label = np.where(flip, 1 - truth, truth)
    columns = {"p": probability, "said": said, "truth": label}
    rows.select(FEATURES).with_columns(**{k: pl.Series(v) for k, v in columns.items()}).write_parquet(path)
    return said != label


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_flipped_labels_are_concept_drift_and_the_features_stay_silent(tmp_path: Path, seed: int) -> None:
    rows, reference, alerts = tmp_path / "elec.parquet", tmp_path / "ref.json", tmp_path / "alerts.jsonl"
    errors = flipped(0.18, seed, rows)
    roles = ("--prediction", "said", "--score", "p", "--label", "truth")
    driftstream(
        *("reference", "build", "--input", rows, "--rows", f"{TRAINED}:{KNOWN}", "--model", "elec"),
        *("--model-version", "v1", "--window-rows", str(WINDOW), "--output", reference, *roles),
    )
    driftstream(
        *("replay", rows, "--rows", f"{KNOWN}:{END}", "--reference", reference, "--rate", "1"),
        *("--start", "2026-01-01T00:00:00Z", "--window", f"{WINDOW}s", "--alerts", alerts, *roles),
    )
    told: list[dict[str, Any]] = [json.loads(line) for line in alerts.read_text().splitlines()]
    start_ms = 1_767_225_600_000
    found: dict[str, int] = {}
    for alert in told:
        row = KNOWN + (alert["evidence"]["window_end_ms"] - start_ms) // 1_000
        assert row > FLIPPED, alert
        found.setdefault(alert["labels"]["alertname"], row - FLIPPED)
    assert {"data_drift", "prediction_drift", "data_quality"}.isdisjoint(found)

    adwin, delay = ADWIN(), None
    for row, error in enumerate(errors[KNOWN:], KNOWN):
        adwin.update(int(error))
        if adwin.drift_detected and row >= FLIPPED:
            delay = row - FLIPPED
            break
    assert delay is not None
    assert min(found["concept_drift"], found["performance_drop"]) <= max(1.1 * delay, 2 * WINDOW)
