"""The hot path of driftstream's ingest, compiled."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

def counts_bytes(rows: int, cells: NDArray[np.int64], moments: NDArray[np.int64] | None) -> bytes | None:
    """Pack counts: ``detectors.Counts.to_bytes``. None for arrays that are not in one piece."""

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

@final
class Scanner:
    """Reads batches of record values; the arguments are those of ``stream.codec.plan``.

    ``ValueError`` if they do not fit together, or if there are too many columns.
    """

    def __new__(
        cls,
        labels: bool,
        limits: tuple[int, int, int, int, int, int, int],
        models: Sequence[tuple[Any, ...]],
        versions: Sequence[tuple[Any, ...]],
    ) -> Scanner: ...
    def scan(self, values: list[bytes | None], record_ms: Sequence[int]) -> Scanned:
        """Read a batch, most of it without the interpreter's lock.

        ``record_ms[row]`` is asked for where an event says no time. ``RuntimeError`` for a fault of its own.
        """

@final
class Scanned:
    """A batch that has been read. The arrays are bytes; those of rows are in the order of the blocks.

    ``left`` are the rows that take Python. ``blocks`` are version, first and last row. ``ts_ms`` (int64, -1
    for what is left) is in the order of the batch, ``rows`` (int64) the places of the rows in it.
    ``numbers`` (float64), ``codes`` (int32) and ``segments`` (int16) are matrices, block after block, each
    with a line for each column. ``choices`` (int16) are variants or feedback, ``flags`` (bool) errors or
    labels that supersede, ``amounts`` (float64) weights or worths. ``unknown`` are model, version and rows
    (int64) of events without a reference, ``fallbacks`` counts those that took the time of their record.
    """

    left: list[int]
    fallbacks: int
    blocks: list[tuple[int, int, int]]
    unknown: list[tuple[str, str, bytearray]]
    ts_ms: bytearray
    rows: bytearray
    numbers: bytearray
    codes: bytearray
    segments: bytearray
    choices: bytearray
    flags: bytearray
    amounts: bytearray

    def keys(self, first: int, last: int, model: str, secret: bytes) -> bytearray:
        """Keys of the ids of some rows, 8 bytes each: ``stream.outcomes.join.id_keys``."""

    def ids(self, first: int, last: int) -> list[str]:
        """Ids of some rows."""

    def answers(self, first: int, last: int) -> tuple[list[Any], bytearray]:
        """The different answers of some rows, and for each row which of them it has (int32)."""
