"""Estimator: performance of a window whose labels have not come."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectors.counts import Counts
from detectors.errors import MismatchError
from detectors.estimation.linear import Floats
from detectors.estimation.model import OutcomeModel, Shares

if TYPE_CHECKING:
    from detectors.reference import Reference

LEAST_KNOWN = 0.5
"""Share of a window's rows that must be in cells the reference knows outcomes of."""


class Estimate(NamedTuple):
    """What a metric of a window should be, if outcomes still follow score and features as they did.

    Parameters
    ----------
    value
        The expected metric.
    standard_error
        Of the realized metric around it: sampling of the window's outcomes, and ``model_error``.
    row_variance
        Sampling variance of the metric times the rows, cells being as they are.
    model_error
        Standard error of ``value`` itself: thin cells of the reference, and how estimates of its own chunks
        were off beyond sampling.
    n
        Rows of the window.
    """

    value: float
    standard_error: float
    row_variance: float
    model_error: float
    n: int

    def error_for(self, labels: int) -> float:
        """Return the standard error of a metric realized from so many labels of the window."""
        return math.sqrt(self.row_variance / max(labels, 1) + self.model_error**2)


class Estimator:
    """Estimates performance from counts alone: CBPE for classes, in the manner of DLE for values.

    CBPE: confidence-based performance estimation (Bialek et al. 2024, arXiv 2401.08348), here over the
    score's cells with the outcomes that the reference had in each, so that a score need not be a calibrated
    probability. DLE: direct loss estimation, the expected error by cell of the prediction. It is blind to
    concept drift, when outcomes no longer follow score and features as they did: compare it with labels by
    :func:`disagreement`.

    Parameters
    ----------
    reference
        Whole, or the part of the ``inference`` source: with the columns that windows are counted in.

    Examples
    --------
    >>> from detectors.reference import Reference
    >>> rng = np.random.default_rng(5)
    >>> score = rng.uniform(size=20_000)
    >>> label = rng.uniform(size=20_000) < score
    >>> reference = Reference.build({"score": score, "paid": label}, window_rows=500, label="paid")
    >>> window = reference.count({"score": rng.uniform(0.5, 1.0, size=500), "paid": [None] * 500})
    >>> estimate = Estimator(reference).estimate(window)["accuracy"]
    >>> round(reference.performance.metrics["accuracy"], 2), round(estimate.value, 2)
    (0.75, 0.76)
    """

    def __init__(self, reference: Reference) -> None:
        self._binning = reference.binning
        self._entry = reference.performance
        self._model = None if self._entry is None else OutcomeModel(self._entry)
        self._places = {name: j for j, name in enumerate(reference.names)}

    @property
    def possible(self) -> bool:
        """Whether there is anything to estimate: outcomes in the reference, and the columns they hang on."""
        if self._entry is None:
            return False
        table = self._entry.table
        columns = [name for name in (table.score, table.prediction) if name is not None]
        return bool(columns) and all(name in self._places for name in columns)

    def estimate(self, counts: Counts, only: str | None = None) -> dict[str, Estimate]:
        """Estimate the metrics of a window, or ``only`` that one; those that cannot be known are left out.

        Raises :class:`MismatchError` for counts of another reference.
        """
        if counts.cells.shape != (len(self._places), self._binning.width):
            raise MismatchError(
                f"counts of shape {counts.cells.shape} do not belong to this reference,"
                f" whose shape is {(len(self._places), self._binning.width)}"
            )
        if not self.possible or self._model is None or self._entry is None or counts.n == 0:
            return {}
        shares = self._shares(counts, self._model)
        if shares is None:
            return {}
        found = {}
        for name, expected in self._model.expect(shares, only).items():
            variation = self._entry.variation.get(name)
            tau2 = 0.0 if variation is None else variation.residual_tau2
            model = expected.model_variance + tau2
            error = math.sqrt(expected.row_variance / counts.n + model)
            if math.isfinite(expected.value) and math.isfinite(error):
                found[name] = Estimate(
                    expected.value, error, expected.row_variance, math.sqrt(model), counts.n
                )
        return found

    def _shares(self, counts: Counts, model: OutcomeModel) -> Shares | None:
        entry = self._entry
        assert entry is not None
        table, regression = entry.table, entry.spec.task == "regression"
        axis = table.prediction if regression else table.score
        scores = np.ones(1) if axis is None else self._cells(counts, axis)
        known = np.where(model.known, scores, 0.0)
        if known.sum() < LEAST_KNOWN * scores.sum() or known.sum() == 0:
            return None
        predicted = None
        if table.prediction is not None and not regression:
            predicted = self._predicted(counts, table.prediction, table.predicted, entry.classes)
        features = {
            correction.column: _normalised(self._cells(counts, correction.column))
            for correction in table.corrections
            if correction.column in self._places
        }
        return Shares(_normalised(known), predicted, features)

    def _cells(self, counts: Counts, column: str) -> Floats:
        """Return the rows in the cells of a column: value cells, missing, invalid, unseen."""
        place = self._places[column]
        own = int(self._binning.value_cells[place])
        row = counts.cells[place]
        return np.concatenate((row[:own], row[-3:])).astype(np.float64)

    def _predicted(self, counts: Counts, column: str, classes: tuple[int, ...], number: int) -> Floats | None:
        """Return the shares of the predicted classes; ``None`` where most predictions are unknown."""
        cells = self._cells(counts, column)[:-3]
        codes = np.array(classes)
        known = np.bincount(codes[codes >= 0], weights=cells[codes >= 0], minlength=number).astype(float)
        return _normalised(known) if known.sum() >= LEAST_KNOWN * counts.n else None


def _normalised(rows: Floats) -> Floats:
    shares: Floats = rows / max(float(rows.sum()), 1.0)
    return shares
