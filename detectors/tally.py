"""Counting kernels: encoded values to cells, group by group. The hottest code of the package.

A number is compared with *every* edge and the answers are added up, a byte each. That is 40 times the
comparisons of a binary search, yet 5 times as fast: no branch to mispredict, and 8 to 64 values an
instruction. It also beats sorting on processors whose ``compressstore`` is slow, and needs no order of
groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.columns import INVALID, MISSING, UNSEEN

ROWS_AT_ONCE = 8192  # 35 edges x 8192 bytes stay in the second-level cache


def sentinelled(edges: tuple[float, ...]) -> NDArray[np.float64]:
    """Return inner edges between the lowest float and infinity, as a column of ``(edges, 1)``."""
    return np.array([[np.finfo(np.float64).min], *([edge] for edge in edges), [np.inf]])


def count_ranks(
    ranks: NDArray[np.uint8], width: int, group: NDArray[np.intp] | None, groups: int
) -> NDArray[np.int64]:
    """Count what :func:`rank_numbers` gives; ``width`` is the number of value cells plus 3.

    Returns int64 ``(groups, width)``: value cells, missing, invalid, (never) unseen.
    """
    counts = _grouped_bincount(ranks, width, group, groups)
    tally = np.zeros((groups, width), dtype=np.int64)
    tally[:, :-3] = counts[:, -2:1:-1]
    tally[:, -3] = counts[:, 0]
    tally[:, -2] = counts[:, 1] + counts[:, -1]
    return tally


def rank_numbers(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Rank numbers between :func:`sentinelled` ``edges``, from the top.

    0 for NaN, otherwise 1 + the number of edges above the value: 1 for inf, 2 for the topmost cell, ...
    """
    ranks = np.empty(values.size, dtype=np.uint8)
    rows = len(edges) + 1
    room = np.empty(rows * min(values.size, ROWS_AT_ONCE), dtype=np.bool_)
    for start in range(0, values.size, ROWS_AT_ONCE):
        # Contiguous float64 on both sides, or numpy takes a path that is ten times as slow.
        part = np.ascontiguousarray(values[start : start + ROWS_AT_ONCE], dtype=np.float64)
        above = room[: rows * part.size].reshape(rows, part.size)
        np.less(part, edges, out=above[:-1])
        np.equal(part, part, out=above[-1])
        np.add.reduce(above.view(np.uint8), axis=0, dtype=np.uint8, out=ranks[start : start + part.size])
    return ranks


def count_codes(
    codes: NDArray[Any], cells: int, group: NDArray[np.intp] | None, groups: int
) -> NDArray[np.int64]:
    """Count category codes, negative ones for missing, unseen and invalid.

    Returns int64 ``(groups, cells + 3)``: value cells, missing, invalid, unseen. Raises ``ValueError`` for
    codes out of range.
    """
    if codes.size and not (int(codes.min()) >= INVALID and int(codes.max()) < cells):
        raise ValueError(f"codes must lie in [{INVALID}, {cells}), there are {codes.min()} and {codes.max()}")
    counts = _grouped_bincount(codes - INVALID, cells + 3, group, groups)
    return np.concatenate((counts[:, 3:], counts[:, [MISSING - INVALID, 0, UNSEEN - INVALID]]), axis=1)


def _grouped_bincount(
    cell: NDArray[Any], width: int, group: NDArray[np.intp] | None, groups: int
) -> NDArray[np.int64]:
    flat = cell if group is None else cell + group * width
    return np.bincount(flat, minlength=width * groups).reshape(groups, width)
