"""A journal as it is read: pieces checked as they come, those of one layout turned into rows together.

A commit of the join leaves a piece of a few rows; what a piece costs beside its rows is what a journal costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.errors import CorruptState
from stream.outcomes.join import Journal, Transitions
from stream.outcomes.join_packing import (
    checked_body,
    joined_transitions,
    layout_of,
    row_count,
    transitions_in,
)
from stream.quarantine import quarantined


class JournalRead:
    """The oldest pieces of one model's journal, until ``limit`` rows are reached or there are no more.

    Attributes
    ----------
    pieces
        How many were read.
    over
        Whether there is nothing more to read.
    """

    def __init__(self, model: str, limit: int) -> None:
        self.pieces = 0
        self.over = False
        self._model = model
        self._limit = limit
        self._base = self._rows = 0
        self._more = False
        self._bodies: dict[bytes, list[tuple[int, bytes]]] = {}

    def take(self, base: int, chunks: Sequence[bytes], length: int, *, still: int) -> None:
        """Take the next ``chunks`` of a journal of ``length``, trimmed to ``base``, and then to ``still``.

        Where another owner trims it meanwhile, reading ends: what was read is refused by the commit.
        """
        if base != still or (self.pieces and base != self._base):
            self.over = self._more = self.pieces > 0
            return
        self._base = base
        for chunk in chunks:
            self._take(chunk)
            self.pieces += 1
            if self._rows >= self._limit:
                break
        self._more = self.pieces < length
        self.over = not self._more or self._rows >= self._limit

    def _take(self, chunk: bytes) -> None:
        try:
            body = checked_body(chunk)
        except CorruptState as exc:
            self._quarantine(exc)
            return
        self._rows += row_count(body)
        self._bodies.setdefault(layout_of(body), []).append((self.pieces, body))

    def _quarantine(self, reason: CorruptState) -> None:
        quarantined("outcomes", "their windows lack them", reason, of=self._model)

    def journal(self) -> Journal:
        """What was read. Damaged pieces are left out, and counted."""
        rows: list[Transitions] = []
        piece: list[int] = []
        for pieces in self._bodies.values():
            try:
                rows.append(transitions_in([body for _, body in pieces]))
            except CorruptState as exc:
                self._quarantine(exc)
                continue
            piece += [number for number, body in pieces for _ in range(row_count(body))]
        together = joined_transitions(rows)
        if len(rows) > 1:
            together = together[np.argsort(piece, kind="stable")]  # in the order of the journal
        return Journal(together, self._base, self._base + self.pieces, self._more)
