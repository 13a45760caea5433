"""Real streams: false alarms before the documented change, delay after it; and real rows in random order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.quality_judges import Alarms, Columns, Known, Panel
from benchmarks.quality_runs import OURS, REFERENCE_ROWS, tally
from detectors import Counts, Reference

ELEC2 = ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer", "period")
# Whole weeks from the first row; before, vicprice, vicdemand and transfer are constant.
ELEC2_START, WEEK = 17_808, 336


@dataclass(frozen=True)
class Stream:
    """Known and live rows in order; the documented change comes at window ``change``, if there is one."""

    title: str
    known: pl.DataFrame
    live: pl.DataFrame
    rows: int
    change: int | None
    roles: Mapping[str, str]

    def past(self) -> Known:
        """Return what judges learn from."""
        return _known(self.title, _columns(self.known), self.rows, self.roles)


def streams(data: Path) -> list[Stream]:
    """Return the streams of the files that are there."""
    found = []
    car, insects, elec2 = (
        data / f"{name}.parquet" for name in ("nannyml_car_loan", "insects_gradual_balanced", "elec2")
    )
    if car.exists():
        frame = pl.read_parquet(car)
        kept = frame.drop("id", "timestamp", "part")
        known, live = (kept.filter(frame["part"] == part) for part in ("reference", "analysis"))
        roles = {"output": "y_pred_proba", "prediction": "y_pred", "label": "repaid"}
        for rows in (200, 1000, 5000):
            found.append(Stream(f"car loan n{rows}", known, live, rows, 25_000 // rows, roles))
    if insects.exists():
        frame = pl.read_parquet(insects).drop("cls")
        live = pl.concat([frame[6000:10_000], frame[15_000:19_000]])
        found.append(Stream("INSECTS A->B n200", frame[1500:6000], live, 200, 20, {}))
        change = (10_500 - 6000) // 200
        found.append(Stream("INSECTS own order n200", frame[1500:6000], frame[6000:22_000], 200, change, {}))
    if elec2.exists():
        frame = pl.read_parquet(elec2)[ELEC2_START:].select(*ELEC2)
        half = len(frame) // 2 // WEEK * WEEK
        found.append(Stream("Elec2 own order n336", frame[:half], frame[half:], WEEK, None, {}))
    return found


def replay(stream: Stream, panel: Panel = OURS) -> dict[str, Any]:
    """Return by rule: windows, alarms, episodes and pages before the change, and the delay after it."""
    judge = panel.fit(stream.past())
    before, delays = dict[str, Alarms](), dict[str, int]()
    parts = [part for part in stream.live.iter_slices(stream.rows) if len(part) == stream.rows]
    for window, part in enumerate(parts):
        for rule, judged in judge.judge(_columns(part)).items():
            if stream.change is None or window < stream.change:
                before.setdefault(rule, Alarms()).add(judged)
            elif judged.drifted:
                delays.setdefault(rule, window - stream.change + 1)
    return {
        rule: {**alarms.summary(), "change": stream.change is not None, "delay": delays.get(rule)}
        for rule, alarms in before.items()
    }


def resampled(
    data: Path, rows: int, windows: int, rng: np.random.Generator, panel: Panel = OURS
) -> dict[str, Alarms]:
    """Return false alarms on rows of car loan and Elec2 side by side, drawn with replacement: no drift."""
    pool = _pool(data)
    total = len(next(iter(pool.values())))

    def draw(n: int) -> Columns:
        chosen = rng.integers(0, total, n)
        return {name: values[chosen] for name, values in pool.items()}

    roles = {"output": "y_pred_proba"}
    judge = panel.fit(_known(f"real rows n{rows}", draw(REFERENCE_ROWS[rows]), rows, roles))
    found: dict[str, Alarms] = {}
    tally(judge, ((None, draw(rows)) for _ in range(windows)), found)
    return found


def _known(title: str, columns: Columns, rows: int, roles: Mapping[str, str]) -> Known:
    categories = {name for name, values in columns.items() if values.dtype.kind in "Ub"}
    categories |= {roles[role] for role in ("prediction", "label") if role in roles}
    build = partial(
        Reference.build,
        columns,
        window_rows=rows,
        outputs=(roles.get("output", "score"),),
        prediction=roles.get("prediction"),
        label=roles.get("label"),
    )
    return Known(title, columns, frozenset(categories), rows, build, _count)


def _count(reference: Reference, columns: Columns) -> Counts:
    return reference.count(columns)


def _columns(frame: pl.DataFrame) -> dict[str, Any]:
    return {
        name: np.asarray(frame[name], dtype=np.str_ if frame[name].dtype == pl.String else None)
        for name in frame.columns
    }


def _pool(data: Path) -> dict[str, Any]:
    car = pl.read_parquet(data / "nannyml_car_loan.parquet")
    car = car.filter(car["part"] == "reference").drop("id", "timestamp", "part", "repaid")
    elec2 = pl.read_parquet(data / "elec2.parquet").select(*ELEC2)
    rows = min(len(car), len(elec2))
    return _columns(car[:rows]) | _columns(elec2[:rows])
