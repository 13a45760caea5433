"""CatalogueCounts: how much of a catalogue is recommended, and how different the lists are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.errors import MismatchError
from detectors.performance.tally import Metrics, Tally, empty_tally
from detectors.performance.tally_bytes import read_tally, tally_bytes

_MAGIC = b"DSCG"
_ITEMS = 3
_LARGEST_CATALOGUE = 1 << 22


class CatalogueCounts:
    r"""Counts in how many lists each item of a catalogue was recommended.

    Mergeable and subtractable, the same bytes for the same lists whatever the order.

    Parameters
    ----------
    items
        Number of items in the catalogue, up to 4 Mi; 8 bytes each in memory.

    Notes ----- Coverage is the share of the catalogue in at least one list (Ge, Delgado-Battenfeld &
    Jannach 2010). Personalization is 1 less the mean overlap of two lists, :math:`\sum_i \binom{c_i}{2} /
    (\binom{n}{2} k)`, from the number of lists :math:`c_i` that hold item i: for lists of one length k the
    mean cosine distance, exactly; for lists of several lengths, k is their mean.

    Examples
    --------
    >>> counts = CatalogueCounts(10)
    >>> counts.add(np.array([[0, 1], [0, 2], [3, 4]]))
    >>> counts.metrics()["coverage"], round(counts.metrics()["personalization"], 3)
    (0.5, 0.833)
    """

    __slots__ = ("items", "tally")

    def __init__(self, items: int, tally: Tally | None = None) -> None:
        if not 1 <= items <= _LARGEST_CATALOGUE:
            raise ValueError(f"a catalogue of {items} items: give 1 to {_LARGEST_CATALOGUE}")
        self.items = items
        self.tally = tally or empty_tally(_ITEMS + items, 0)

    @property
    def n(self) -> int:
        """Number of lists."""
        return int(self.tally.counts[0])

    def add(self, lists: NDArray[np.int64], *, sign: int = 1) -> None:
        """Count lists of items, ``(n, k)``, or take them out (``sign=-1``).

        Items are numbered from 0; a negative number is an empty place, one beyond the catalogue is counted as
        ``unknown_item``; an item twice in a list counts once. Raises ``ValueError`` for another shape.
        """
        places = np.asarray(lists, dtype=np.int64)
        if places.ndim != 2:
            raise ValueError(f"lists have shape {places.shape}: give one row of items per list")
        places = np.sort(places, axis=1)
        held = places >= 0
        held[:, 1:] &= places[:, 1:] != places[:, :-1]
        known = held & (places < self.items)
        counts = np.empty(_ITEMS + self.items, dtype=np.int64)
        counts[:_ITEMS] = len(places), np.count_nonzero(known), np.count_nonzero(held & ~known)
        counts[_ITEMS:] = np.bincount(places[known], minlength=self.items)
        self.tally.add(Tally(counts, []), sign)

    def merge(self, other: CatalogueCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out. Raises :class:`MismatchError` for another catalogue."""
        if other.items != self.items:
            raise MismatchError(f"counts of {other.items} items cannot join counts of {self.items}")
        self.tally.add(other.tally, sign)

    def copy(self) -> CatalogueCounts:
        """Return counts that share nothing with these."""
        return CatalogueCounts(self.items, self.tally.copy())

    def metrics(self, *, min_n: int = 1) -> Metrics:
        """Return coverage and personalization; ``None`` where not defined, or below ``min_n`` lists."""
        n, places, unknown = self.tally.counts[:_ITEMS].tolist()
        seen = self.tally.counts[_ITEMS:][self.tally.counts[_ITEMS:] > 0].astype(np.float64)
        shared = float(np.sum(seen * (seen - 1.0)))
        return {
            "n": float(n),
            "unknown_item": float(unknown),
            "coverage": seen.size / self.items if n >= max(min_n, 1) else None,
            "personalization": (
                1.0 - shared / ((n - 1) * places) if n >= max(min_n, 2) and places > 0 else None
            ),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CatalogueCounts) and self.tally.same(other.tally)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same lists."""
        return tally_bytes(_MAGIC, self.items, self.tally)

    @classmethod
    def from_bytes(cls, data: bytes, items: int) -> CatalogueCounts:
        """Read what :meth:`to_bytes` wrote.

        Raises :class:`CorruptBytes` for anything else, :class:`MismatchError` for another catalogue.
        """
        return cls(items, read_tally(_MAGIC, items, data, cells=_ITEMS + items, totals=0))
