r"""How far two histograms lie apart: one function a distance, all columns in one array operation.

Each takes the reference's counts and the sample's, ``(d, K)`` each, and gives float64 ``(d,)``; NaN where
either has no rows. ``p`` and ``q`` are the shares of the reference and of the sample. Distances describe;
they do not decide: their size under no drift hangs on the number of rows (see :mod:`detectors.decision`).

Over bins, every distance here is a lower bound of the one over raw values (data processing inequality; for
Wasserstein-1 up to the width of the bins). With reference quantile bins KS loses at most the largest bin's
share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

Floats = NDArray[np.float64]

EMPTY_CELL_COUNT = 0.5
"""The zero-bin rule of :func:`psi`: a cell that is empty on one side only counts as half a row there."""


TWO_LN_TWO = float(2 * np.log(2))


def shares(counts: ArrayLike) -> Floats:
    """Return each column's counts over its sum; NaN in a column without rows."""
    cells = np.asarray(counts, dtype=np.float64)
    total = cells.sum(axis=-1, keepdims=True)
    if total.min(initial=1.0) > 0:
        known: Floats = cells / total
        return known
    share: Floats = np.divide(cells, total, out=np.full_like(cells, np.nan), where=total > 0)
    return share


def psi(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""PSI, the population stability index :math:`\sum_b (q_b - p_b) \ln(q_b / p_b)`, in nats.

    Prefer :func:`jensen_shannon` for a bounded number. The customary bounds 0.1 and 0.25 hold for large
    samples only: with no drift at all the expectation is about :math:`(K-1)(1/n + 1/N)` (Yurdakul 2018).

    Cells empty on both sides are left out; one empty on one side counts :data:`EMPTY_CELL_COUNT` rows
    there, so the index stays finite and grows with the sample that shows the cell empty.
    """
    a, b = _pair(reference, sample)
    used = (a > 0) | (b > 0)
    total_a, total_b = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    p = np.where(used, np.maximum(a, EMPTY_CELL_COUNT), 1.0) / np.maximum(total_a, 1.0)
    q = np.where(used, np.maximum(b, EMPTY_CELL_COUNT), 1.0) / np.maximum(total_b, 1.0)
    terms = np.where(used, (q - p) * np.log(q / p), 0.0)
    return _where_rows(terms.sum(axis=1), a, b)


def kolmogorov_smirnov(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Largest difference of the cumulative shares, :math:`\max_b |F_p(b) - F_q(b)|`, in [0, 1].

    For cells in an order: give the value cells of numeric columns only.
    """
    p, q = _shares(reference, sample)
    difference: Floats = np.abs(np.cumsum(p, axis=1) - np.cumsum(q, axis=1)).max(axis=1, initial=0.0)
    return difference


def chi_square(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Pearson's statistic of homogeneity, :math:`\sum (O - E)^2 / E` over both samples, uncorrected."""
    a, b = _pair(reference, sample)
    difference, pooled, scale = _contingency(a, b)
    terms = np.divide(difference**2, pooled, out=np.zeros_like(pooled), where=pooled > 0)
    return _where_rows(terms.sum(axis=1) * scale, a, b)


def _contingency(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """For two rows of a table Pearson's sum folds into n N sum (p - q)^2 / (a + b)."""
    p, q = shares(a), shares(b)
    return p - q, a + b, a.sum(axis=1) * b.sum(axis=1)


def g_statistic(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Likelihood ratio statistic of homogeneity, :math:`2 \sum O \ln(O / E)` (Wilks 1938)."""
    a, b = _pair(reference, sample)
    total_a, total_b = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    pooled = (a + b) / np.maximum(total_a + total_b, 1.0)
    terms = rel_entr(a, total_a * pooled) + rel_entr(b, total_b * pooled)
    return _where_rows(2.0 * terms.sum(axis=1), a, b)


def jensen_shannon(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Jensen-Shannon distance: root of the divergence to base 2, a metric in [0, 1].

    Source: Endres & Schindelin 2003.
    """
    p, q = _shares(reference, sample)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / TWO_LN_TWO
    distance: Floats = np.sqrt(np.maximum(divergence, 0.0))
    return distance


def hellinger(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Hellinger distance :math:`\sqrt{\tfrac12 \sum_b (\sqrt{p_b} - \sqrt{q_b})^2}`, in [0, 1]."""
    p, q = _shares(reference, sample)
    distance: Floats = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=1) / 2)
    return distance


def total_variation(reference: ArrayLike, sample: ArrayLike) -> Floats:
    r"""Total variation :math:`\tfrac12 \sum_b |p_b - q_b|`: the share of rows in another cell."""
    p, q = _shares(reference, sample)
    distance: Floats = np.abs(p - q).sum(axis=1) / 2
    return distance


def wasserstein(reference: ArrayLike, sample: ArrayLike, centers: ArrayLike) -> Floats:
    r"""Wasserstein-1 distance :math:`\int |F_p - F_q| dx`, each row moved to its cell's center.

    ``centers`` is ``(d, K)``, increasing in each column. Off by at most the rows' mean distance from their
    centers; values beyond the reference's range count as if in the outermost cell.
    """
    p, q = _shares(reference, sample)
    gaps = np.diff(np.asarray(centers, dtype=np.float64), axis=1)
    below = np.abs(np.cumsum(p, axis=1) - np.cumsum(q, axis=1))[:, :-1]
    distance: Floats = (below * gaps).sum(axis=1)
    return distance


def _pair(reference: ArrayLike, sample: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(sample, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"counts must have one shape (d, K), they have {a.shape} and {b.shape}")
    return a, b


def _shares(reference: ArrayLike, sample: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _pair(reference, sample)
    return shares(a), shares(b)


def _where_rows(values: Floats, a: Floats, b: Floats) -> Floats:
    return np.where((a.sum(axis=1) > 0) & (b.sum(axis=1) > 0), values, np.nan)


class Distances:
    """Every distance from one reference at once: the numbers of the functions above, to the bit.

    What depends on the reference alone is worked out once, and what several distances need once a sample.

    Parameters
    ----------
    reference
        Counts ``(d, K)`` of whole numbers, each column of the same sum.
    ordered
        Columns whose first cells hold ordered values, bool ``(d,)``: for these KS and Wasserstein-1.
    centers
        Centers of these cells, ``(ordered columns, cells)``, increasing.
    """

    NAMES = ("psi", "chi2", "js", "hellinger", "tv", "ks", "wasserstein")

    def __init__(self, reference: NDArray[np.int64], ordered: NDArray[np.bool_], centers: ArrayLike) -> None:
        self._counts = np.asarray(reference, dtype=np.float64)
        self._rows = float(self._counts[0].sum()) if len(self._counts) else 0.0
        self._empty = self._counts == 0
        self._at_least = np.maximum(self._counts, EMPTY_CELL_COUNT) / max(self._rows, 1.0)
        self.shares = shares(self._counts)
        self._roots = np.sqrt(self.shares)
        self._ordered = np.flatnonzero(ordered)
        centers = np.asarray(centers, dtype=np.float64)
        self._cells = centers.shape[1]
        self._gaps = np.diff(centers, axis=1)
        self._below = np.cumsum(shares(self._values(self._counts)), axis=1)

    def _values(self, counts: Floats) -> Floats:
        values: Floats = counts.take(self._ordered, axis=0)[:, : self._cells]
        return values

    def of(self, sample: NDArray[np.int64], rows: int) -> tuple[Floats, Floats]:
        """Return the distances of counts ``(d, K)`` of so many rows each, and their shares.

        The distances are ``(7, d)``, in the order of :attr:`NAMES`.
        """
        distances = np.full((len(self.NAMES), len(self._counts)), np.nan)
        counts = sample.astype(np.float64)
        below = np.abs(self._below - shares(self._values(counts)).cumsum(axis=1))
        distances[5, self._ordered] = below.max(axis=1, initial=0.0)
        distances[6, self._ordered] = (below[:, :-1] * self._gaps).sum(axis=1)
        if not rows or not self._rows:
            return distances, shares(counts)
        p, q = self.shares, counts / rows
        apart = p - q
        terms = np.empty((5, *counts.shape))
        at_least = np.maximum(counts, EMPTY_CELL_COUNT) / rows
        np.multiply(at_least - self._at_least, np.log(at_least / self._at_least), out=terms[0])
        terms[0][self._empty & (counts == 0)] = 0.0
        np.divide(apart**2, np.maximum(self._counts + counts, 1.0), out=terms[1])
        middle = (p + q) / 2
        np.add(rel_entr(p, middle), rel_entr(q, middle), out=terms[2])
        np.square(self._roots - np.sqrt(q), out=terms[3])
        np.abs(apart, out=terms[4])
        terms.sum(axis=2, out=distances[:5])
        distances[1] *= self._rows * rows
        distances[2] = np.sqrt(np.maximum(distances[2] / TWO_LN_TWO, 0.0))
        distances[3] = np.sqrt(distances[3] / 2)
        distances[4] /= 2
        return distances, q
