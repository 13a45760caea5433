"""Streams of errors whose rate goes up: drawn, and of a frozen model on real rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

Errors = NDArray[np.bool_]
BEFORE, AFTER = 10_000, 10_000
NB_ROWS = 3000


@dataclass(frozen=True)
class ErrorStream:
    """Draws errors; the rate goes up at label ``change``."""

    draw: Callable[[np.random.Generator], Errors]
    change: int = BEFORE


def step(rate: float, by: float) -> Callable[[np.random.Generator], Errors]:
    """Return a stream whose rate of errors goes up by ``by`` after BEFORE labels."""

    def stream(rng: np.random.Generator) -> Errors:
        rates = np.repeat([rate, rate + by], [BEFORE, AFTER])
        errors: Errors = rng.random(rates.size) < rates
        return errors

    return stream


def sea(before: float, after: float) -> Callable[[np.random.Generator], Errors]:
    """Return the errors of a frozen rule on SEA concepts (Street & Kim 2001) with 10 % of labels flipped."""

    def stream(rng: np.random.Generator) -> Errors:
        total = rng.uniform(0, 10, (BEFORE + AFTER, 2)).sum(axis=1)
        border = np.repeat([before, after], [BEFORE, AFTER])
        truth = (total <= border) ^ (rng.random(total.size) < 0.1)
        return truth != (total <= before)

    return stream


STREAMS: Mapping[str, ErrorStream] = {
    "15 % +3 pt": ErrorStream(step(0.15, 0.03)),
    "15 % +5 pt": ErrorStream(step(0.15, 0.05)),
    "15 % +9 pt": ErrorStream(step(0.15, 0.09)),
    "15 % +18 pt": ErrorStream(step(0.15, 0.18)),
    "SEA 8->7": ErrorStream(sea(8.0, 7.0)),
    "SEA 8->9.5": ErrorStream(sea(8.0, 9.5)),
}


def real_streams(data: Path) -> dict[str, ErrorStream]:
    """Return errors of a frozen naive Bayes on real rows: Elec2 with labels turned, INSECTS A then B."""
    streams: dict[str, ErrorStream] = {}
    elec2, insects = data / "elec2.parquet", data / "insects_gradual_balanced.parquet"
    if elec2.exists():
        frame = pl.read_parquet(elec2)
        rows = frame.select("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer").to_numpy()
        truth = (frame["class"] == "UP").to_numpy().astype(np.intp)
        for points in (3, 9, 18):
            streams[f"Elec2 +{points} pt"] = ErrorStream(_turned(rows, truth, points / 100))
    if insects.exists():
        frame = pl.read_parquet(insects)
        classes = np.unique(frame["cls"].to_numpy(), return_inverse=True)[1].reshape(-1)
        rows = frame.drop("cls").to_numpy()
        draw = _blocks(rows, classes, slice(1500, 10_000), slice(15_000, 22_000))
        streams["INSECTS A->B"] = ErrorStream(draw, change=8500 - NB_ROWS)
    return streams


def _turned(
    rows: NDArray[np.float64], truth: NDArray[np.intp], points: float
) -> Callable[[np.random.Generator], Errors]:
    def stream(rng: np.random.Generator) -> Errors:
        order = rng.permutation(len(rows))
        known, live = order[:20_000], order[20_000 : 20_000 + BEFORE + AFTER]
        wrong = naive_bayes(rows[known], truth[known], rows[live]) != truth[live]
        rate = float(wrong[:BEFORE].mean())
        # Turning a label makes an error of a hit and a hit of an error.
        turned = rng.random(wrong.size) < points / (1.0 - 2.0 * rate)
        turned[:BEFORE] = False
        errors: Errors = wrong ^ turned
        return errors

    return stream


def _blocks(
    rows: NDArray[np.float64], truth: NDArray[np.intp], first: slice, second: slice
) -> Callable[[np.random.Generator], Errors]:
    def stream(rng: np.random.Generator) -> Errors:
        positions = np.arange(len(rows))
        a, b = rng.permutation(positions[first]), rng.permutation(positions[second])
        known = a[:NB_ROWS]
        live = np.concatenate((a[NB_ROWS:], b))
        return naive_bayes(rows[known], truth[known], rows[live]) != truth[live]

    return stream


def naive_bayes(
    rows: NDArray[np.float64], truth: NDArray[np.intp], asked: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Predict by Gaussian naive Bayes: a model that is fast to train and never trained again."""
    classes = np.unique(truth)
    scale = rows.std(axis=0) + 1e-9
    scores = []
    for each in classes:
        own = rows[truth == each]
        spread = own.std(axis=0) + 1e-3 * scale
        z = (asked - own.mean(axis=0)) / spread
        scores.append(np.log(len(own)) - np.log(spread).sum() - 0.5 * (z**2).sum(axis=1))
    return classes[np.argmax(scores, axis=0)]
