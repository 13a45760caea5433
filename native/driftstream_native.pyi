"""The hot path of driftstream's ingest, compiled."""

from collections.abc import Sequence
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

    def no_counts(self) -> CompactCounts:
        """Counts of no rows."""

    def count(
        self, columns: dict[str, NDArray[Any]], group: NDArray[np.intp], counts: Sequence[CompactCounts]
    ) -> bool:
        """Add rows to ``counts[group]``, those of -1 nowhere.

        False, and nothing is counted, for columns that are not float64 or int32 in one piece.
        """

@final
class CompactCounts:
    """Counts of one pane, of :meth:`Tally.no_counts`; ``cells`` and ``moments`` are copies as int64."""

    rows: int
    cells: bytearray
    moments: bytearray | None

    def merge(self, rows: int, cells: NDArray[np.int64], moments: NDArray[np.int64] | None) -> None:
        """Add other counts. ``ValueError`` for another shape."""

    def packed(self) -> bytes:
        """Return what ``detectors.Counts.to_bytes`` does."""

    def framed(self, start: bytes, head: bytes) -> bytes:
        """Return ``start``, u32 length and CRC-32 of the rest, then the rest: ``head`` and :meth:`packed`."""

def bulk_panes(start: bytes, panes: Sequence[tuple[CompactCounts, int, int, bytes]]) -> bytes:
    """Panes as arguments for Redis, one after the other, each with the bytes that follow it.

    ``panes`` are counts, first and last event time, and what follows; a pane is what ``framed`` makes of
    ``start`` and the two times as int64.
    """

@final
class PlacedTally:
    """A tally, and the line of each of its columns in the blocks of a version; None for absent ones."""

    def __new__(cls, tally: Tally, lines: Sequence[int | None]) -> PlacedTally: ...

def count_scanned(
    scanned: Scanned,
    parts: Sequence[tuple[PlacedTally, int, int, int, int]],
    group: NDArray[np.intp],
    counts: Sequence[CompactCounts],
) -> None:
    """Count blocks of a batch.

    ``parts`` are: how it is counted, the number of the block, the place of its first row in ``group``, of its
    first counts in ``counts``, and the place behind its last. ``IndexError`` where there is no such thing.
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
    def begin(self) -> Reading:
        """Begin a batch."""

@final
class Reading:
    """A batch that is read in portions. ``ValueError`` once it is finished, or while another thread reads."""

    def read(self, values: list[bytes | None], record_ms: Sequence[int], newest_ms: int) -> list[int]:
        """Read the next records, most of it without the interpreter's lock.

        ``record_ms[row]`` is asked for where an event says no time. Gives back the places in ``values`` of
        those that ``left`` and ``refused`` will hold, and of events later than ``newest_ms``.
        ``RuntimeError`` for a fault of its own. Whatever is raised, nothing of ``values`` is in the batch.
        """

    def leave(self, records: int) -> None:
        """Leave the next records to Python, unread."""

    def finish(self, kept: bytes | None = None) -> Scanned:
        """Give back the batch.

        ``kept`` has a byte for each record, 0 for those that are taken out; the others move up.
        """

@final
class Scanned:
    """A batch that has been read. The arrays are bytes; those of rows are in the order of the blocks.

    ``left`` are the rows that take Python. ``refused`` are those that are certainly no events, with the
    first byte that is not UTF-8 where they begin as no JSON does, with None where they were cut off.
    ``blocks`` are version, first and last row. ``ts_ms`` (int64, -1 for what is no event) is in the order of
    the batch, ``rows`` (int64) the places of the rows in it. ``segments`` (int16) are matrices, block after
    block, each with a line for each column. ``choices`` (int16) are variants or feedback, ``flags`` (bool)
    errors or labels that supersede, ``amounts`` (float64) weights or worths. ``unknown`` are model, version
    and rows (int64) of events without a reference, ``fallbacks`` counts those that took the time of their
    record.
    """

    left: list[int]
    refused: list[tuple[int, int | None]]
    fallbacks: int
    blocks: list[tuple[int, int, int]]
    unknown: list[tuple[str, str, bytearray]]
    ts_ms: bytearray
    rows: bytearray
    segments: bytearray
    choices: bytearray
    flags: bytearray
    amounts: bytearray

    def numbers(self, block: int, first: int, lines: int) -> bytearray:
        """Columns of numbers of a block (float64), so many ``lines`` of its matrix."""

    def numbers_of(self, parts: Sequence[tuple[int, int]]) -> bytearray:
        """A column of some blocks, one after the other; ``parts`` are block and line of numbers."""

    def codes(self, block: int, first: int, lines: int) -> bytearray:
        """Columns of codes of a block (int32)."""

    def keys(self, first: int, last: int, model: str, secret: bytes) -> bytearray:
        """Keys of the ids of some rows, 8 bytes each: ``stream.outcomes.join.id_keys``."""

    def keys_of(self, parts: Sequence[tuple[int, int, str]], secret: bytes) -> bytearray:
        """Keys of the ids of some rows; ``parts`` are first row, the one behind the last, and model."""

    def ids(self, first: int, last: int) -> list[str]:
        """Ids of some rows."""

    def answers(self, first: int, last: int) -> tuple[list[Any], bytearray]:
        """The different answers of some rows, and for each row which of them it has (int32)."""
