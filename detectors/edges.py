"""Where the bins of a numeric feature lie: frozen, open-ended, at quantiles of the reference.

Every edge is the midpoint between two neighbouring distinct reference values; a bin is ``[edge, next edge)``.
So no reference value lies on an edge, and one that went through float32 on its way falls into the same bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VALUE_CELLS = 32


class Cut(NamedTuple):
    """Inner edges, and the cells (``atoms``) that hold one distinct reference value or none."""

    edges: NDArray[np.float64]
    atoms: NDArray[np.intp]


def cut(values: NDArray[np.float64], cells: int = VALUE_CELLS) -> Cut:
    """Choose the inner edges for finite reference ``values`` (any order).

    * At most ``cells`` distinct values: one cell for each, and one cell on either side of them, so that a
      constant column can still be seen to change.
    * Otherwise a value that holds ``1 / cells`` of the rows or more gets a cell of its own, and the
      stretches between such values are cut at quantiles: at most ``cells`` cells, plus one for each value
      with its own.

    >>> cut(np.array([0.0, 1.0, 1.0, 2.0])).edges
    array([-0.5,  0.5,  1.5,  2.5])
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= cells:
        return _cut_discrete(distinct)
    heavy = counts * cells >= values.size
    starts = _starts(counts, heavy, cells)
    edges = _midpoints(distinct[starts[1:] - 1], distinct[starts[1:]])
    return Cut(edges, np.flatnonzero(heavy[starts]))


def _cut_discrete(distinct: NDArray[np.float64]) -> Cut:
    if distinct.size == 0:
        return Cut(np.empty(0), np.empty(0, dtype=np.intp))
    inner = _midpoints(distinct[:-1], distinct[1:])
    below, above = distinct[0], distinct[-1]
    # The outermost values reach as far outwards as inwards; a constant needs a scale of its own.
    low = distinct[1] / 2 - below / 2 if distinct.size > 1 else max(abs(below), 1.0) * 1e-6
    high = above / 2 - distinct[-2] / 2 if distinct.size > 1 else low
    with np.errstate(over="ignore"):
        outer = np.array([below - low, above + high])
    outer = outer[np.isfinite(outer)]  # beyond the largest float there is nothing to tell apart
    edges = np.unique(np.concatenate((outer, inner)))
    return Cut(edges, np.arange(edges.size + 1))


def _midpoints(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Halfway between neighbours; for neighbouring floats the right one, so that ``left < edge <= right``."""
    middle = left / 2 + right / 2
    return np.where(middle > left, middle, right)


def _starts(counts: NDArray[np.int64], heavy: NDArray[np.bool_], cells: int) -> NDArray[np.intp]:
    """Return the index of the first distinct value of every cell."""
    run = np.cumsum(np.concatenate(([0], (heavy[1:] | heavy[:-1]).astype(np.intp))))
    light_rows = max(int(counts[~heavy].sum()), 1)
    budget = max(cells - int(heavy.sum()), 1)
    starts: list[int] = []
    for stretch in np.split(np.arange(counts.size), np.flatnonzero(np.diff(run)) + 1):
        rows = np.cumsum(counts[stretch])
        parts = 1 if heavy[stretch[0]] else max(1, int(budget * rows[-1]) // light_rows)
        wanted = rows[-1] * np.arange(parts) / parts
        # A cell starts at the first value below which at least its share of the rows lies.
        starts.extend((stretch[0] + np.unique(np.searchsorted(rows - counts[stretch], wanted))).tolist())
    return np.unique(np.minimum(np.array(starts, dtype=np.intp), counts.size - 1))
