"""Lookbacks: over how many of the latest slices something is averaged, and what it costs to look so often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOOKBACKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
NEWEST_SHARE = 0.25
"""Part of the budget that belongs to the newest slice alone: what can be seen at once should be."""
OTHERS_COUNT = 6.0
"""As how many the nine longer lookbacks count where slices are independent, 5.5 standard errors out.

They overlap each other and those of the slice before, so they rarely begin to exceed a level one at a time:
ten count as 5.8 at 4.5 standard errors, 6.4 at 5, 7.0 at 5.5. A false alarm is counted when it begins.
"""


def independent_multiplicity(lookbacks: Sequence[int]) -> Floats:
    """Return what a lookback's p-value is to be multiplied by where slices are independent, shortest first.

    Lookbacks beside the usual ones are paid for in full.
    """
    others = len(lookbacks) - 1.0
    if set(LOOKBACKS) <= set(lookbacks):
        others -= len(LOOKBACKS) - 1.0 - OTHERS_COUNT
    return _shared(len(lookbacks), others)


def dependent_multiplicity(lookbacks: Sequence[int]) -> Floats:
    """Return the same whatever the dependence between slices: a weighted Bonferroni correction."""
    return _shared(len(lookbacks), len(lookbacks) - 1.0)


def _shared(number: int, others: float) -> Floats:
    if number == 1:
        return np.ones(1)
    multiplicity = np.full(number, others / (1.0 - NEWEST_SHARE))
    multiplicity[0] = 1.0 / NEWEST_SHARE
    return multiplicity
