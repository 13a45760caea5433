"""Binary classification: a 3 x 3 table, histograms of scores by label, exact sums of losses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detectors.performance.class_table import by_class
from detectors.performance.exact import exact_group_sums, exact_sums
from detectors.performance.logarithm import CLIPPED_AT, natural_log
from detectors.performance.ranked_scores import Area, precision_recall_area, roc_area
from detectors.performance.score_bins import BINS, score_bins
from detectors.performance.spec import Floats, Outcomes, PerformanceSpec, Whole
from detectors.performance.tally import (
    CALIBRATION_BINS,
    Metrics,
    Tally,
    calibration_bins,
    calibration_error,
    mean,
    mean_error,
    rate_error,
    ratio,
)

Codes = NDArray[np.int8]
_NEGATIVE, _POSITIVE, _UNKNOWN = range(3)
_TABLE = slice(3, 12)
_CALIBRATION = slice(12, 12 + 2 * CALIBRATION_BINS)
_SCORES = slice(_CALIBRATION.stop, _CALIBRATION.stop + 2 * BINS)


class Binary:
    """Counts binary outcomes.

    Counts: outcomes; rows that are none (no label, or neither prediction nor score); outcomes without a
    score; the table of label by prediction (negative, positive, unknown); labels by calibration bin; labels
    by bin of score. Sums: scores by calibration bin; log loss, its square; squared error, its square.
    """

    cells = _SCORES.stop
    totals = CALIBRATION_BINS + 4

    def __init__(self, spec: PerformanceSpec) -> None:
        self._names = spec.classes
        self._positive = spec.positive_code
        self._negative = 1 - self._positive

    def tally(self, outcomes: Outcomes) -> Tally:
        """Count outcomes."""
        predicted, score, truth = outcomes
        if score.ndim != 1:
            raise ValueError(f"scores of a binary task have shape {score.shape}: give one per outcome")
        counts = np.zeros(self.cells, dtype=np.int64)
        usable = ~(np.isnan(truth) | (np.isnan(predicted) & np.isnan(score)))
        if not usable.all():
            predicted, score, truth = predicted[usable], score[usable], truth[usable]
        by_score = np.where(score >= 0.5, _POSITIVE, _NEGATIVE)
        prediction = np.where(np.isnan(predicted), by_score, self._codes(predicted))
        label = self._codes(truth)
        counts[_TABLE] = np.bincount(label * 3 + prediction, minlength=9)
        scored = (score >= 0.0) & (score <= 1.0)
        known = label != _UNKNOWN
        counts[:3] = label.size, usable.size - label.size, label.size - np.count_nonzero(scored)
        kept = scored & known
        if not kept.all():
            label, score = label[kept], score[kept]
        return Tally(counts, self._losses(counts, label, score) if label.size else [0] * self.totals)

    def _codes(self, values: Floats) -> Codes:
        positive, negative = (values == code for code in (self._positive, self._negative))
        codes: Codes = _UNKNOWN - positive.view(np.int8) - 2 * negative.view(np.int8)
        return codes

    def _losses(self, counts: Whole, label: Codes, score: Floats) -> list[int]:
        """Count the scores, and return their sums and those of the losses."""
        tenth = calibration_bins(score)
        positive = label == _POSITIVE
        counts[_CALIBRATION] = np.bincount(
            positive * CALIBRATION_BINS + tenth, minlength=2 * CALIBRATION_BINS
        )
        counts[_SCORES] = np.bincount(positive * BINS + score_bins(score), minlength=2 * BINS)
        other = 1.0 - score
        likelihood = np.clip(np.where(positive, score, other), CLIPPED_AT, 1.0 - CLIPPED_AT)
        log_loss = -natural_log(likelihood)
        squared = np.where(positive, other, score) ** 2
        losses = np.stack((log_loss, log_loss * log_loss, squared, squared * squared))
        return exact_group_sums(score, tenth, CALIBRATION_BINS) + exact_sums(losses)

    def metrics(self, tally: Tally) -> Metrics:
        """Return the metrics; those of scores are of the outcomes with a score and a known label."""
        n, unusable, no_score = tally.counts[:3].tolist()
        table = tally.counts[_TABLE].reshape(3, 3)
        hits, rejections = int(table[_POSITIVE, _POSITIVE]), int(table[_NEGATIVE, _NEGATIVE])
        labels, predictions = table.sum(axis=1).tolist(), table.sum(axis=0).tolist()
        negatives, positives = tally.counts[_CALIBRATION].reshape(2, CALIBRATION_BINS)
        scored = int(negatives.sum() + positives.sum())
        log_loss, _, squared, _ = tally.sums[CALIBRATION_BINS:]
        scores = tally.sums[:CALIBRATION_BINS]
        roc, precision_recall = self._areas(tally)
        return {
            "n": float(n),
            "positives": float(labels[_POSITIVE]),
            "base_rate": ratio(labels[_POSITIVE], n - labels[_UNKNOWN]),
            "scored": float(scored),
            "mean_score": mean(sum(scores), scored),
            "accuracy": ratio(hits + rejections, n),
            "precision": ratio(hits, predictions[_POSITIVE]),
            "recall": ratio(hits, labels[_POSITIVE]),
            "specificity": ratio(rejections, labels[_NEGATIVE]),
            "f1": ratio(2 * hits, predictions[_POSITIVE] + labels[_POSITIVE]),
            "log_loss": mean(log_loss, scored),
            "brier": mean(squared, scored),
            "roc_auc": roc.value,
            "roc_auc_error": roc.error,
            "pr_auc": precision_recall.value,
            "pr_auc_error": precision_recall.error,
            "calibration_error": calibration_error(positives, scored, scores),
            "unknown_label": float(labels[_UNKNOWN]),
            "unknown_prediction": float(predictions[_UNKNOWN]),
            "no_score": float(no_score),
            "unusable": float(unusable),
        }

    def standard_errors(self, tally: Tally) -> Metrics:
        """Return the standard errors: binomial for rates, of means for losses, by the delta method for F1."""
        n = int(tally.counts[0])
        table = tally.counts[_TABLE].reshape(3, 3)
        hits, rejections = int(table[_POSITIVE, _POSITIVE]), int(table[_NEGATIVE, _NEGATIVE])
        labels, predictions = table.sum(axis=1).tolist(), table.sum(axis=0).tolist()
        scored = int(tally.counts[_CALIBRATION].sum())
        log_loss, log_loss_squares, squared, squared_squares = tally.sums[CALIBRATION_BINS:]
        roc, precision_recall = self._areas(tally)
        return {
            "base_rate": rate_error(labels[_POSITIVE], n - labels[_UNKNOWN]),
            "accuracy": rate_error(hits + rejections, n),
            "precision": rate_error(hits, predictions[_POSITIVE]),
            "recall": rate_error(hits, labels[_POSITIVE]),
            "specificity": rate_error(rejections, labels[_NEGATIVE]),
            "f1": _f1_error(hits, predictions[_POSITIVE] + labels[_POSITIVE] - 2 * hits),
            "log_loss": mean_error(log_loss, log_loss_squares, scored),
            "brier": mean_error(squared, squared_squares, scored),
            "roc_auc": roc.standard_error,
            "pr_auc": precision_recall.standard_error,
        }

    def by_class(self, tally: Tally) -> dict[str, Metrics]:
        """Return precision, recall, F1 and support of each class."""
        negative, positive = by_class(tally.counts[_TABLE].reshape(3, 3))
        return {self._names[self._negative]: negative, self._names[self._positive]: positive}

    def _areas(self, tally: Tally) -> tuple[Area, Area]:
        negatives, positives = tally.counts[_SCORES].reshape(2, BINS)
        return roc_area(negatives, positives), precision_recall_area(negatives, positives)


def _f1_error(hits: int, wrong: int) -> float | None:
    r"""Return the delta-method error of :math:`2t / (2t + w)`: :math:`2 \sqrt{t w (t + w)} / (2t + w)^2`."""
    whole = 2 * hits + wrong
    if whole <= 0:
        return None
    return 2.0 * math.sqrt(max(hits * wrong * (hits + wrong), 0)) / whole**2
