"""Regression: exact sums of errors, of their squares, and of labels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from detectors.performance.exact import LARGEST_SQUARED, exact_products, exact_sums
from detectors.performance.spec import Outcomes, PerformanceSpec
from detectors.performance.tally import Metrics, Tally, mean, mean_error


class Regression:
    """Counts predicted values.

    Counts: outcomes; rows that are none (not finite, or beyond 1e75); labels of zero (below 1e-75), which
    have no relative error. Sums: error (prediction less label), its magnitude, its square, the square of
    that; relative error, its square; label, its square.
    """

    cells = 3
    totals = 8

    def __init__(self, spec: PerformanceSpec) -> None:
        del spec  # nothing of it matters here

    def tally(self, outcomes: Outcomes) -> Tally:
        """Count outcomes."""
        predicted, _, truth = outcomes
        # NaN compares as false.
        usable = (np.abs(predicted) <= LARGEST_SQUARED) & (np.abs(truth) <= LARGEST_SQUARED)
        predicted, truth = predicted[usable], truth[usable]
        error = predicted - truth
        magnitude = np.abs(error)
        zero = np.abs(truth) < 1.0 / LARGEST_SQUARED
        relative = np.divide(magnitude, np.abs(truth), out=np.zeros_like(error), where=~zero)
        square, square_lost = exact_products(error, error)
        label_square, label_lost = exact_products(truth, truth)
        once = (error, magnitude, square, square * square, relative, relative * relative, truth, label_square)
        *sums, square_left, label_left = exact_sums(np.stack((*once, square_lost, label_lost)))
        sums[2] += square_left
        sums[7] += label_left
        counts = np.array([truth.size, usable.size - truth.size, np.count_nonzero(zero)], dtype=np.int64)
        return Tally(counts, sums)

    def metrics(self, tally: Tally) -> Metrics:
        """Return the metrics, each rounded once from an exact sum. R² is of labels that differ."""
        n, unusable, zero = tally.counts.tolist()
        error, magnitude, square, _, relative, _, label, label_square = tally.sums
        scatter = n * (label_square << 1074) - label * label
        mean_square = mean(square, n)
        return {
            "n": float(n),
            "mae": mean(magnitude, n),
            "rmse": None if mean_square is None else math.sqrt(max(mean_square, 0.0)),
            "mape": mean(relative, n - zero),
            "r2": float(1 - Fraction(n * (square << 1074), scatter)) if n > 1 and scatter > 0 else None,
            "bias": mean(error, n),
            "mean_label": mean(label, n),
            "zero_labels": float(zero),
            "unusable": float(unusable),
        }

    def standard_errors(self, tally: Tally) -> Metrics:
        """Return the standard errors of means; that of the root by the delta method. R² has none here."""
        n, _, zero = tally.counts.tolist()
        error, magnitude, square, fourth, relative, relative_square, *_ = tally.sums
        of_square = mean_error(square, fourth, n)
        root = math.sqrt(max(mean(square, n) or 0.0, 0.0))
        return {
            "mae": mean_error(magnitude, square, n),
            "rmse": of_square / (2.0 * root) if of_square is not None and root > 0 else of_square,
            "mape": mean_error(relative, relative_square, n - zero),
            "bias": mean_error(error, square, n),
        }

    def by_class(self, tally: Tally) -> dict[str, Metrics]:
        """Return nothing: there are no classes."""
        del tally
        return {}
