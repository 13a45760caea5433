"""Metrics of a regression from group masses.

Outcomes per row: absolute error, squared error, error, relative error (0 for a truth of 0), whether the
truth is not 0, truth, squared truth; values are divided by a common scale. The error is prediction
less truth.
"""

from __future__ import annotations

import math

from detectors.estimation.linear import Masses, Metric, ratio

ABSOLUTE, SQUARED, ERROR, RELATIVE, NOT_ZERO, TRUTH, TRUTH_SQUARED = range(7)
OUTCOMES = 7
SMALLEST_SPREAD = 1e-60
"""Variance of the truth, in units of the scale squared, below which nothing is there to explain."""


def regression_metrics(masses: Masses, scale: float) -> dict[str, Metric]:
    """Return every metric that the masses define; ``scale`` is what values were divided by."""
    means: dict[int, Metric | None] = {}
    everything = masses.form()
    everything.mass[:] = 1.0
    tops = [masses.form() for _ in range(OUTCOMES)]
    for outcome, top in enumerate(tops):
        top.sums[:, outcome] = 1.0
        means[outcome] = ratio(top, everything, masses)
    found = {
        "mae": _scaled(means[ABSOLUTE], scale),
        "rmse": _scaled(_root(means[SQUARED]), scale),
        "bias": _scaled(means[ERROR], scale),
        "mape": ratio(tops[RELATIVE], tops[NOT_ZERO], masses),
        "r2": _explained(means[SQUARED], means[TRUTH], means[TRUTH_SQUARED]),
    }
    return {name: metric for name, metric in found.items() if metric is not None}


def _scaled(metric: Metric | None, scale: float) -> Metric | None:
    return None if metric is None else Metric(metric.value * scale, metric.slope.times(scale))


def _root(squared: Metric | None) -> Metric | None:
    if squared is None or squared.value <= 0:
        return None
    value = math.sqrt(squared.value)
    return Metric(value, squared.slope.times(0.5 / value))


def _explained(squared: Metric | None, truth: Metric | None, truth_squared: Metric | None) -> Metric | None:
    r"""Coefficient of determination, :math:`1 - \overline{e^2} / (\overline{y^2} - \bar y^2)`."""
    if squared is None or truth is None or truth_squared is None:
        return None
    spread = truth_squared.value - truth.value**2
    if spread <= max(1e-9 * truth_squared.value, SMALLEST_SPREAD):
        return None
    by_spread = squared.value / spread**2
    slope = (
        squared.slope.times(-1.0 / spread)
        + truth_squared.slope.times(by_spread)
        + truth.slope.times(-2.0 * truth.value * by_spread)
    )
    return Metric(1.0 - squared.value / spread, slope)
