"""Real streams: false alarms before the documented change, delay after it; and real rows in random order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.quality_runs import REFERENCE_ROWS, RULES, Alarms
from detectors import Monitor, Reference

ELEC2 = ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer", "period")


def replays(data: Path) -> dict[str, dict[str, Any]]:
    """Return by stream and rule: windows, alarms, episodes and pages before the change, and the delay."""
    results: dict[str, dict[str, Any]] = {}
    car, insects = data / "nannyml_car_loan.parquet", data / "insects_gradual_balanced.parquet"
    if car.exists():
        frame = pl.read_parquet(car)
        kept = frame.drop("id", "timestamp", "part")
        known, live = (kept.filter(frame["part"] == part) for part in ("reference", "analysis"))
        for size in (200, 1000, 5000):
            reference = _reference(known, size, output="y_pred_proba", prediction="y_pred", label="repaid")
            results[f"car loan n{size}"] = _replay(reference, live, size, 25_000 // size)
    if insects.exists():
        frame = pl.read_parquet(insects).drop("cls")
        reference = _reference(frame[1500:6000], 200)
        live = pl.concat([frame[6000:10_000], frame[15_000:19_000]])
        results["INSECTS A->B n200"] = _replay(reference, live, 200, 20)
        results["INSECTS own order n200"] = _replay(
            reference, frame[6000:22_000], 200, (10_500 - 6000) // 200
        )
    return results


def _reference(
    frame: pl.DataFrame,
    size: int,
    *,
    output: str = "score",
    prediction: str | None = None,
    label: str | None = None,
) -> Reference:
    return Reference.build(
        _columns(frame), window_rows=size, outputs=(output,), prediction=prediction, label=label
    )


def _columns(frame: pl.DataFrame) -> dict[str, Any]:
    return {name: frame[name].to_numpy() for name in frame.columns}


def _replay(reference: Reference, frame: pl.DataFrame, size: int, change: int) -> dict[str, Any]:
    windows = [reference.count(_columns(part)) for part in frame.iter_slices(size) if len(part) == size]
    results = {}
    for rule, options in RULES.items():
        monitor, before = Monitor(reference, **options), Alarms()
        verdicts = [monitor.update_counts(counts) for counts in windows]
        for verdict in verdicts[:change]:
            before.add(verdict)
        after = [delay for delay, verdict in enumerate(verdicts[change:], start=1) if verdict.drifted]
        results[rule] = {**before.summary(), "delay": after[0] if after else None}
    return results


def resampled(data: Path, rows: int, windows: int, rng: np.random.Generator) -> dict[str, Alarms]:
    """Return false alarms on rows of car loan and Elec2 side by side, drawn with replacement: no drift."""
    pool = _pool(data)
    total = len(next(iter(pool.values())))

    def draw(n: int) -> dict[str, Any]:
        chosen = rng.integers(0, total, n)
        return {name: values[chosen] for name, values in pool.items()}

    reference = Reference.build(draw(REFERENCE_ROWS[rows]), window_rows=rows, outputs=("y_pred_proba",))
    found = {rule: Alarms() for rule in RULES}
    monitors = {rule: Monitor(reference, **options) for rule, options in RULES.items()}
    for _ in range(windows):
        counts = reference.count(draw(rows))
        for rule, monitor in monitors.items():
            found[rule].add(monitor.update_counts(counts))
    return found


def _pool(data: Path) -> Mapping[str, Any]:
    car = pl.read_parquet(data / "nannyml_car_loan.parquet")
    car = car.filter(car["part"] == "reference").drop("id", "timestamp", "part", "repaid")
    elec2 = pl.read_parquet(data / "elec2.parquet").select(*ELEC2)
    rows = min(len(car), len(elec2))
    return _columns(car[:rows]) | _columns(elec2[:rows])
