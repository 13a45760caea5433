"""Rows of a reference: the group and the outcomes of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.binning import INVALID, MISSING, UNSEEN, CategoricalBins, Column, NumericBins
from detectors.estimation.binary import POSITIVE
from detectors.estimation.task import Judged
from detectors.performance.logarithm import CLIPPED_AT

LARGEST_RELATIVE = 1e15
"""Truths that are smaller than the largest by that factor have no relative error here."""

Floats = NDArray[np.float64]
Cells = NDArray[np.intp]


class Grouped(NamedTuple):
    """The usable rows of a reference.

    ``usable`` ``(n,)`` tells them among all; of the usable ones: ``score_cell``, ``predicted`` (class, 0 for
    a regression), ``outcomes`` ``(., U)``, ``score``. ``score_cells`` and ``classes`` are how many there are.
    """

    usable: NDArray[np.bool_]
    score_cell: Cells
    predicted: Cells
    outcomes: Floats
    score: Floats
    score_cells: int
    classes: int
    center: float
    scale: float

    @property
    def group(self) -> Cells:
        """Group of each usable row."""
        return self.score_cell * self.classes + self.predicted


def cells_of(bins: Column, encoded: NDArray[Any]) -> Cells:
    """Return the cell of every encoded value: value cells, then missing, invalid, unseen."""
    special = {MISSING: 0, INVALID: 1, UNSEEN: 2}
    if isinstance(bins, CategoricalBins):
        cells = encoded.astype(np.intp)
        for code, place in special.items():
            cells[encoded == code] = bins.value_cells + place
        return cells
    found = np.searchsorted(np.array(bins.edges), encoded, side="right").astype(np.intp)
    found[np.isinf(encoded)] = bins.value_cells + special[INVALID]
    found[np.isnan(encoded)] = bins.value_cells + special[MISSING]
    return found


def group_rows(judged: Judged, axis: NumericBins | None, encoded: NDArray[Any] | None) -> Grouped:
    """Put the rows into groups.

    Parameters
    ----------
    axis, encoded
        Bins and values of the column that the groups are cut along: the score, or the prediction of a
        regression; ``None`` for a classifier without a score.
    """
    prediction, score, label = judged.outcomes
    if axis is None or encoded is None:
        cell, cells = np.zeros(label.size, dtype=np.intp), 1
    else:
        cell, cells = cells_of(axis, encoded), axis.value_cells + 3
    usable = np.isfinite(label)
    classes, center, scale = max(len(judged.spec.classes), 1), 0.0, 1.0
    if judged.spec.task == "binary":
        positive = judged.spec.positive_code
        by_score = np.where(np.isnan(score), np.nan, (score >= 0.5).astype(np.float64))
        predicted = np.where(np.isnan(prediction), by_score, prediction == positive)
        usable &= np.isfinite(predicted)
        outcomes = _binary(score, label == positive, predicted == 1.0)
    elif judged.spec.task == "multiclass":
        predicted = prediction
        usable &= np.isfinite(predicted)
        outcomes = (prediction == label).astype(np.float64)[:, None]
    else:
        usable &= np.isfinite(prediction)
        predicted = np.zeros(label.size)
        scale = _power_of_two(label[usable], prediction[usable])
        center = float((label[usable] / scale).mean()) if usable.any() else 0.0
        outcomes = _regression(prediction / scale, label / scale, center)
    chosen = predicted[usable].astype(np.intp)
    return Grouped(
        usable, cell[usable], chosen, outcomes[usable], score[usable], cells, classes, center, scale
    )


def _binary(score: Floats, positive: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Floats:
    known, score = np.isfinite(score), np.clip(score, 0.0, 1.0)
    sure = np.clip(np.where(positive, score, 1.0 - score), CLIPPED_AT, 1.0)
    log_loss = np.where(known, -np.log(np.where(known, sure, 1.0)), 0.0)
    brier = np.where(known, (np.where(known, score, 0.0) - positive) ** 2, 0.0)
    return np.stack((positive & predicted, positive & ~predicted, log_loss, brier), axis=1, dtype=np.float64)


def _power_of_two(*values: Floats) -> float:
    """Return one that no value exceeds: dividing by it is exact."""
    largest = max(float(np.abs(column).max(initial=0.0)) for column in values)
    return float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _regression(prediction: Floats, label: Floats, center: float) -> Floats:
    error, truth = prediction - label, label - center
    nonzero = np.abs(label) > 1.0 / LARGEST_RELATIVE
    relative = np.divide(np.abs(error), np.abs(label), out=np.zeros_like(label), where=nonzero)
    columns = (np.abs(error), error**2, error, relative, nonzero.astype(np.float64), truth, truth**2)
    return np.stack(columns, axis=1)


def concordance(grouped: Grouped) -> tuple[float, ...]:
    """Chance per score cell that of a positive and a negative in it the positive is higher; ties half."""
    inside = np.full(grouped.score_cells, 0.5)
    order = np.lexsort((grouped.score, grouped.score_cell))
    bounds = np.searchsorted(grouped.score_cell[order], np.arange(grouped.score_cells + 1))
    for cell in range(grouped.score_cells - 3):
        rows = order[bounds[cell] : bounds[cell + 1]]
        positive = grouped.outcomes[rows][:, POSITIVE].sum(axis=1)
        hits = positive.sum()
        if min(hits, rows.size - hits) < 1:
            continue
        _, place, sizes = np.unique(grouped.score[rows], return_inverse=True, return_counts=True)
        rank = (np.cumsum(sizes) - (sizes - 1) / 2)[place.reshape(-1)]
        wins = float(rank @ positive) - hits * (hits + 1) / 2
        # Ten pairs' worth of even chances: a handful of rows says little.
        inside[cell] = (wins + 5.0) / (hits * (rows.size - hits) + 10.0)
    return tuple(inside.tolist())
