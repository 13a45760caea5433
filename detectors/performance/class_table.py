"""What a table of labels (rows) by predictions (columns) says of classes; the last of each is unknown."""

from __future__ import annotations

import math

import numpy as np

from detectors.performance.spec import Floats, Whole
from detectors.performance.tally import Metrics, ratio


def by_class(table: Whole) -> list[Metrics]:
    """Return precision, recall, F1, support (labels) and predictions of each known class."""
    hits, labels, predictions = (part.tolist() for part in _margins(table))
    return [
        {
            "precision": ratio(hit, predicted),
            "recall": ratio(hit, support),
            "f1": ratio(2 * hit, predicted + support),
            "support": support,
            "predicted": predicted,
        }
        for hit, support, predicted in zip(hits, labels, predictions, strict=True)
    ]


def macro_metrics(table: Whole) -> Metrics:
    """Return precision, recall and F1, averaged over classes; F1 also weighted by support.

    As scikit-learn averages: over classes that are the label or the prediction of at least one outcome; a
    class never predicted has precision 0, one never labelled recall 0.
    """
    hits, labels, predictions = _margins(table)
    seen = labels + predictions > 0
    if not seen.any() or int(table.min()) < 0:
        return dict.fromkeys(("precision_macro", "recall_macro", "f1_macro", "f1_weighted"))
    hits, labels, predictions = hits[seen], labels[seen], predictions[seen]
    f1 = 2.0 * hits / (labels + predictions)
    support = float(labels.sum())
    return {
        "precision_macro": float(np.mean(hits / np.maximum(predictions, 1.0))),
        "recall_macro": float(np.mean(hits / np.maximum(labels, 1.0))),
        "f1_macro": float(np.mean(f1)),
        "f1_weighted": ratio(math.fsum((f1 * labels).tolist()), support),
    }


def f1_errors(table: Whole) -> Metrics:
    r"""Return the standard errors of both averages of F1, by the delta method on a multinomial table.

    With :math:`D_c` the labels and predictions of class c together and :math:`F_c = 2 n_{cc} / D_c`, one more
    outcome in cell (i, j) changes :math:`\sum_c w_c F_c` by :math:`g_{ij} = 2 w_i [i = j] / D_i -
    w_i F_i / D_i - w_j F_j / D_j`, plus :math:`(F_i - F) / n` where the weights are the support. The variance
    is :math:`\sum n_{ij} (g_{ij} - \bar g)^2`.
    """
    hits, labels, predictions = _margins(table)
    both = labels + predictions
    support = float(labels.sum())
    if support <= 0 or int(table.min()) < 0:
        return {"f1_macro": None, "f1_weighted": None}
    f1 = np.divide(2.0 * hits, both, out=np.zeros_like(hits), where=both > 0)
    seen = (both > 0).astype(np.float64)
    weights = labels / support
    shift = np.append((f1 - float(np.sum(weights * f1))) / support, 0.0)
    return {
        "f1_macro": _scatter(table, _gradient(f1, both, seen / seen.sum())),
        "f1_weighted": _scatter(table, _gradient(f1, both, weights) + shift[:, None]),
    }


def _margins(table: Whole) -> tuple[Floats, Floats, Floats]:
    """Return hits, labels and predictions of each known class."""
    whole = table.astype(np.float64)
    return np.diag(whole)[:-1].copy(), whole.sum(axis=1)[:-1], whole.sum(axis=0)[:-1]


def _gradient(f1: Floats, both: Floats, weights: Floats) -> Floats:
    per_row = np.divide(weights, both, out=np.zeros_like(both), where=both > 0)
    loss = np.append(per_row * f1, 0.0)
    gradient: Floats = -(loss[:, None] + loss[None, :])
    np.fill_diagonal(gradient, gradient.diagonal() + 2.0 * np.append(per_row, 0.0))
    return gradient


def _scatter(table: Whole, gradient: Floats) -> float:
    n = float(table.sum())
    mean = float(np.sum(table * gradient)) / n
    return math.sqrt(float(np.sum(table * (gradient - mean) ** 2)))
