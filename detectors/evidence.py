"""Evidence: the numbers beside a verdict, over the window that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.binning import SPECIAL_CELLS, Binning, NumericBins
from detectors.counts import Counts
from detectors.decision import Judgement
from detectors.dependence import NOTHING, Dependent
from detectors.distance import (
    chi_square,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    shares,
    total_variation,
    wasserstein,
)
from detectors.reference import Reference
from detectors.verdict import CellChange, FeatureVerdict

TOP_CELLS = 5
Floats = NDArray[np.float64]


class Evidence:
    """Describes windows against one reference: all distances of all columns in a few array operations."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._counts = reference.counts.cells
        self._shares = shares(self._counts)
        self._numeric = np.array([kind == "numeric" for kind in reference.kinds])
        self._centers = _centers(reference.binning)
        self._labels = [reference.binning.cell_labels(name) for name in reference.names]

    def describe(
        self, window: Counts, judgement: Judgement | None, dependent: Dependent = NOTHING
    ) -> tuple[FeatureVerdict, ...]:
        """Return one record a column; without a judgement there are distances only."""
        distances = self._distances(window)
        share = shares(window.cells)
        return tuple(
            FeatureVerdict(
                name=name,
                role=self._reference.roles[j],
                n=window.n,
                **self._judged(judgement, j) | _dependent(dependent, name),
                **_column(distances, j),
                missing_ratio=_finite(share[j, -3]),
                invalid_ratio=_finite(share[j, -2]),
                unseen_ratio=_finite(share[j, -1]),
                cells=self._movers(j, share[j]) if judgement is not None and judgement.drifted[j] else (),
            )
            for j, name in enumerate(self._reference.names)
        )

    def _distances(self, window: Counts) -> dict[str, Floats]:
        a, b = self._counts, window.cells
        over_all: dict[str, Callable[[Any, Any], Floats]] = {
            "psi": psi,
            "chi2": chi_square,
            "js": jensen_shannon,
            "hellinger": hellinger,
            "tv": total_variation,
        }
        values = {key: distance(a, b) for key, distance in over_all.items()}
        cells = a.shape[1] - len(SPECIAL_CELLS)
        values["ks"] = np.full(len(a), np.nan)
        values["wasserstein"] = np.full(len(a), np.nan)
        if self._numeric.any():
            p, q = a[self._numeric, :cells], b[self._numeric, :cells]
            values["ks"][self._numeric] = kolmogorov_smirnov(p, q)
            values["wasserstein"][self._numeric] = wasserstein(p, q, self._centers)
        return values

    def _judged(self, judgement: Judgement | None, j: int) -> dict[str, Any]:
        if judgement is None:
            keys = ("effect", "p_value", "threshold", "component", "lookback")
            return {"drifted": False, "integrity": False, **dict.fromkeys(keys)}
        return {
            "drifted": bool(judgement.drifted[j]),
            "effect": _finite(judgement.effect[j]),
            "p_value": _finite(judgement.p_value[j]),
            "threshold": _finite(judgement.threshold[j]),
            "component": self._reference.scores.name(int(judgement.component[j])),
            "lookback": int(judgement.lookback[j]),
            "integrity": bool(judgement.integrity[j]),
        }

    def _movers(self, j: int, share: Floats) -> tuple[CellChange, ...]:
        before = self._shares[j]
        order = np.argsort(-np.abs(share - before), kind="stable")[:TOP_CELLS]
        return tuple(
            CellChange(self._labels[j][k], float(before[k]), float(share[k]))
            for k in order
            if share[k] != before[k]
        )


def _dependent(dependent: Dependent, name: str) -> dict[str, Any]:
    """Return what replaces the column's own numbers where its pairs changed, and it did not itself."""
    finding = dependent.columns.get(name)
    return {} if finding is None else {"drifted": True, "component": "correlation", **finding._asdict()}


def _column(distances: dict[str, Floats], j: int) -> dict[str, Any]:
    return {key: _finite(values[j]) for key, values in distances.items()}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _centers(binning: Binning) -> Floats:
    """Centers of the numeric columns' cells in standard deviations, ``(numeric, cells)``."""
    cells = binning.width - len(SPECIAL_CELLS)
    rows = []
    for column in binning.columns:
        if isinstance(column, NumericBins):
            centers = np.array(column.centers) / (column.spread or 1.0)
            rows.append(np.concatenate((centers, np.full(cells - centers.size, centers[-1]))))
    return np.array(rows).reshape(len(rows), cells)
