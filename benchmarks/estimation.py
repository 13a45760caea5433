"""Performance without labels: how far estimates are from what labels say later.

``python -m benchmarks.estimation --data DIR`` prints, per stream and chunk size, the mean difference between
the estimated and the realized accuracy of a chunk beside

* floor: what the sampling of a chunk's labels alone makes, sqrt(2 p (1 - p) / (pi n));
* assume: the same difference for whoever assumes the accuracy of the reference;
* cells: for the estimate by cells of the score alone, without what features add;
* ratio: that of the estimate's difference to the floor;
* in 2 se: share of the chunks whose realized value lies within two standard errors of the estimate;
* alarm: share of the chunks in which labels disagree with the estimate, which is how concept drift shows.

Streams: car loan in its own order (reference 50,000 rows, then 25,000 clean and 25,000 shifted), more
metrics of those chunks, and induced shifts: the reference's last 15,000 rows, which the estimator has not
seen, drawn with weights that favour high or low values of one feature, exp(+-2 rank). Chunks of these share
rows, so their differences are not independent. Always: a synthetic classifier whose score does not see one of
its two causes, as it is, with either cause shifted by 0.7 sd, where the unseen cause is in its top fifth,
with another threshold, and with a change of concept, to which every estimate is blind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri

from benchmarks.report import print_json
from detectors import Reference
from detectors.estimation import Estimator, disagreement
from detectors.performance import Outcomes, PerformanceCounts

Columns = Mapping[str, NDArray[Any]]
Draw = Callable[[np.random.Generator, int], Columns]

SCORE, PREDICTION, LABEL = "y_pred_proba", "y_pred", "repaid"
TRAIN, CHUNKS = 35_000, 20
OTHERS = ("precision", "recall", "f1", "roc_auc", "pr_auc", "log_loss", "brier")


class Pair:
    """A reference, and the same without features: score cells alone."""

    def __init__(self, columns: Columns, chunk: int) -> None:
        bare = {name: columns[name] for name in (SCORE, PREDICTION, LABEL)}
        options = {"window_rows": chunk, "outputs": (SCORE,), "prediction": PREDICTION, "label": LABEL}
        self.full = Reference.build(columns, **options).for_source("inference")
        self.bare = Reference.build(bare, **options).for_source("inference")
        self.estimators = Estimator(self.full), Estimator(self.bare)

    def compare(self, chunks: Iterable[Columns], metric: str) -> dict[str, float]:
        """Return the mean differences of a metric over the chunks."""
        return _summary(np.array([self._row(chunk, metric) for chunk in chunks]), metric)

    def _row(self, chunk: Columns, metric: str) -> list[float]:
        full, bare = (
            estimator.estimate(reference.count(chunk))[metric]
            for estimator, reference in zip(self.estimators, (self.full, self.bare), strict=True)
        )
        counts = PerformanceCounts.empty(self.full.performance.spec)
        counts.add(Outcomes(*(chunk[name].astype(np.float64) for name in (PREDICTION, SCORE, LABEL))))
        value, n = counts.metrics()[metric], counts.n
        known = self.full.performance.metrics[metric]
        judged = disagreement(metric, full, value, n)
        return [
            value,
            n,
            abs(known - value),
            abs(bare.value - value),
            abs(full.value - value),
            abs(full.value - value) <= 2 * full.standard_error,
            judged.disagrees,
            np.sqrt(2 * full.row_variance / np.pi / n),
        ]


def _summary(rows: NDArray[np.float64], metric: str) -> dict[str, float]:
    value, n, assumed, bare, full, within, disagrees, expected = rows.T
    floor = np.sqrt(2 * value * (1 - value) / np.pi / n) if metric == "accuracy" else expected
    return {
        "chunks": len(rows),
        "floor": float(floor.mean()),
        "assume_reference": float(assumed.mean()),
        "score_cells": float(bare.mean()),
        "estimate": float(full.mean()),
        "ratio": float(full.mean() / floor.mean()),
        "within_2se": float(within.mean()),
        "disagree": float(disagrees.mean()),
    }


def car_loan(path: Path, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the results on car loan: own order, other metrics, induced shifts."""
    frame = pl.read_parquet(path)
    kept = frame.drop("id", "timestamp", "part")
    known, live = (kept.filter(frame["part"] == part) for part in ("reference", "analysis"))
    results = {}
    for size in (5000, 1000):
        pair = Pair(_columns(known), size)
        chunks = [_columns(part) for part in live.iter_slices(size)]
        results[f"car loan, n={size}"] = pair.compare(chunks, "accuracy")
        if size == 1000:
            results["car loan, n=1000, first 30"] = pair.compare(chunks[:30], "accuracy")
        else:
            results |= {f"car loan, n={size}, {name}": pair.compare(chunks, name) for name in OTHERS}
    return results | _induced(known, rng)


def _columns(frame: pl.DataFrame) -> Columns:
    return {name: frame[name].to_numpy() for name in frame.columns}


def _induced(known: pl.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    results = {}
    for size in (5000, 1000):
        pair = Pair(_columns(known[:TRAIN]), size)
        held = known[TRAIN:]
        for name in held.columns:
            if name in (SCORE, PREDICTION, LABEL):
                continue
            rank = held[name].rank("average").to_numpy() / len(held)
            for sign in (1, -1):
                weight = np.exp(2.0 * sign * rank)
                chunks = [
                    _columns(held[rng.choice(len(held), size, p=weight / weight.sum())])
                    for _ in range(CHUNKS)
                ]
                results[f"{name} {'up' if sign > 0 else 'down'}, n={size}"] = pair.compare(chunks, "accuracy")
        results[f"all induced shifts, n={size}"] = _mean(
            [r for s, r in results.items() if s.endswith(f"n={size}")]
        )
    return results


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return {
        **means,
        "chunks": sum(row["chunks"] for row in rows),
        "ratio": means["estimate"] / means["floor"],
    }


def _world(
    *, seen: float = 0.0, unseen: float = 0.0, part: float = 1.0, threshold: float = 0.5, concept: float = 1.0
) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> Columns:
        x, g = rng.normal(seen, 1, n), unseen + ndtri(1 - part * rng.random(n))
        score = 1 / (1 + np.exp(-1.4 * x))
        truth = rng.random(n) < 1 / (1 + np.exp(-(1.5 * concept * x + g)))
        return {
            "x": x,
            "g": g,
            SCORE: score,
            PREDICTION: (score >= threshold).astype(np.int64),
            LABEL: truth.astype(np.int64),
        }

    return draw


WORLDS = {
    "no drift": _world(),
    "seen cause +0.7 sd": _world(seen=0.7),
    "unseen cause +0.7 sd": _world(unseen=0.7),
    "unseen cause, top fifth": _world(part=0.2),
    "threshold 0.65": _world(threshold=0.65),
    "concept change": _world(concept=0.4),
}


def synthetic(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the results on the synthetic classifier."""
    results = {}
    for size in (5000, 1000):
        pair = Pair(WORLDS["no drift"](rng, 50_000), size)
        for name, draw in WORLDS.items():
            chunks = [draw(rng, size) for _ in range(CHUNKS * 2)]
            results[f"{name}, n={size}"] = pair.compare(chunks, "accuracy")
    return results


def _print(report: Mapping[str, Any]) -> None:
    table = Table(
        "stream", "chunks", "floor", "assume", "cells", "estimate", "ratio", "in 2 se", "alarm", box=None
    )
    for name, row in report["results"].items():
        small = [f"{row[key]:.4f}" for key in ("floor", "assume_reference", "score_cells", "estimate")]
        shares = [f"{100 * row[key]:.0f} %" for key in ("within_2se", "disagree")]
        table.add_row(name, str(row["chunks"]), *small, f"{row['ratio']:.2f}", *shares)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(f"seed {report['seed']}; mean |estimated - realized| per chunk")


def main(
    *,
    seed: Annotated[int | None, typer.Option(help="Seed of everything; a fresh one if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Directory with nannyml_car_loan.parquet.", exists=True)
    ] = None,
) -> None:
    """Measure how far estimated performance is from realized performance."""
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    rng = np.random.default_rng(seed)
    car = None if data is None else data / "nannyml_car_loan.parquet"
    results = {} if car is None else car_loan(car, rng)
    report = {"seed": seed, "results": {**results, **synthetic(rng)}}
    if as_json:
        print_json(report)
    else:
        _print(report)


if __name__ == "__main__":
    typer.run(main)
