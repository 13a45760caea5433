"""Metrics of a binary classifier from group masses.

Outcomes per row: positive and predicted so (0/1), positive and predicted otherwise (0/1), log loss, Brier
score. The first two are apart because a feature may act on them in opposite ways.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from detectors.estimation.linear import Floats, Linear, Masses, Metric, ratio

FOUND, MISSED, LOG_LOSS, BRIER = range(4)
POSITIVE = [FOUND, MISSED]
OUTCOMES = 4
STORED = 3
"""Of a table: positive, log loss, Brier score."""
NEGATIVES, POSITIVES = 0, 1  # the predicted class: groups are (score cell, predicted class)


def binary_metrics(
    masses: Masses, ordered: NDArray[np.bool_], inside: Floats, *, probability: bool, only: str | None = None
) -> dict[str, Metric]:
    """Return every metric that the masses define, or ``only`` that one.

    Parameters
    ----------
    masses
        Groups in the order (score cell, predicted negative or positive).
    ordered
        Score cells ``(S,)`` that hold values, in increasing order of the score; the others have no score.
    inside
        Chance ``(S,)`` that of a positive and a negative in the same cell, the positive has the higher score.
    probability
        Whether the score is one: otherwise it is not used, and has no losses and areas.
    """
    counted = _counted(masses)
    ways: dict[str, Callable[[], Metric | None]] = {
        "accuracy": lambda: ratio(counted["tp"] + counted["tn"], counted["all"], masses),
        "precision": lambda: ratio(counted["tp"], counted["predicted"], masses),
        "recall": lambda: ratio(counted["tp"], counted["positive"], masses),
        "f1": lambda: ratio(counted["tp"].times(2.0), counted["predicted"] + counted["positive"], masses),
        "specificity": lambda: ratio(counted["tn"], counted["all"] + counted["positive"].times(-1.0), masses),
    }
    if probability:
        ways |= {
            "log_loss": lambda: _mean_of_scored(LOG_LOSS, masses, ordered),
            "brier": lambda: _mean_of_scored(BRIER, masses, ordered),
            "roc_auc": lambda: _roc_auc(masses, ordered, inside),
            "pr_auc": lambda: _pr_auc(masses, ordered),
        }
    found = {name: way() for name, way in ways.items() if only in (None, name)}
    return {name: metric for name, metric in found.items() if metric is not None}


def _mean_of_scored(outcome: int, masses: Masses, ordered: NDArray[np.bool_]) -> Metric | None:
    """Mean of an outcome over the rows that have a score."""
    scored = np.repeat(ordered, 2).astype(np.float64)
    top = masses.form()
    top.sums[:, outcome] = scored
    return ratio(top, Linear(scored, np.zeros_like(masses.sums)), masses)


def merged(outcomes: Floats) -> Floats:
    """Return what is stored ``(n, 3)`` of outcomes ``(n, 4)``."""
    positive = outcomes[:, FOUND] + outcomes[:, MISSED]
    return np.stack((positive, outcomes[:, LOG_LOSS], outcomes[:, BRIER]), axis=1)


def split(mean: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Turn means ``(G, 3)`` and covariances ``(G, 3, 3)`` of groups into those of the four outcomes."""
    groups = np.arange(len(mean))
    place = np.stack(
        (
            np.where(groups % 2 == POSITIVES, FOUND, MISSED),
            np.full_like(groups, LOG_LOSS),
            np.full_like(groups, BRIER),
        ),
        axis=1,
    )
    means, covariances = np.zeros((len(mean), OUTCOMES)), np.zeros((len(mean), OUTCOMES, OUTCOMES))
    means[groups[:, None], place] = mean
    covariances[groups[:, None, None], place[:, :, None], place[:, None, :]] = covariance
    return means, covariances


def _counted(masses: Masses) -> dict[str, Linear]:
    forms = {name: masses.form() for name in ("all", "predicted", "positive", "tp", "tn")}
    forms["all"].mass[:] = 1.0
    forms["predicted"].mass[POSITIVES::2] = 1.0
    forms["positive"].sums[:, POSITIVE] = 1.0
    forms["tp"].sums[POSITIVES::2, POSITIVE] = 1.0
    forms["tn"].mass[NEGATIVES::2] = 1.0
    forms["tn"].sums[NEGATIVES::2, POSITIVE] = -1.0
    return forms


def _by_score(masses: Masses, ordered: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    positive = masses.sums[:, POSITIVE].reshape(-1, 4).sum(axis=1)[ordered]
    rows = masses.share.reshape(-1, 2).sum(axis=1)[ordered]
    return positive, np.maximum(rows - positive, 0.0)


def _roc_auc(masses: Masses, ordered: NDArray[np.bool_], inside: Floats) -> Metric | None:
    """Area under the ROC curve: the share of pairs (positive, negative) in the right order."""
    positive, negative = _by_score(masses, ordered)
    pairs = positive.sum() * negative.sum()
    if pairs <= 1e-12:
        return None
    same = inside[ordered]
    below = np.cumsum(negative) - negative + same * negative
    above = positive[::-1].cumsum()[::-1] - positive + same * positive
    value = float(positive @ below) / pairs
    by_positive = below / pairs - value / positive.sum()
    by_negative = above / pairs - value / negative.sum()
    return Metric(value, _slope(masses, ordered, by_positive, by_negative))


def _pr_auc(masses: Masses, ordered: NDArray[np.bool_]) -> Metric | None:
    """Average precision; rows of the same cell are taken as evenly mixed."""
    positive, negative = _by_score(masses, ordered)
    total = positive.sum()
    if total <= 1e-12:
        return None
    rows = positive + negative
    hits = positive[::-1].cumsum()[::-1] - positive / 2
    taken = np.maximum(rows[::-1].cumsum()[::-1] - rows / 2, 1e-300)
    precision = np.where(rows > 0, hits / taken, 0.0)
    value = float(positive @ precision) / total
    by_hits, by_taken = positive / taken / total, -positive * precision / taken / total
    from_hits = np.cumsum(by_hits) - by_hits / 2
    from_taken = np.cumsum(by_taken) - by_taken / 2
    by_positive = precision / total - value / total + from_hits + from_taken
    return Metric(value, _slope(masses, ordered, by_positive, from_taken))


def _slope(masses: Masses, ordered: NDArray[np.bool_], by_positive: Floats, by_negative: Floats) -> Linear:
    slope, cells = masses.form(), np.repeat(ordered, 2)
    slope.mass[cells] = np.repeat(by_negative, 2)
    for outcome in POSITIVE:
        slope.sums[cells, outcome] = np.repeat(by_positive - by_negative, 2)
    return slope
