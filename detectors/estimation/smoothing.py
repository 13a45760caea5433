"""Expected outcomes of every group, thin and empty ones too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BORROWED = 10.0
"""Rows that the neighbourhood of a cell counts for."""
FADING = 0.5


class Expected(NamedTuple):
    """By group: mean outcomes ``(G, V)``, their covariance ``(G, V, V)``, rows behind the mean ``(G,)``."""

    mean: Floats
    covariance: Floats
    rows: Floats


def expected_outcomes(
    rows: Floats, sums: Floats, products: Floats, classes: int, *, across: bool
) -> Expected:
    """Smooth along the scores, apart for each predicted class.

    A group's mean is that of its own rows and of 10 rows like its neighbourhood: the other cells with the
    same predicted class, each further one weighing half. The three special cells have no neighbours and
    borrow from all. Monotone smoothing (isotonic regression) is not used: a model whose score misleads
    somewhere must be seen as it is.

    Parameters
    ----------
    rows, sums, products
        Of groups in the order (score cell, predicted class): ``(G,)``, ``(G, V)``, ``(G, V, V)``.
    classes
        Number of predicted classes.
    across
        Whether the neighbourhood is the same score cell with the other predicted class, wherever that has
        rows: what a threshold divides is not different for it.
    """
    cells, width = rows.size // classes, sums.shape[1]
    flat = np.concatenate((rows[:, None], sums, products.reshape(rows.size, -1)), axis=1)
    flat = flat.reshape(cells, classes, -1)
    beside = flat.sum(axis=1, keepdims=True) - flat
    nearby = np.einsum("st,tkv->skv", _nearness(cells), flat) + (1e3 if across else 1e-9) * beside
    nearby = (nearby + 1e-6 * flat.sum(axis=0) + 1e-12 * flat.sum(axis=(0, 1))).reshape(rows.size, -1)
    borrowed = BORROWED * nearby / np.maximum(nearby[:, :1], 1e-300)
    smooth = flat.reshape(rows.size, -1) + borrowed
    mean = smooth[:, 1 : 1 + width] / smooth[:, :1]
    second = (smooth[:, 1 + width :] / smooth[:, :1]).reshape(rows.size, width, width)
    behind = rows + np.minimum(nearby[:, 0], BORROWED)
    return Expected(mean, second - mean[:, :, None] * mean[:, None, :], behind)


def _nearness(cells: int) -> Floats:
    near = FADING ** np.abs(np.subtract.outer(np.arange(cells), np.arange(cells))).astype(np.float64)
    near[np.diag_indices(cells)] = 0.0
    if cells > 3:
        near[-3:], near[:, -3:] = 0.0, 0.0
    return near
