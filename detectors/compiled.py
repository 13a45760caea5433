"""Counting by the compiled package ``driftstream_native``, where it is installed: same counts, sooner.

What is counted, and what is refused, is said by :meth:`Binning.tally`; tests compare the two bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning, NumericBins
from detectors.compact import CompactCounts, GrowingCounts
from detectors.moments import Products

try:
    from driftstream_native import PlacedTally, Tally
except ImportError:  # not installed, or of a release that counts otherwise
    IS_INSTALLED = False
else:
    IS_INSTALLED = True

_Spec = tuple[tuple[str, tuple[float, ...] | None, int, tuple[int, ...] | None], ...]


class CompiledTally:
    """Counts the columns of one binning, and the products of its pairs, in one pass over each column."""

    def __init__(self, columns: _Spec, width: int) -> None:
        self.tally = Tally(columns, width)
        self._names = [(name, edges is not None) for name, edges, _, _ in columns]

    def no_counts(self) -> CompactCounts:
        """Return counts of no rows."""
        return CompactCounts(self.tally.no_counts(), len(self._names))

    def placed(self, numbers: Mapping[str, int], codes: Mapping[str, int]) -> PlacedTally:
        """Return what counts blocks of the extension, with the lines of their columns by name."""
        lines = (numbers if is_number else codes for _, is_number in self._names)
        return PlacedTally(
            self.tally, [line.get(name) for line, (name, _) in zip(lines, self._names, strict=True)]
        )

    def count_into(
        self, counts: Sequence[GrowingCounts], encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp]
    ) -> bool:
        """Do what :meth:`Reference.count_into` does; False for what is left to numpy.

        These are arrays other than float64 numbers and int32 codes in one piece, and counts that are not of
        :meth:`no_counts`. Nothing was counted then.
        """
        held = [each.held for each in counts if isinstance(each, CompactCounts)]
        if len(held) < len(counts):
            return False
        return self.tally.count(encoded if type(encoded) is dict else dict(encoded), group, held)


_MADE: WeakValueDictionary[tuple[_Spec, int], CompiledTally] = WeakValueDictionary()
"""Those in use: models of the same columns and bins share one, which the caches then hold."""


def compiled_tally(binning: Binning, products: Products | None) -> CompiledTally | None:
    """Return how a binning is counted by the compiled package, None where that is not installed."""
    if not IS_INSTALLED:
        return None
    tables = {} if products is None else {j: products.tables[slot] for j, slot in products.slots.items()}
    columns = tuple(
        (
            column.name,
            column.edges if isinstance(column, NumericBins) else None,
            column.value_cells,
            tuple(tables[j].tolist()) if j in tables else None,
        )
        for j, column in enumerate(binning.columns)
    )
    key = columns, binning.width
    made = _MADE.get(key)
    if made is None:
        made = _MADE[key] = CompiledTally(*key)
    return made
