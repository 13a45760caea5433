"""OutcomeModel: expected metrics and their uncertainty, from which part of a window is in which cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.estimation.binary import binary_metrics, split
from detectors.estimation.linear import Floats, Linear, Masses, Metric
from detectors.estimation.multiclass import multiclass_metrics
from detectors.estimation.regression import regression_metrics
from detectors.estimation.shares import fitted_shares, threshold_shares
from detectors.estimation.smoothing import expected_outcomes
from detectors.estimation.table import OUTCOMES, PerformanceEntry

SPECIAL = 3
NOT_NEGATIVE = {"binary": [0, 1, 2, 3], "multiclass": [0], "regression": [0, 1, 3, 4, 6]}
AT_MOST_ONE = {"binary": [0, 1], "multiclass": [0], "regression": [4]}


class Shares(NamedTuple):
    """A window: shares of the score cells ``(S,)``, the predicted classes ``(K,)``, the features' cells."""

    scores: Floats
    predicted: Floats | None
    features: Mapping[str, Floats]


class Expectation(NamedTuple):
    """One metric: its expected value, the sampling variance of one row, the variance of the expectation."""

    value: float
    row_variance: float
    model_variance: float


class OutcomeModel:
    """Expected outcomes by group, with what features add; see :class:`Estimator` for counts.

    Parameters
    ----------
    entry
        The section of a reference file; only ``spec`` and ``table`` are used.
    """

    def __init__(self, entry: PerformanceEntry) -> None:
        self._entry, self._task = entry, entry.spec.task
        self._cells, self._classes = entry.table.score_cells, entry.classes
        rows, sums, products = entry.arrays()
        self.rows = rows
        across = self._task == "binary"
        expected = expected_outcomes(rows, sums, products, self._classes, across=across)
        self.mean, self.covariance, self._behind = expected
        if across:
            self.mean, self.covariance = split(self.mean, self.covariance)
        width = OUTCOMES[self._task]
        self._own_variance = np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0)
        self._effects = {
            c.column: (np.array(c.effects).reshape(-1, width), np.array(c.variance).reshape(-1, width))
            for c in entry.table.corrections
        }
        self._explained = np.array(entry.table.explained or np.zeros(rows.size * width)).reshape(-1, width)
        self._ordered = np.zeros(self._cells, dtype=np.bool_)
        self._ordered[: self._cells - SPECIAL] = self._cells > SPECIAL
        self._inside = np.array(entry.table.inside)
        wrong = np.array(entry.table.wrong, dtype=np.float64).reshape(-1, self._classes)
        self._wrong = _distributed(wrong) if self._task == "multiclass" else wrong

    @property
    def known(self) -> NDArray[np.bool_]:
        """Score cells ``(S,)`` that something is known about: those with values, and others with rows."""
        known: NDArray[np.bool_] = self.rows.reshape(self._cells, -1).sum(axis=1) > 0
        return known | self._ordered

    def metrics(self, masses: Masses, only: str | None = None) -> dict[str, Metric]:
        """Return the metrics that masses define, or ``only`` that one."""
        if self._task == "binary":
            probability = self._entry.table.probability
            return binary_metrics(masses, self._ordered, self._inside, probability=probability, only=only)
        if self._task == "multiclass":
            found = multiclass_metrics(masses, self._wrong)
        else:
            found = regression_metrics(masses, self._entry.table.scale)
        return {name: metric for name, metric in found.items() if only in (None, name)}

    def expect(self, shares: Shares, only: str | None = None) -> dict[str, Expectation]:
        """Return what the outcomes of a window are expected to give: every metric, or ``only`` that one."""
        share = self._group_shares(shares)
        surplus, variance = self._surplus(share, shares.features)
        spread = share[:, None] * self._own_variance
        weight = spread / np.maximum(spread.sum(axis=0), np.finfo(np.float64).tiny)
        sums = share[:, None] * self.mean + surplus * weight
        below, above = NOT_NEGATIVE[self._task], AT_MOST_ONE[self._task]
        sums[:, below] = np.maximum(sums[:, below], 0.0)
        sums[:, above] = np.minimum(sums[:, above], share[:, None])
        found = {}
        for name, metric in self.metrics(Masses(share, sums), only).items():
            noise = self.noise(metric.slope)
            thin = float(share**2 @ (noise / np.maximum(self._behind, 1.0)))
            added = float(np.sum(np.sum(metric.slope.sums * weight, axis=0) ** 2 * variance))
            found[name] = Expectation(metric.value, float(share @ noise), thin + added)
        return found

    def noise(self, slope: Linear) -> Floats:
        """Return the variance of a row of each group in a metric with that slope, ``(G,)``."""
        variance: Floats = np.einsum("gu,guv,gv->g", slope.sums, self.covariance, slope.sums)
        noise: Floats = np.maximum(variance, 0.0)
        return noise

    def row_variance(self, metric: Metric, masses: Masses) -> float:
        """Return the sampling variance of a metric times the rows, the groups being drawn too."""
        reach = metric.slope.mass + np.sum(metric.slope.sums * self.mean, axis=1)
        centred = reach - float(masses.share @ reach)
        return float(masses.share @ (self.noise(metric.slope) + centred**2))

    def _group_shares(self, shares: Shares) -> Floats:
        rows = self.rows.reshape(self._cells, self._classes)
        if self._task == "binary":
            positives = rows[:, 1] / np.maximum(rows.sum(axis=1), 1.0)
            positive = None if shares.predicted is None else float(shares.predicted[1])
            return threshold_shares(shares.scores, positives, positive).reshape(-1)
        if self._task == "multiclass":
            return fitted_shares(shares.scores, rows, shares.predicted).reshape(-1)
        return shares.scores

    def _surplus(self, share: Floats, features: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """Return what the features add to the window's mean outcomes, ``(U,)``, and its variance."""
        surplus, variance = np.zeros(self.mean.shape[1]), np.zeros(self.mean.shape[1])
        if not self._effects or not self._effects.keys() <= features.keys():
            return surplus, variance
        for name, (effects, uncertain) in self._effects.items():
            live = features[name]
            surplus += live @ effects
            variance += live**2 @ uncertain
        return surplus - share @ self._explained, variance


def _distributed(wrong: Floats) -> Floats:
    """Turn counts of wrong predictions by label into shares; a class never wrong borrows from all."""
    everywhere = wrong.sum(axis=0) + 1.0
    prior = np.tile(everywhere, (len(wrong), 1))
    np.fill_diagonal(prior, 0.0)
    table = wrong + prior / prior.sum(axis=1, keepdims=True)
    shares: Floats = table / table.sum(axis=1, keepdims=True)
    return shares
