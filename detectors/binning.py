"""Binning: which cell every value of every column falls into, fixed once by the reference.

A cell array is ``width`` (K) cells wide for every column: the column's value cells from 0 on, unused cells,
and last the three that every column has: K-3 ``missing``, K-2 ``invalid``, K-1 ``unseen``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.columns import INVALID, MISSING, UNSEEN, Kind, encode_categorical, encode_numeric
from detectors.moments import Products
from detectors.tally import count_codes, count_ranks, rank_numbers, sentinelled

__all__ = ["INVALID", "MISSING", "UNSEEN", "Binning", "CategoricalBins", "Column", "NumericBins"]

MAX_EDGES = 250  # a byte counts the edges above a value
SPECIAL_CELLS = ("missing", "invalid", "unseen")


class NumericBins(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="numeric"):
    """Bins of one numeric column: ``(-inf, e0)``, ``[e0, e1)``, ... ``[e_last, inf)``.

    ``atoms`` are the cells that hold a single value; ``centers`` the mean reference value of each cell;
    ``spread`` the reference's standard deviation (0 for a constant column).
    """

    kind: ClassVar[Kind] = "numeric"
    name: str
    edges: tuple[float, ...]
    atoms: tuple[int, ...]
    centers: tuple[float, ...]
    spread: float

    def __post_init__(self) -> None:
        if any(a >= b for a, b in pairwise(self.edges)) or not np.all(np.isfinite(self.edges)):
            raise ValueError(f"edges of {self.name!r} must be finite and increasing")
        if len(self.edges) > MAX_EDGES:
            raise ValueError(f"{self.name!r} has {len(self.edges)} edges, at most {MAX_EDGES} are allowed")
        if len(self.centers) != self.value_cells:
            raise ValueError(f"{self.name!r} needs {self.value_cells} centers, there are {len(self.centers)}")
        if any(not 0 <= atom < self.value_cells for atom in self.atoms):
            raise ValueError(f"atoms of {self.name!r} must be cells from 0 to {self.value_cells - 1}")

    @property
    def value_cells(self) -> int:
        """Number of cells for values."""
        return len(self.edges) + 1

    def labels(self) -> list[str]:
        """Return one label per value cell, such as ``[12.5, 18)``."""
        inner = [f"[{a:g}, {b:g})" for a, b in pairwise(self.edges)]
        return [f"< {self.edges[0]:g}", *inner, f">= {self.edges[-1]:g}"] if self.edges else ["any value"]


class CategoricalBins(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="categorical"
):
    """Cells of one categorical column: one per category, then ``other``, which the ``rare`` ones share."""

    kind: ClassVar[Kind] = "categorical"
    name: str
    categories: tuple[str, ...]
    rare: tuple[str, ...]

    def __post_init__(self) -> None:
        if len({*self.categories, *self.rare}) != len(self.categories) + len(self.rare):
            raise ValueError(f"categories of {self.name!r} must be distinct")

    @property
    def value_cells(self) -> int:
        """Number of cells for values, ``other`` included."""
        return len(self.categories) + 1

    def labels(self) -> list[str]:
        """Return one label per value cell."""
        return [*self.categories, "other"]


Column = NumericBins | CategoricalBins


class Binning:
    """Maps columns to cells and counts them. Immutable; made by :meth:`Reference.build`.

    Parameters
    ----------
    columns
        The bins of each column, in the order of the cell array's rows.

    Examples
    --------
    >>> binning = Binning([CategoricalBins(name="plan", categories=("free", "paid"), rare=())])
    >>> binning.count(binning.encode({"plan": ["free", "paid", "paid", None, "gold"]}))
    array([[[1, 2, 0, 1, 0, 1]]])
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in self.columns)
        if len(set(self.names)) != len(self.names):
            raise ValueError("column names must be distinct")
        self.kinds: tuple[Kind, ...] = tuple(column.kind for column in self.columns)
        self.value_cells = np.array([column.value_cells for column in self.columns], dtype=np.intp)
        self.width = int(self.value_cells.max(initial=0)) + len(SPECIAL_CELLS)
        self._edges = [
            sentinelled(column.edges) if isinstance(column, NumericBins) else None for column in self.columns
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binning) and self.columns == other.columns

    def __hash__(self) -> int:
        return hash(self.columns)

    @cached_property
    def _lookups(self) -> dict[str, Mapping[str | None, int]]:
        return {
            column.name: MappingProxyType(_lookup(column))
            for column in self.columns
            if isinstance(column, CategoricalBins)
        }

    def lookup(self, name: str) -> Mapping[str | None, int]:
        """Return category to code for a categorical column; ``None`` stands for missing.

        An unknown category is :data:`UNSEEN`; keys are canonical (:func:`~detectors.columns.category_key`).
        Raises ``KeyError`` for a column that is not categorical.
        """
        return self._lookups[name]

    def encode(self, columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """Encode raw columns; unknown columns are left out, absent ones stay absent."""
        return {
            column.name: (
                encode_numeric(columns[column.name])
                if isinstance(column, NumericBins)
                else encode_categorical(columns[column.name], self.lookup(column.name))
            )
            for column in self.columns
            if column.name in columns
        }

    def count(
        self, encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp] | None = None, groups: int = 1
    ) -> NDArray[np.int64]:
        """Count the rows of encoded columns into cells, apart for each group.

        Parameters
        ----------
        encoded
            Encoded columns of equal length; an absent column counts as missing in every row.
        group
            The group of each row, in ``range(groups)``; ``None`` when there is one group.

        Returns
        -------
        int64 ``(groups, d, K)``. Every row adds one to every column, so each column sums to the group's rows.

        Raises ``ValueError`` for unequal lengths and for codes or groups out of range.
        """
        return self.tally(encoded, group, groups)[0]

    def tally(
        self,
        encoded: Mapping[str, NDArray[Any]],
        group: NDArray[np.intp] | None = None,
        groups: int = 1,
        *,
        products: Products | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Do what :meth:`count` does, and sum the products of scores ``(groups, pairs)`` on the way."""
        rows = _common_length(encoded, group)
        sizes = _group_sizes(rows, group, groups)
        cells = np.zeros((groups, len(self.columns), self.width), dtype=np.int64)
        kept = None if products is None else products.room(rows)
        for j, column in enumerate(self.columns):
            values, edges = encoded.get(column.name), self._edges[j]
            if values is None:
                cells[:, j, self.width - 3] = sizes
                continue
            if edges is not None:
                ranks = rank_numbers(values, edges)
                if products is not None and kept is not None and j in products.slots:
                    kept[products.slots[j]] = ranks
                tally = count_ranks(ranks, column.value_cells + 3, group, groups)
            else:
                tally = count_codes(values, column.value_cells, group, groups)
            cells[:, j, : column.value_cells] = tally[:, : column.value_cells]
            cells[:, j, self.width - 3 :] = tally[:, column.value_cells :]
        if products is None or kept is None:
            return cells, None
        return cells, products.sum(kept, group, groups)

    def ranks(self, encoded: Mapping[str, NDArray[Any]], products: Products) -> NDArray[np.uint8]:
        """Return the ranks that :meth:`Products.sum` wants, ``(m, rows)``."""
        ranks = products.room(_common_length(encoded, None))
        for column, slot in products.slots.items():
            values, edges = encoded.get(self.names[column]), self._edges[column]
            if values is not None and edges is not None:
                ranks[slot] = rank_numbers(values, edges)
        return ranks

    def cell_labels(self, name: str) -> list[str]:
        """Return the K labels of a column's cells; unused cells have an empty one."""
        column = self.columns[self.names.index(name)]
        unused = [""] * (self.width - column.value_cells - len(SPECIAL_CELLS))
        return [*column.labels(), *unused, *SPECIAL_CELLS]

    def select(self, names: Iterable[str]) -> Binning:
        """Return the binning of some of the columns, in the order given here; K may become smaller."""
        return Binning(self.columns[self.names.index(name)] for name in names)


def _lookup(column: CategoricalBins) -> dict[str | None, int]:
    own: dict[str | None, int] = {key: code for code, key in enumerate(column.categories)}
    return {None: MISSING} | own | dict.fromkeys(column.rare, len(column.categories))


def _common_length(encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp] | None) -> int:
    lengths = {len(values) for values in encoded.values()} | ({len(group)} if group is not None else set())
    if len(lengths) > 1:
        raise ValueError(f"columns and groups must be equally long, lengths are {sorted(lengths)}")
    return lengths.pop() if lengths else 0


def _group_sizes(rows: int, group: NDArray[np.intp] | None, groups: int) -> NDArray[np.int64]:
    if group is None:
        if groups != 1:
            raise ValueError(f"{groups} groups need the group of each row")
        return np.array([rows])
    sizes = np.bincount(group, minlength=groups)
    if sizes.size > groups:
        raise ValueError(f"group {sizes.size - 1} is out of range, there are {groups}")
    return sizes
