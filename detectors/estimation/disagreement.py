"""Disagreement: labels say otherwise than the estimate. What an estimate is blind to, seen."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri

from detectors.estimation.estimator import Estimate

ARL = 10_000.0
MIN_EFFECT = 0.01

LOWER_IS_BETTER = frozenset(("log_loss", "brier", "calibration_error", "mae", "rmse", "mape"))
"""Metrics that grow when a model gets worse; all others fall, except ``bias``, which only moves."""


class Disagreement(NamedTuple):
    """One metric of one window, realized against estimated.

    Parameters
    ----------
    z
        Realized less estimated, in standard errors, after the tolerated effect was taken off; 0 within it.
    critical
        The z beyond which outcomes no longer follow score and features as in the reference.
    disagrees
        Whether ``z`` is beyond: concept drift.
    worse
        Whether the model is worse than estimated.
    """

    z: float
    critical: float
    disagrees: bool
    worse: bool


def disagreement(
    metric: str,
    estimate: Estimate,
    realized: float,
    labels: int,
    *,
    arl: float = ARL,
    min_effect: float = MIN_EFFECT,
    looks: int = 1,
) -> Disagreement:
    r"""Judge whether a realized metric fits its estimate.

    Parameters
    ----------
    metric
        Its name: tells which direction is worse.
    estimate, realized
        Of the same window.
    labels
        How many labels the realized metric is of.
    arl
        Windows between false alarms.
    min_effect
        Tolerated difference: absolute for metrics from 0 to 1, else as a share of the estimate.
    looks
        How many metrics of a window are judged: the alarms are shared among them (Bonferroni).

    Notes
    -----
    :math:`z = \mathrm{sign}(d) (|d| - \epsilon)_+ / s` with the standard error s at that number of labels;
    critical is the two-sided normal quantile of :math:`1 / (\mathrm{arl} \cdot \mathrm{looks})`.
    """
    if not arl > 1 or looks < 1 or not min_effect >= 0:
        raise ValueError(f"arl is {arl}, looks {looks}, min_effect {min_effect}: give > 1, >= 1, >= 0")
    tolerated = tolerance(metric, estimate.value, min_effect)
    return judge(metric, realized - estimate.value, estimate.error_for(labels), tolerated, arl * looks)


def tolerance(metric: str, level: float, min_effect: float) -> float:
    """Return the tolerated difference from ``level`` in units of the metric."""
    relative = metric in {"log_loss", "mae", "rmse", "mape", "bias"}
    return min_effect * (abs(level) if relative else 1.0)


def judge(metric: str, difference: float, error: float, tolerated: float, looks: float) -> Disagreement:
    """Judge a difference with a standard error at one false alarm in so many looks."""
    beyond = max(abs(difference) - tolerated, 0.0)
    z = math.copysign(beyond / max(error, 1e-300), difference)
    critical = float(-ndtri(0.5 / looks))
    worse = difference > 0 if metric in LOWER_IS_BETTER else difference < 0
    return Disagreement(z, critical, abs(z) > critical, metric != "bias" and worse and beyond > 0)
