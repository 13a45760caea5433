"""Transitions of the label join, grouped into what they add to and take from each pane and stratum.

Sums of counts do not depend on the order of transitions, nor on how the journal is cut into pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.join import Transitions


@dataclass(frozen=True)
class OutcomeRows:
    """Predictions with their labels, one row each; ``delay_ms`` = label time less prediction time."""

    prediction: NDArray[np.float64]
    score: NDArray[np.float64]
    label: NDArray[np.float64]
    value: NDArray[np.float64]
    delay_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.prediction)


@dataclass(frozen=True)
class Folded:
    """What transitions change in one pane and stratum.

    Parameters
    ----------
    predictions
        Number of new predictions.
    added, removed
        Outcomes to count with sign 1 and -1. A corrected label is in both: with the new and with the old one.
    silent, answered
        Shape (n, 2), prediction and score: of new predictions without a label, and of predictions that were
        without one before. Their difference are the predictions without a label.
    """

    predictions: int
    added: OutcomeRows
    removed: OutcomeRows
    silent: NDArray[np.float64]
    answered: NDArray[np.float64]


def fold(transitions: Transitions, slide_ms: int) -> dict[tuple[int, int], Folded]:
    """Group transitions by pane of the prediction's event time and stratum.

    Returns
    -------
    (start of the pane in ms, stratum) to :class:`Folded`, sorted.
    """
    if not len(transitions):
        return {}
    start = transitions["ts_ms"] // slide_ms * slide_ms
    order = np.lexsort((transitions["stratum"], start))
    start, stratum = start[order], transitions["stratum"][order]
    changes = np.flatnonzero((np.diff(start) != 0) | (np.diff(stratum) != 0)) + 1
    return {
        (int(start[first]), int(stratum[first])): _folded(transitions[rows])
        for first, rows in zip([0, *changes.tolist()], np.split(order, changes), strict=True)
    }


def _folded(rows: Transitions) -> Folded:
    is_new, has_old, has_new = rows["is_new_prediction"], rows["has_old"], rows["has_new"]
    return Folded(
        predictions=int(np.count_nonzero(is_new)),
        added=_outcomes(rows[has_new], "new"),
        removed=_outcomes(rows[has_old], "old"),
        silent=_predicted(rows[is_new & ~has_new]),
        answered=_predicted(rows[has_new & ~has_old & ~is_new]),
    )


def _outcomes(rows: Transitions, side: str) -> OutcomeRows:
    return OutcomeRows(
        np.ascontiguousarray(rows["prediction"]),
        np.ascontiguousarray(rows["score"]),
        np.ascontiguousarray(rows[f"{side}_label"]),
        np.ascontiguousarray(rows[f"{side}_value"]),
        rows[f"{side}_ts_ms"] - rows["ts_ms"],
    )


def _predicted(rows: Transitions) -> NDArray[np.float64]:
    return np.column_stack((rows["prediction"], rows["score"]))
