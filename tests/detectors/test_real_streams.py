"""Real data in its own order: nothing before the documented change, the change at once after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from river.datasets import Shuttle

from detectors import Monitor, Reference, Verdict

DATA = Path(__file__).parents[3] / "shared" / "data"


def load(name: str) -> pl.DataFrame:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return pl.read_parquet(path)


def rows(frame: pl.DataFrame, *ranges: tuple[int, int]) -> dict[str, np.ndarray]:
    part = pl.concat([frame[a:b] for a, b in ranges])
    return {name: part[name].to_numpy() for name in part.columns}


def watch(reference: Reference, columns: dict[str, np.ndarray], size: int) -> list[Verdict]:
    monitor = Monitor(reference)
    total = len(next(iter(columns.values())))
    return [
        monitor.update({name: values[start : start + size] for name, values in columns.items()})
        for start in range(0, total - size + 1, size)
    ]


@pytest.mark.parametrize("with_label", [False, True])
def test_insects_change_is_found_and_nothing_before(with_label):
    frame = load("insects_gradual_balanced.parquet")
    frame = frame if with_label else frame.drop("cls")
    reference = Reference.build(
        rows(frame, (1500, 6000)), window_rows=200, label="cls" if with_label else None
    )
    verdicts = watch(reference, rows(frame, (6000, 10_000), (15_000, 19_000)), 200)
    drifted = [i for i, verdict in enumerate(verdicts) if verdict.drifted]
    assert drifted[0] in (20, 21, 22)
    assert drifted == list(range(drifted[0], 40))
    assert [verdict.new_episode for verdict in verdicts].count(True) == 1


@pytest.mark.parametrize("size", [200, 500])
def test_shuttle_in_its_own_order_is_stable(size):
    readings = [reading for reading, _ in Shuttle()]
    columns = {name: np.array([r[name] for r in readings], dtype=float) for name in readings[0]}
    reference = Reference.build({n: v[:12_000] for n, v in columns.items()}, window_rows=size)
    verdicts = watch(reference, {n: v[12_000:27_000] for n, v in columns.items()}, size)
    assert not any(verdict.drifted for verdict in verdicts)


@pytest.mark.parametrize("size", [1000, 5000])
def test_car_loan_shift_is_found_and_nothing_before(size):
    frame = load("nannyml_car_loan.parquet")
    kept = frame.drop("id", "timestamp", "part")
    reference = Reference.build(
        rows(kept.filter(frame["part"] == "reference"), (0, 50_000)),
        window_rows=size,
        outputs=("y_pred_proba",),
        prediction="y_pred",
        label="repaid",
    )
    verdicts = watch(reference, rows(kept.filter(frame["part"] == "analysis"), (0, 50_000)), size)
    drifted = [i for i, verdict in enumerate(verdicts) if verdict.drifted]
    assert drifted == list(range(25_000 // size, 50_000 // size))
    assert {"car_value", "salary_range"} <= set(verdicts[drifted[0]].drifted_names)
    assert verdicts[drifted[0]].severity == "page"
