"""Which part of a window's rows is in each group, from the counts of single columns alone.

The score column says how many rows are in each score cell, the prediction column how many were predicted in
each class. What was predicted *within* a score cell is not counted, so it is taken from the reference and
bent until it agrees with both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 50
CLOSE = 1e-9
TRACE = 1e-6


def threshold_shares(scores: Floats, reference: Floats, positive: float | None) -> Floats:
    """Return shares ``(S, 2)`` of a binary classifier.

    Parameters
    ----------
    scores
        Share of each score cell ``(S,)``, lowest first, adding up to 1.
    reference
        Part of each cell's rows that the reference predicted as positive, ``(S,)``.
    positive
        Share of all rows predicted as positive; ``None`` where unknown: as in the reference, cell by cell.

    More positives than the reference would have predicted are taken from the highest cells that have room,
    fewer from the lowest: that is what a moved threshold does.
    """
    taken = scores * reference
    if positive is not None:
        missing = positive - taken.sum()
        room = (scores - taken)[::-1] if missing > 0 else taken
        used = np.minimum(np.cumsum(room), abs(missing))
        moved = np.diff(used, prepend=0.0)
        taken = taken + moved[::-1] if missing > 0 else taken - moved
    return np.stack((scores - taken, taken), axis=1)


def fitted_shares(scores: Floats, reference: Floats, predicted: Floats | None) -> Floats:
    """Return shares ``(S, K)``: the reference's ``(S, K)`` rows, fitted to both margins.

    Iterative proportional fitting (Deming & Stephan 1940), which keeps the association that the reference
    has. A trace of independence makes every combination possible. Without ``predicted`` ``(K,)`` only the
    scores are fitted.
    """
    total = reference.sum()
    independent = np.outer(reference.sum(axis=1) + 1.0, reference.sum(axis=0) + 1.0)
    table: Floats = reference / max(total, 1.0) + TRACE * independent / independent.sum()
    for _ in range(ROUNDS):
        table = table * (scores / table.sum(axis=1))[:, None]
        if predicted is None:
            break
        columns = table.sum(axis=0)
        if np.abs(columns - predicted).max() < CLOSE:
            break
        table = table * (predicted / np.maximum(columns, np.finfo(np.float64).tiny))
        table = np.maximum(table, np.finfo(np.float64).tiny)
    return table
