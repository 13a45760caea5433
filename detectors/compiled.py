"""Counting by the compiled package ``driftstream_native``, where it is installed: same counts, sooner.

What is counted, and what is refused, is said by :meth:`Binning.tally`; tests compare the two bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning, NumericBins
from detectors.counts import Counts
from detectors.moments import Products

try:
    from driftstream_native import Tally
except ImportError:  # not installed, or of a release that only decodes
    IS_INSTALLED = False
else:
    IS_INSTALLED = True


class CompiledTally:
    """Counts the columns of one binning, and the products of its pairs, in one pass over each column."""

    def __init__(self, binning: Binning, products: Products | None) -> None:
        self._paired = products is not None
        slots = {} if products is None else products.slots
        tables = None if products is None else products.tables
        self._tally = Tally(
            [
                (
                    column.name,
                    column.edges if isinstance(column, NumericBins) else None,
                    column.value_cells,
                    None if tables is None or j not in slots else tables[slots[j]].tolist(),
                )
                for j, column in enumerate(binning.columns)
            ],
            binning.width,
        )

    def count_into(
        self, counts: Sequence[Counts], encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp]
    ) -> bool:
        """Do what :meth:`Reference.count_into` does; False for arrays that are left to numpy.

        These are others than float64 numbers and int32 codes in one piece, and counts that have lost their
        moments. Nothing was counted then.
        """
        moments = [each.moments for each in counts if each.moments is not None]
        if self._paired and len(moments) < len(counts):
            return False
        cells = [each.cells for each in counts]
        rows = self._tally.count(encoded, group, cells, moments if self._paired else None)
        if rows is None:
            return False
        for each, more in zip(counts, rows, strict=True):
            each.n += more
        return True


def compiled_tally(binning: Binning, products: Products | None) -> CompiledTally | None:
    """Return how a binning is counted by the compiled package, None where that is not installed."""
    return CompiledTally(binning, products) if IS_INSTALLED else None
