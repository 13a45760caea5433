"""The reference file: its fields, and the checks that a hand-edited or truncated one fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.binning import Binning, CategoricalBins, NumericBins
from detectors.calibration import Variation
from detectors.counts import Counts
from detectors.errors import FormatError
from detectors.estimation.table import PerformanceEntry, check_entry
from detectors.moments import Products
from detectors.pairs import PairScores
from detectors.slots import DAY, WEEK

FORMAT: Final = "driftstream.reference/1"
Whole = NDArray[np.int64]
Role = Literal["feature", "measure", "prediction", "score", "label"]
INPUTS: Final = ("feature", "measure")
"""Roles whose change is a ticket: what a model was asked and what its answers took, not what it said."""


class Season(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean effect of one component in each hour of the day, or of the week from Monday on (UTC)."""

    component: int
    hours: tuple[float, ...]


class ColumnVariation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The variation of one column, an entry a component; ``seasons`` for those that have one."""

    tau2: tuple[float, ...]
    inertia: tuple[float, ...]
    dof: tuple[float | None, ...]
    noise: tuple[float, ...]
    seasons: tuple[Season, ...] = ()

    def with_components(self, components: int, polynomials: int) -> ColumnVariation:
        """Return this for so many components: the highest of the ``polynomials`` are repeated or left out."""
        more = components - len(self.tau2)
        kept = polynomials + min(more, 0)
        last = max(polynomials - 1, 0)
        order = [*range(kept), *[last] * max(more, 0), *range(polynomials, len(self.tau2))]
        return ColumnVariation(
            tau2=tuple(self.tau2[m] for m in order),
            inertia=tuple(self.inertia[m] for m in order),
            dof=tuple(self.dof[m] for m in order),
            noise=tuple(self.noise[m] for m in order),
        )


class ColumnEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column; ``counts`` are its value cells, then missing, invalid, unseen."""

    role: Role
    bins: NumericBins | CategoricalBins
    counts: tuple[int, ...]
    variation: ColumnVariation


class PairsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pairs of numeric columns, in the order (0, 1), (0, 2), ... of ``names``.

    ``first``, ``second`` and ``third`` are the sums over all rows of the products of their scores and of the
    squares and cubes of those; the rest is their variation from window to window.
    """

    names: tuple[str, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    third: tuple[int, ...]
    chunks: int
    chunk_rows: int
    days: int
    variation: ColumnVariation

    def scores(self, rows: int, products: Products) -> PairScores:
        """Return the pairs' score components under a reference of so many rows."""
        powers = [np.array(sums) for sums in (self.first, self.second, self.third)]
        return PairScores(self.names, products, rows, powers)

    def learned(self) -> Variation:
        """Return the variation, a component a pair."""
        return _joined_variation([self.variation], self.chunks, self.chunk_rows, self.days)


class ReferenceFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Content of a reference file."""

    format: Literal["driftstream.reference/1"] = FORMAT
    model: str | None = None
    version: str | None = None
    rows: int
    window_rows: int
    chunks: int
    chunk_rows: int
    days: int
    caveats: tuple[str, ...]
    columns: tuple[ColumnEntry, ...]
    pairs: PairsEntry | msgspec.UnsetType = msgspec.UNSET
    performance: PerformanceEntry | msgspec.UnsetType = msgspec.UNSET

    def with_columns(self, columns: Sequence[ColumnEntry]) -> ReferenceFile:
        """Return the same file with these columns only; pairs stay where all their columns do.

        Performance stays: the outcomes of a model belong to its predictions and to its labels.
        """
        kept = {column.bins.name for column in columns}
        pairs = self.pairs if self.pairs and kept.issuperset(self.pairs.names) else msgspec.UNSET
        return msgspec.structs.replace(self, columns=tuple(columns), pairs=pairs)

    def with_counts(self, cells: Whole, per_column: Sequence[int], windows: int) -> ReferenceFile:
        """Return the same bins and variation with other counts, of so many windows; without season or pairs.

        ``per_column`` are the components that the counts give: polynomials at the front may be more or fewer.
        """
        columns = []
        for column, counted, components in zip(self.columns, cells, per_column, strict=True):
            values = counted[: column.bins.value_cells].tolist()
            columns.append(
                ColumnEntry(
                    role=column.role,
                    bins=column.bins,
                    counts=(*values, *counted[-3:].tolist()),
                    variation=column.variation.with_components(components, _polynomials(column)),
                )
            )
        rows = int(cells[0].sum())
        return msgspec.structs.replace(
            self, rows=rows, chunks=windows, days=0, columns=tuple(columns), pairs=msgspec.UNSET
        )

    def counts(self, binning: Binning) -> Counts:
        """Return the reference's counts in the layout of ``binning``."""
        cells = np.zeros((len(self.columns), binning.width), dtype=np.int64)
        for j, column in enumerate(self.columns):
            cells[j, : column.bins.value_cells] = column.counts[:-3]
            cells[j, -3:] = column.counts[-3:]
        return Counts(cells)

    def check_variation(self, per_column: Sequence[int]) -> None:
        """Raise :class:`FormatError` unless the columns have variation for so many components each."""
        for column, expected in zip(self.columns, per_column, strict=True):
            if len(column.variation.tau2) != expected:
                raise FormatError(
                    f"reference: variation of column {column.bins.name!r} has {len(column.variation.tau2)}"
                    f" components, its bins have {expected}: build the reference again"
                )

    def variation(self) -> Variation:
        """Return the variation of all columns' components, in the order of their scores."""
        parts = [column.variation for column in self.columns]
        return _joined_variation(parts, self.chunks, self.chunk_rows, self.days)


def _polynomials(column: ColumnEntry) -> int:
    """Return how many of the column's components are polynomials: its indicators are known by its bins."""
    if not isinstance(column.bins, NumericBins):
        return 0
    return len(column.variation.tau2) - len(column.bins.atoms) - 2  # missing, invalid


def _joined_variation(parts: Sequence[ColumnVariation], chunks: int, chunk_rows: int, days: int) -> Variation:
    slots = max((len(season.hours) for part in parts for season in part.seasons), default=DAY)
    profile = np.zeros((sum(len(part.tau2) for part in parts), slots))
    start = 0
    for part in parts:
        for season in part.seasons:
            profile[start + season.component] = np.tile(season.hours, slots // len(season.hours))
        start += len(part.tau2)
    return Variation(
        chunks=chunks,
        rows=chunk_rows,
        days=days,
        tau2=_joined([part.tau2 for part in parts]),
        inertia=_joined([part.inertia for part in parts]),
        dof=_joined([tuple(np.inf if x is None else x for x in part.dof) for part in parts]),
        noise=_joined([part.noise for part in parts]),
        profile=profile,
    )


def _joined(parts: list[tuple[float, ...]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([value for part in parts for value in part], dtype=np.float64)


def _shortest(hours: NDArray[np.float64]) -> tuple[float, ...]:
    """Return a profile by the hour of the day where all days of its week are the same."""
    day = hours[:DAY]
    same = bool(np.array_equal(np.tile(day, hours.size // DAY), hours))
    return tuple((day if same else hours).tolist())


def column_variations(variation: Variation, per_column: Sequence[int]) -> list[ColumnVariation]:
    """Divide a variation among the columns: the inverse of :meth:`ReferenceFile.variation`."""
    bounds = np.cumsum([0, *per_column]).tolist()
    parts = []
    for start, stop in pairwise(bounds):
        seasons = tuple(
            Season(int(m), _shortest(variation.profile[start + m]))
            for m in np.flatnonzero(variation.seasonal[start:stop])
        )
        dof = variation.dof[start:stop].tolist()
        parts.append(
            ColumnVariation(
                tau2=tuple(variation.tau2[start:stop].tolist()),
                inertia=tuple(variation.inertia[start:stop].tolist()),
                dof=tuple(None if np.isinf(x) else x for x in dof),
                noise=tuple(variation.noise[start:stop].tolist()),
                seasons=seasons,
            )
        )
    return parts


def write(content: ReferenceFile) -> bytes:
    """Return the file's text, UTF-8: compact JSON, keys in a fixed order."""
    return msgspec.json.encode(content, order="deterministic")


def read(text: str | bytes) -> ReferenceFile:
    """Parse and check a file. Raises :class:`FormatError` with the path of the field."""
    try:
        content = msgspec.json.decode(text, type=ReferenceFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise FormatError(f"reference: {exc}: is this a {FORMAT} file? build it again") from exc
    if not content.columns:
        raise FormatError("reference: columns is empty: build the reference again")
    if min(content.rows, content.window_rows, content.chunks, content.chunk_rows) < 1:
        raise FormatError(
            "reference: rows, window_rows, chunks, chunk_rows must be >= 1: build the reference again"
        )
    names = [column.bins.name for column in content.columns]
    if len(set(names)) != len(names):
        raise FormatError("reference: column names must be distinct: build the reference again")
    for column in content.columns:
        _check_column(column, content.rows)
    if content.pairs:
        _check_pairs(content.pairs, content.columns)
    if content.performance:
        check_entry(content.performance, {c.bins.name: c.bins.value_cells for c in content.columns})
    return content


def _check_pairs(pairs: PairsEntry, columns: Sequence[ColumnEntry]) -> None:
    numeric = {column.bins.name for column in columns if _varies(column)}
    if len(set(pairs.names)) != len(pairs.names) or not numeric.issuperset(pairs.names):
        raise FormatError(
            "reference: pairs: names must be distinct numeric columns of several values: build it again"
        )
    expected = len(pairs.names) * (len(pairs.names) - 1) // 2
    lengths = {len(pairs.first), len(pairs.second), len(pairs.third), len(pairs.variation.tau2)}
    if lengths != {expected} or min(pairs.chunks, pairs.chunk_rows) < 1:
        raise FormatError(f"reference: pairs: {len(pairs.names)} names need {expected} pairs: build it again")
    _check_variation("reference: pairs:", pairs.variation)


def _varies(column: ColumnEntry) -> bool:
    values = column.counts[: column.bins.value_cells]
    return isinstance(column.bins, NumericBins) and len(values) - values.count(0) > 1


def _check_column(column: ColumnEntry, rows: int) -> None:
    where = f"reference: column {column.bins.name!r}:"
    if len(column.counts) != column.bins.value_cells + 3 or min(column.counts) < 0:
        raise FormatError(
            f"{where} counts must be {column.bins.value_cells + 3} numbers >= 0: build it again"
        )
    if sum(column.counts) != rows:
        raise FormatError(f"{where} counts sum to {sum(column.counts)}, rows is {rows}: build it again")
    _check_variation(where, column.variation)


def _check_variation(where: str, part: ColumnVariation) -> None:
    lengths = {len(part.tau2), len(part.inertia), len(part.dof), len(part.noise)}
    if len(lengths) > 1:
        raise FormatError(
            f"{where} variation must have equally long lists, they have {sorted(lengths)}: build it again"
        )
    if min((*part.tau2, *part.noise), default=0.0) < 0 or min(part.inertia, default=1.0) < 1:
        raise FormatError(f"{where} tau2 and noise must be >= 0, inertia >= 1: build it again")
    for season in part.seasons:
        if not 0 <= season.component < len(part.tau2) or len(season.hours) not in (DAY, WEEK):
            raise FormatError(
                f"{where} season of component {season.component} must have {DAY} or {WEEK} hours:"
                " build it again"
            )
