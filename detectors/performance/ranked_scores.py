r"""Areas under curves from the histograms of scores of positives and negatives.

Both areas are those of scores rounded to their bins, where equal scores are ties. They equal the areas of the
raw scores when no bin holds two different ones; else they differ by at most the error given with them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from detectors.performance.spec import Floats, Whole


class Area(NamedTuple):
    """An area under a curve, its largest distance from that of raw scores, its standard error."""

    value: float | None
    error: float | None
    standard_error: float | None


UNKNOWN = Area(None, None, None)


def roc_area(negatives: Whole, positives: Whole) -> Area:
    r"""Return the area under the ROC curve of scores counted in bins, lowest first.

    A pair of one bin counts 1/2, so the error is at most half of such pairs: :math:`\frac12 \sum_b p_b q_b /
    (PQ)`. The standard error is that of DeLong, DeLong & Clarke-Pearson (1988) on the binned scores.
    """
    p, q = positives.astype(np.float64), negatives.astype(np.float64)
    all_p, all_q = float(p.sum()), float(q.sum())
    if min(all_p, all_q) <= 0 or min(float(p.min()), float(q.min())) < 0:
        return UNKNOWN
    beaten = (np.cumsum(q) - 0.5 * q) / all_q  # by a positive of the bin
    beating = (all_p - np.cumsum(p) + 0.5 * p) / all_p  # a negative of the bin
    area = float(np.sum(p * beaten)) / all_p
    within = 0.5 * float(np.sum(p * q)) / (all_p * all_q)
    if min(all_p, all_q) < 2:
        return Area(area, within, None)
    by_positives = float(np.sum(p * (beaten - area) ** 2)) / (all_p - 1.0) / all_p
    by_negatives = float(np.sum(q * (beating - area) ** 2)) / (all_q - 1.0) / all_q
    return Area(area, within, math.sqrt(by_positives + by_negatives))


def precision_recall_area(negatives: Whole, positives: Whole) -> Area:
    r"""Return the average precision, :math:`\sum_k (R_k - R_{k-1}) P_k`, of scores counted in bins.

    Within a bin of p positives and q negatives, after T positives and F negatives of higher score, no order
    gives more than :math:`p (T+p) / (T+p+F)` (positives first, tied), nor less than :math:`\sum_{i \le p}
    (T+i) / (T+i+F+q)` (negatives first). The standard error is the binomial one of Boyd, Eng & Page (2013),
    section 3.2.
    """
    p, q = positives[::-1].astype(np.float64), negatives[::-1].astype(np.float64)
    all_p = float(p.sum())
    if all_p <= 0 or min(float(p.min()), float(q.min())) < 0:
        return UNKNOWN
    held = p > 0
    before, false = (np.cumsum(p) - p)[held], (np.cumsum(q) - q)[held]
    p, q = p[held], q[held]
    area = float(np.sum(p * (before + p) / (before + p + false + q))) / all_p
    most = float(np.sum(p * (before + p) / (before + p + false))) / all_p
    least = float(np.sum(_negatives_first(p, before, false + q))) / all_p
    error = max(most - area, area - least, 0.0)
    return Area(area, error, math.sqrt(max(area * (1.0 - area), 0.0) / all_p))


def _negatives_first(p: Floats, before: Floats, false: Floats) -> Floats:
    r"""Return :math:`\sum_{i \le p} (T+i) / (T+i+F) = p - F (\psi(T+F+p+1) - \psi(T+F+1))` of each bin."""
    start = before + false + 1.0
    sums: Floats = p - false * (digamma(start + p) - digamma(start))
    return sums
