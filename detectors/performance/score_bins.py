"""Bins of a probability: even in the middle, finer and finer towards 0 and 1.

From 1/16 to 15/16 a bin is 1/512 wide. Towards 0 and 1 there are 32 bins to each halving of the distance,
down to 2**-24: scores of rare classes, which are all small, still fall into bins of their own.
"""

from __future__ import annotations

import numpy as np

from detectors.performance.spec import Floats, Whole

_MIDDLE = 512
_PER_OCTAVE_BITS = 5
_OCTAVES = 20
_TAIL = _OCTAVES << _PER_OCTAVE_BITS
_FIRST_OCTAVE = (1023 - 4 - _OCTAVES) << _PER_OCTAVE_BITS
_SIDE = 1 + _TAIL + _MIDDLE // 2 - _MIDDLE // 16
BINS = 2 * _SIDE
"""Number of bins."""


def score_bins(scores: Floats) -> Whole:
    """Return the bin of each score from 0 to 1, int64; larger scores never lie in lower bins."""
    low = scores < 0.5
    distance = np.where(low, scores, 1.0 - scores)  # exact from 0.5 on (Sterbenz 1974)
    tail = (distance.view(np.int64) >> (52 - _PER_OCTAVE_BITS)) - (_FIRST_OCTAVE - 1)
    middle = (distance * _MIDDLE).astype(np.int64) + (1 + _TAIL - _MIDDLE // 16)
    side = np.where(distance < 1 / 16, np.maximum(tail, 0), np.minimum(middle, _SIDE - 1))
    return np.where(low, side, BINS - 1 - side)
