"""The compiled decoder: what it takes, it takes at a tenth of the cost; every other row is decoded in Python.

:class:`CompiledDecoder` gives what :class:`~stream.codec.batches.BatchDecoder` gives, row by row and bit by
bit. The extension (``native/``) accepts only records of which it is certain, and refuses those that certainly
are no events: cut off, or no text. What is left goes through the Python decoder, and both parts are joined in
the order of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream.codec.batch import Batch, rejected
from stream.codec.batches import BatchDecoder
from stream.codec.joining import joined_batch
from stream.codec.plan import Plan
from stream.codec.portions import ScannedDecoding
from stream.codec.refusal import CUT_OFF, not_utf8
from stream.codec.scanned_table import ScannedTable, ScannedVersions

if TYPE_CHECKING:
    from driftstream_native import Scanned, Scanner


class CompiledDecoder:
    """Decodes batches of one topic; keeps the order of keys and empty buffers from one batch to the next.

    Parameters
    ----------
    python
        Makes the decoder of what the extension leaves, with the same layouts; called for the first such row.
    unmonitored
        Configured models whose references have no column of this topic.

    Raises
    ------
    ValueError
        The extension has no room for the plan, or names in it are no Unicode.
    """

    def __init__(
        self,
        scanner: type[Scanner],
        plan: Plan,
        python: Callable[[], BatchDecoder],
        *,
        unmonitored: frozenset[str],
    ) -> None:
        self._scanner = scanner(plan.labels, plan.limits, plan.models, plan.versions)
        self._plan = plan
        self._make_python = python
        self._unmonitored = unmonitored
        self._versions = ScannedVersions.of(plan)

    @cached_property
    def _python(self) -> BatchDecoder:
        return self._make_python()

    def begin(self) -> ScannedDecoding:
        """Begin a batch; see :class:`~stream.codec.batch.Decoder`."""
        return ScannedDecoding(self._scanner.begin(), self._batch)

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode one batch; see :class:`~stream.codec.batch.Decoder`."""
        decoding = self.begin()
        decoding.take(values, record_ts_ms, newest_ms=self._plan.limits[-1])
        return decoding.finish()

    def _batch(self, scanned: Scanned, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Return the batch of what was read and of the records left: their values and Kafka record times."""
        unknown, unmonitored = _rows_by_name(scanned, self._unmonitored)
        refused = [
            rejected(row, CUT_OFF if odd_byte is None else not_utf8(odd_byte))
            for row, odd_byte in scanned.refused
        ]
        found = Batch(
            blocks=ScannedTable(scanned, self._versions) if scanned.blocks else [],
            rejected=refused,
            unknown=unknown,
            unmonitored=unmonitored,
            ts_fallbacks=scanned.fallbacks,
            ts_ms=np.frombuffer(scanned.ts_ms, np.int64),
        )
        if not values:
            return found
        rest = self._python.decode(values, record_ts_ms)
        return joined_batch(found, rest, np.array(scanned.left, np.intp))


def _rows_by_name(
    scanned: Scanned, unmonitored: frozenset[str]
) -> tuple[dict[tuple[str, str], NDArray[np.intp]], dict[str, NDArray[np.intp]]]:
    """Return the rows of unknown models by model and version, and those of unmonitored ones by model."""
    unknown: dict[tuple[str, str], NDArray[np.intp]] = {}
    known: dict[str, list[NDArray[np.intp]]] = {}
    for model, version, found in scanned.unknown:
        rows = np.frombuffer(found, np.int64)
        if model in unmonitored:
            known.setdefault(model, []).append(rows)
        else:
            unknown[model, version] = rows
    return unknown, {model: np.sort(np.concatenate(rows)) for model, rows in known.items()}
