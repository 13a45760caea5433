"""Building the pairs of a reference: their correlations, and how those vary from window to window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning
from detectors.calibration import Variation, calibrate
from detectors.chunks import Chunks
from detectors.errors import BuildError
from detectors.pairs import DEFAULT_MOST, MOST, PairScores, pairable, products_of
from detectors.reference_file import PairsEntry, column_variations
from detectors.scores import Scores

CHUNKS_AT_ONCE = 64
MOST_NUMBERS = 2_000_000
"""Chunks times pairs: 16 MB an array. Of more, the latest chunks are used."""


def build_pairs(
    binning: Binning,
    encoded: Mapping[str, NDArray[Any]],
    scores: Scores,
    chunks: Chunks,
    *,
    allowed: Sequence[str],
    wanted: bool | None,
) -> PairsEntry | msgspec.UnsetType:
    """Return the pairs to store; unset where they are not wanted, too many by default, or fewer than one.

    Raises :class:`BuildError` when more are wanted than can be watched.
    """
    cells = binning.count(encoded)[0]
    names = [] if wanted is False else pairable(binning, scores, cells, allowed)
    if len(names) > MOST and wanted:
        raise BuildError(
            f"there are {len(names)} numeric columns: pairs can be watched of at most {MOST}, leave pairs out"
        )
    if len(names) < 2 or (wanted is None and len(names) > DEFAULT_MOST):
        return msgspec.UNSET
    products = products_of(binning, cells, names)
    ranks = binning.ranks(encoded, products)
    sums = [products.sum(ranks, power=power)[0] for power in (1, 2, 3)]
    pairs = PairScores(names, products, ranks.shape[1], sums)
    variation = _calibrate(binning, encoded, ranks, pairs, chunks)
    first, second, third = (tuple(each.tolist()) for each in sums)
    return PairsEntry(
        names=tuple(names),
        first=first,
        second=second,
        third=third,
        chunks=variation.chunks,
        chunk_rows=variation.rows,
        days=variation.days,
        variation=column_variations(variation, [len(products)])[0],
    )


def _calibrate(
    binning: Binning,
    encoded: Mapping[str, NDArray[Any]],
    ranks: NDArray[np.uint8],
    pairs: PairScores,
    chunks: Chunks,
) -> Variation:
    products = pairs.products
    number, oldest = chunks.number, max(chunks.number - MOST_NUMBERS // len(products), 0)
    sizes = np.bincount(chunks.of_row[chunks.of_row >= oldest] - oldest, minlength=number - oldest)
    effects = np.empty((number - oldest, len(products)))
    for first in range(oldest, number, CHUNKS_AT_ONCE):
        stop = min(first + CHUNKS_AT_ONCE, number)
        inside = chunks.rows(first, stop)
        part = {name: values[inside] for name, values in encoded.items()}
        group, groups = chunks.of_row[inside] - first, stop - first
        cells, moments = binning.count(part, group, groups), products.sum(ranks[:, inside], group, groups)
        effects[first - oldest : stop - oldest] = pairs.deviations(cells, moments)
    noise = np.divide(1.0, sizes[:, None], out=np.full((sizes.size, 1), np.inf), where=sizes[:, None] > 0)
    times = None if chunks.times_ms is None else chunks.times_ms[oldest:]
    return calibrate(effects, np.broadcast_to(noise, effects.shape), sizes, times)
