"""The hot path of driftstream's ingest, compiled: JSON records to columns."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

@final
class Tally:
    """Counts the columns of one binning; see ``detectors.compiled``."""

    def __new__(
        cls,
        columns: Sequence[tuple[str, Sequence[float] | None, int, Sequence[int] | None]],
        width: int,
    ) -> Tally:
        """Columns by name, edges (None for categories), value cells, scores of the cells (None: no pairs)."""

    def count(
        self,
        columns: Mapping[str, NDArray[Any]],
        group: NDArray[np.intp],
        cells: Sequence[NDArray[np.int64]],
        moments: Sequence[NDArray[np.int64]] | None,
    ) -> list[int] | None:
        """Add rows to ``cells[group]`` and ``moments[group]``; the rows of each group.

        None, and nothing is counted, for columns that are not float64 or int32 in one piece.
        """
