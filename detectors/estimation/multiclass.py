"""Metrics of a classifier with more than two classes from group masses. Outcome per row: correct (0/1)."""

from __future__ import annotations

import numpy as np

from detectors.estimation.linear import Floats, Linear, Masses, Metric, mean_of, ratio

CORRECT = 0
OUTCOMES = 1


def multiclass_metrics(masses: Masses, wrong: Floats) -> dict[str, Metric]:
    """Return every metric that the masses define.

    Parameters
    ----------
    masses
        Groups in the order (score cell, predicted class).
    wrong
        ``(K, K)``: how the truth is distributed where a prediction is wrong; rows are predicted classes.
    """
    classes = len(wrong)
    predicted = np.arange(masses.share.size) % classes
    everything, correct = masses.form(), masses.form()
    everything.mass[:] = 1.0
    correct.sums[:, CORRECT] = 1.0
    found: dict[str, Metric | None] = {"accuracy": ratio(correct, everything, masses)}
    per_class, actual_shares = _per_class(masses, predicted, wrong)
    even = dict.fromkeys(actual_shares, 1.0)
    for name, metrics in per_class.items():
        found[f"{name}_macro"] = mean_of(metrics, even)
    found["f1_weighted"] = mean_of(per_class["f1"], actual_shares)
    return {name: metric for name, metric in found.items() if metric is not None}


def _per_class(
    masses: Masses, predicted: np.ndarray[tuple[int], np.dtype[np.intp]], wrong: Floats
) -> tuple[dict[str, dict[str, Metric]], dict[str, float]]:
    per_class: dict[str, dict[str, Metric]] = {"precision": {}, "recall": {}, "f1": {}}
    shares: dict[str, float] = {}
    for k in range(len(wrong)):
        own = (predicted == k).astype(np.float64)
        hits, claimed = masses.form(), masses.form()
        hits.sums[:, CORRECT] = own
        claimed.mass[:] = own
        missed = Linear(wrong[predicted, k], -wrong[predicted, k][:, None])
        actual = hits + missed
        shares[str(k)] = max(actual.at(masses), 0.0)
        parts = {
            "precision": ratio(hits, claimed, masses),
            "recall": ratio(hits, actual, masses),
            "f1": ratio(hits.times(2.0), claimed + actual, masses),
        }
        if parts["f1"] is not None:  # neither predicted nor true: the class does not count
            for name, metric in parts.items():
                per_class[name][str(k)] = metric or Metric(0.0, masses.form())
    return per_class, shares
