"""Which categories get a cell of their own, and which share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

OWN_CELL_SHARE = 0.002
OWN_CELLS = 256
KNOWN_RARE = 20_000


class Levels(NamedTuple):
    """``own`` have a cell each; ``rare`` share ``other``; ``once`` of them occurred in one row only."""

    own: tuple[str, ...]
    rare: tuple[str, ...]
    once: frozenset[str]


def choose_levels(keys: Iterable[str]) -> Levels:
    """Divide the reference's categories (missing and invalid ones left out).

    A category of at least 0.2 % of the rows, seen twice or more, gets a cell, up to 256 of them; at most
    20,000 rare ones are remembered by name. Order: most frequent first, ties by name, so that it does not
    hang on the row order.

    >>> choose_levels(["b", "a", "b", "a", "c"])
    Levels(own=('a', 'b'), rare=('c',), once=frozenset({'c'}))
    """
    counts = Counter(keys)
    total = counts.total()
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    frequent = [key for key in ranked if counts[key] >= max(2, OWN_CELL_SHARE * total)]
    own = frequent[:OWN_CELLS]
    rare = ranked[len(own) :]
    known = rare[:KNOWN_RARE]
    return Levels(tuple(own), tuple(known), frozenset(key for key in known if counts[key] == 1))
