r"""What features add to the expected outcomes beyond the score.

The mean outcome of a row is modelled as :math:`a(g) + \sum_f b_f(c_f)`: one number for its group and one
for the cell of each feature that matters. Such a sum of functions of single columns is exactly linear in the
counts of single columns, so a window's expectation needs no joint counts. Importance weighting of rows (PAPE:
Bialek et al. 2024, arXiv 2401.08348) aims at the same; here features are assumed to act additively.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from detectors.estimation.grouping import Cells
from detectors.estimation.table import Correction

Floats = NDArray[np.float64]

LEVEL = 1e-3
MOST_FEATURES = 8
THICK = 30
"""Cells with fewer rows do not say whether a feature matters."""
FEWEST_ROWS = 2000
"""With fewer rows with a label nothing is corrected: the noise of the effects would exceed what they mend."""


class Feature(NamedTuple):
    """A feature's cell in every usable row, and how many cells there are."""

    column: str
    cell: Cells
    cells: int


class Corrections(NamedTuple):
    """Corrections, and how much of them the groups account for, ``(G, U)``."""

    features: tuple[Correction, ...]
    explained: Floats


def learn_corrections(
    group: Cells, groups: int, outcomes: Floats, features: Sequence[Feature], primary: Sequence[int]
) -> Corrections:
    """Choose the features that matter and fit their effects together.

    Parameters
    ----------
    group, groups
        Group of every usable row ``(n,)``, and how many groups there are.
    outcomes
        Of the usable rows, ``(n, U)``.
    features
        All that could matter.
    primary
        The outcomes that decide whether a feature does.

    A feature is taken when the residuals of the primary outcomes differ between its cells (chi-square at 1e-3
    in all), at most 8. Effects are shrunk by ridge regression, as strongly as their own spread says
    (empirical Bayes: Efron & Morris 1973).
    """
    rows = np.bincount(group, minlength=groups)
    residual = np.stack(
        [
            u - (np.bincount(group, weights=u, minlength=groups) / np.maximum(rows, 1))[group]
            for u in outcomes.T
        ],
        axis=1,
    )
    chosen = _chosen(group, residual[:, list(primary)], rows, features)
    if group.size < FEWEST_ROWS or not chosen:
        return Corrections((), np.zeros((groups, outcomes.shape[1])))
    normal, overlap, totals = _equations(group, rows, chosen)
    target = np.concatenate([_summed(f, residual) for f in chosen])
    owner = np.repeat(np.arange(len(chosen)), [f.cells for f in chosen])
    effects, variance = _shrunk(normal, target, np.mean(residual**2, axis=0), owner)
    bounds = np.cumsum([0, *(feature.cells for feature in chosen)]).tolist()
    for start, stop in pairwise(bounds):
        effects[start:stop] -= totals[start:stop] @ effects[start:stop] / group.size
    corrections = tuple(
        Correction(
            feature.column,
            tuple(effects[start:stop].reshape(-1).tolist()),
            tuple(variance[start:stop].reshape(-1).tolist()),
        )
        for feature, (start, stop) in zip(chosen, pairwise(bounds), strict=True)
    )
    return Corrections(corrections, overlap @ effects)


def _chosen(
    group: Cells, residual: Floats, rows: NDArray[np.int64], features: Sequence[Feature]
) -> list[Feature]:
    """Return the features whose cells have significantly different residuals, the surest first.

    The variance of a cell's sum is that of its rows after the means of the groups were taken off: a feature
    that the score follows from has none left and is not taken.
    """
    size = np.maximum(rows, 1)
    spread = [np.bincount(group, weights=u**2, minlength=rows.size) / size for u in residual.T]
    found = []
    for place, feature in enumerate(features):
        joint = _crossed(group, rows.size, feature.cell, feature.cells)
        filled = joint.sum(axis=0) >= THICK
        statistic = freedom = 0.0
        for u, sums in zip(spread, _summed(feature, residual).T, strict=True):
            expected = u @ (joint - joint**2 / size[:, None])
            used = filled & (expected > 1e-3 * (u @ joint))
            statistic += float(np.sum(sums[used] ** 2 / expected[used]))
            freedom += max(float(np.count_nonzero(used)) - 1.0, 0.0)
        if freedom > 0 and chdtrc(freedom, statistic) < LEVEL / len(features):
            found.append((float(chdtrc(freedom, statistic)), place))
    return [features[place] for _, place in sorted(found)[:MOST_FEATURES]]


def _crossed(a: Cells, a_cells: int, b: Cells, b_cells: int) -> Floats:
    table = np.bincount(a * b_cells + b, minlength=a_cells * b_cells).reshape(a_cells, b_cells)
    return table.astype(np.float64)


def _summed(feature: Feature, columns: Floats) -> Floats:
    sums = [np.bincount(feature.cell, weights=u, minlength=feature.cells) for u in columns.T]
    return np.stack(sums, axis=1)


def _equations(
    group: Cells, rows: NDArray[np.int64], chosen: Sequence[Feature]
) -> tuple[Floats, Floats, Floats]:
    """Return the normal equations of the cells' indicators with the groups projected out.

    Also the share of each cell in each group ``(G, cells)``, and the rows of each cell.
    """
    joint = np.concatenate([_crossed(group, rows.size, f.cell, f.cells) for f in chosen], axis=1)
    crossed = [[_crossed(a.cell, a.cells, b.cell, b.cells) for b in chosen] for a in chosen]
    overlap = joint / np.maximum(rows, 1)[:, None]
    return np.block(crossed) - joint.T @ overlap, overlap, joint.sum(axis=0)


def _shrunk(normal: Floats, target: Floats, noise: Floats, owner: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Solve by ridge regression, outcome by outcome; return the effects and their variances.

    A feature's ridge comes from how far its cells' effects are spread beyond noise, one at a time.
    """
    weight = np.maximum(np.diag(normal), 0.0)
    effects, variance = np.zeros_like(target), np.zeros_like(target)
    heavy = np.bincount(owner, weights=weight)[owner]
    for outcome in np.flatnonzero(noise > 0.0):
        surprise = target[:, outcome] ** 2 / np.maximum(weight, 1.0) / noise[outcome] - (weight > 0)
        surplus = np.maximum(np.bincount(owner, weights=surprise), 1e-3)[owner]
        ridge = heavy / surplus
        effects[:, outcome] = np.linalg.solve(normal + np.diag(ridge), target[:, outcome])
        variance[:, outcome] = noise[outcome] / (weight + ridge)
    return effects, variance
