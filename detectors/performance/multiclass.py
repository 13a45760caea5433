"""Classification into many classes: the table of labels by predictions, confidence, log loss."""

from __future__ import annotations

import numpy as np

from detectors.performance.class_table import by_class, f1_errors, macro_metrics
from detectors.performance.exact import exact_group_sums, exact_sums
from detectors.performance.logarithm import CLIPPED_AT, natural_log
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

_OFF_ONE = 1e-3
"""How far the probabilities of all classes may add up to something else than 1, as of single precision."""
_CALIBRATION = slice(4, 4 + 2 * CALIBRATION_BINS)
_TABLE = _CALIBRATION.stop


class Multiclass:
    """Counts outcomes of many classes; a class that the reference did not know is one more, never right.

    Counts: outcomes; rows that are none (no label, or nothing to derive a prediction from); outcomes
    without a usable score; outcomes with all probabilities; wrong and right by bin of confidence; the table
    of labels by predictions. Sums: confidence by its bin; log loss and its square.
    """

    totals = CALIBRATION_BINS + 2

    def __init__(self, spec: PerformanceSpec) -> None:
        self._names = spec.classes
        self._known = len(spec.classes)
        self.cells = _TABLE + (self._known + 1) ** 2

    def tally(self, outcomes: Outcomes) -> Tally:
        """Count outcomes."""
        counts = np.zeros(self.cells, dtype=np.int64)
        predicted, score, truth = outcomes
        if score.ndim == 2:
            predicted, score, likelihood = self._of_vectors(outcomes)
        else:
            likelihood = np.full(truth.size, np.nan)
        usable = ~(np.isnan(truth) | np.isnan(predicted))
        label, prediction = self._codes(truth[usable]), self._codes(predicted[usable])
        score, likelihood = score[usable], likelihood[usable]
        scored = (score >= 0.0) & (score <= 1.0) & (prediction < self._known)
        counts[:3] = label.size, usable.size - label.size, label.size - np.count_nonzero(scored)
        width = self._known + 1
        counts[_TABLE:] = np.bincount(label * width + prediction, minlength=width * width)
        scored &= label < self._known
        right = (label == prediction)[scored]
        tenth = calibration_bins(score[scored])
        counts[_CALIBRATION] = np.bincount(right * CALIBRATION_BINS + tenth, minlength=2 * CALIBRATION_BINS)
        likelihood = likelihood[~np.isnan(likelihood)]
        counts[3] = likelihood.size
        log_loss = -natural_log(np.clip(likelihood, CLIPPED_AT, 1.0 - CLIPPED_AT))
        losses = exact_sums(np.stack((log_loss, log_loss * log_loss)))
        return Tally(counts, exact_group_sums(score[scored], tenth, CALIBRATION_BINS) + losses)

    def _codes(self, values: Floats) -> Whole:
        known = (values >= 0) & (values < self._known) & (values == np.floor(values))
        return np.where(known, values, self._known).astype(np.int64)

    def _of_vectors(self, outcomes: Outcomes) -> tuple[Floats, Floats, Floats]:
        """Return the prediction, its probability and that of the label, from all probabilities."""
        predicted, score, truth = outcomes
        if score.shape[1] != self._known:
            raise ValueError(f"scores of {self._known} classes have shape {score.shape}: give one per class")
        with np.errstate(invalid="ignore"):
            whole = np.all((score >= 0.0) & (score <= 1.0), axis=1)
            whole &= np.abs(score.sum(axis=1) - 1.0) <= _OFF_ONE
        likeliest = np.where(whole, np.argmax(np.where(np.isnan(score), -1.0, score), axis=1), np.nan)
        predicted = np.where(np.isnan(predicted), likeliest, predicted)
        return predicted, self._pick(score, predicted, whole), self._pick(score, truth, whole)

    def _pick(
        self, score: Floats, values: Floats, whole: np.ndarray[tuple[int], np.dtype[np.bool]]
    ) -> Floats:
        codes = self._codes(values)
        rows = np.arange(codes.size)
        found = score[rows, np.minimum(codes, self._known - 1)]
        return np.where(whole & (codes < self._known), found, np.nan)

    def metrics(self, tally: Tally) -> Metrics:
        """Return the metrics; calibration is that of the predicted class (Guo et al. 2017)."""
        n, unusable, no_score, with_all = tally.counts[:4].tolist()
        wrong, right = tally.counts[_CALIBRATION].reshape(2, CALIBRATION_BINS)
        scored = int(wrong.sum() + right.sum())
        confidence = tally.sums[:CALIBRATION_BINS]
        table = self._table(tally)
        known = slice(self._known)
        return {
            "n": float(n),
            "scored": float(scored),
            "accuracy": ratio(float(np.trace(table[known, known])), n),
            **macro_metrics(table),
            "log_loss": mean(tally.sums[CALIBRATION_BINS], with_all),
            "mean_score": mean(sum(confidence), scored),
            "calibration_error": calibration_error(right, scored, confidence),
            "unknown_label": float(table[-1].sum()),
            "unknown_prediction": float(table[:, -1].sum()),
            "no_score": float(no_score),
            "unusable": float(unusable),
        }

    def standard_errors(self, tally: Tally) -> Metrics:
        """Return the standard errors: binomial for accuracy, delta method for F1, of a mean for the loss."""
        table = self._table(tally)
        log_loss, squares = tally.sums[CALIBRATION_BINS:]
        return {
            "accuracy": rate_error(float(np.trace(table[:-1, :-1])), int(tally.counts[0])),
            **f1_errors(table),
            "log_loss": mean_error(log_loss, squares, int(tally.counts[3])),
        }

    def by_class(self, tally: Tally) -> dict[str, Metrics]:
        """Return precision, recall, F1 and support of each class."""
        return dict(zip(self._names, by_class(self._table(tally)), strict=True))

    def _table(self, tally: Tally) -> Whole:
        width = self._known + 1
        return tally.counts[_TABLE:].reshape(width, width)
