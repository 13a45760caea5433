"""The latest slices of score sums, newest first in one array: what the decision looks back over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.scores import Sums

Floats = NDArray[np.float64]
SPARE = 4
"""Slices are written towards the front of the array; when it is reached, all move back by so many."""


class Slices:
    """At most ``most`` slices; a row is the totals of all components and then their rows.

    Parameters
    ----------
    components
        Number of totals.
    rows
        How many numbers of rows follow them: one a component, or a single one for all.
    """

    def __init__(self, components: int, rows: int, most: int) -> None:
        self._components = components
        self._most = most
        self._held = np.empty((0, components + rows))
        self._first = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Floats]:
        """Give the rows, oldest first."""
        yield from self._held[self._first : self._first + self._size][::-1]

    @property
    def row_bytes(self) -> int:
        """Length of a packed row."""
        return 8 * self._held.shape[1]

    def add(self, sums: Sums) -> None:
        """Take up the next slice and drop the oldest, if there are too many."""
        row = self._next()
        row[: self._components] = sums.total
        row[self._components :] = sums.n[: row.size - self._components]

    def _next(self) -> Floats:
        self._size = min(self._size + 1, self._most)
        if not self._first:
            kept = self._held[: self._size - 1]
            self._first = max(SPARE, min(self._size, self._most - self._size))
            self._held = np.empty((self._first + self._size, self._held.shape[1]))
            self._held[self._first : self._first + len(kept)] = kept
        self._first -= 1
        row: Floats = self._held[self._first]
        return row

    def pooled(self, looks: Sequence[int]) -> Sums:
        """Return the sums of the latest ``looks[0]``, ``looks[1]``, ... slices; ascending, a row each."""
        sums = np.empty((len(looks), self._held.shape[1]))
        rest = np.empty(self._held.shape[1])
        latest, done = self._held[self._first :], 0
        before = rest
        rest.fill(-0.0)  # to which any number adds up to itself
        # One slice after the other, newest first: `accumulate` does the same along the slower axis.
        for look, into in zip(looks, sums, strict=True):
            for row in latest[done : look - 1]:
                before = np.add(before, row, out=rest)
            before = np.add(before, latest[look - 1], out=into)
            done = look
        # Whole arrays again: what follows picks single entries.
        return Sums(sums[:, : self._components].copy(), sums[:, self._components :].copy())

    def packed(self) -> list[bytes]:
        """Return the packed rows, oldest first, 8 bytes a number."""
        return [np.asarray(row, dtype="<f8").tobytes() for row in self]

    def load(self, packed: bytes) -> None:
        """Take up a packed row; it must have :attr:`row_bytes`."""
        self._next()[:] = np.frombuffer(packed, dtype="<f8")
