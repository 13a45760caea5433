"""Reference: the frozen distribution that live windows are compared with, and how it varies by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.binning import Binning
from detectors.building import build
from detectors.calibration import Variation
from detectors.columns import Kind
from detectors.compact import GrowingCounts
from detectors.compiled import CompiledTally, compiled_tally
from detectors.counts import Counts
from detectors.errors import MismatchError
from detectors.estimation.table import PerformanceEntry
from detectors.moments import Products
from detectors.pairs import PairScores, products_of
from detectors.reference_file import ReferenceFile, Role, read, write
from detectors.scores import Scores, component_counts

SOURCES: Mapping[str, tuple[Role, ...]] = {
    "inference": ("feature", "measure", "prediction", "score"),
    "labels": ("label",),
}


class Reference:
    """Binning, counts, roles and window-to-window variation of one model version. Immutable.

    Use :meth:`build` for columns and :meth:`from_json` for a file.

    Examples
    --------
    >>> reference = Reference.build({"plan": ["free", "paid"] * 500}, window_rows=50)
    >>> reference.names, reference.kinds, reference.counts.n
    (('plan',), ('categorical',), 1000)
    >>> Reference.from_json(reference.to_json()).fingerprint == reference.fingerprint
    True
    """

    def __init__(self, content: ReferenceFile) -> None:
        self._content = content
        self._parts: dict[str, Reference | None] = {}
        self.model = content.model
        self.version = content.version
        self.window_rows = content.window_rows
        self.caveats = content.caveats
        self.roles: tuple[Role, ...] = tuple(column.role for column in content.columns)
        self.binning = Binning(column.bins for column in content.columns)
        self.counts: Counts = content.counts(self.binning)
        self.performance: PerformanceEntry | None = content.performance or None
        content.check_variation(component_counts(self.binning, self.counts.cells))

    @classmethod
    def build(
        cls,
        columns: Mapping[str, ArrayLike],
        *,
        window_rows: int,
        timestamps_ms: ArrayLike | None = None,
        outputs: Iterable[str] = ("score",),
        prediction: str | None = None,
        label: str | None = None,
        measures: Iterable[str] = (),
        categorical: Iterable[str] = (),
        pairs: bool | None = None,
        model: str | None = None,
        version: str | None = None,
    ) -> Reference:
        """Build a reference from columns in event-time order.

        Parameters
        ----------
        columns
            Name to values; NaN or ``None`` is missing.
        window_rows
            Rows of a live slice (the span between two verdicts). The reference is cut into chunks of that
            size to learn how windows differ by themselves, so a shuffled training set teaches nothing here.
        timestamps_ms
            Event time of each row; rows are put in its order, and the hour-of-day season is learned.
        outputs, prediction, label
            The model's score columns, its predicted class or value, and the truth. Any other column is a
            feature. With the truth and an output, the reference also keeps how well the model did
            (:attr:`performance`).
        measures
            Numbers about an answer that are no feature: latency, cost, or a proxy of quality such as dwell
            time, for models whose labels take weeks. Watched like features.
        categorical
            Columns of numbers to treat as categories. Text and booleans always are; so are predictions and
            labels of at most 20 distinct whole numbers.
        pairs
            Whether to watch the correlations of numeric columns, at most 100 of them; by default up to 32.

        Raises
        ------
        BuildError
            One line that names the column and the remedy.
        """
        roles: dict[str, Role] = dict.fromkeys(measures, "measure")
        roles |= dict.fromkeys(outputs, "score")
        roles |= {prediction: "prediction"} if prediction is not None else {}
        roles |= {label: "label"} if label is not None else {}
        content = build(columns, roles, window_rows, timestamps_ms, frozenset(categorical), pairs=pairs)
        content.model, content.version = model, version
        return cls(content)

    # What only the evaluation asks for is made when it does: an ingest of many models never pays for it.

    @cached_property
    def scores(self) -> Scores:
        """Score components of the columns, under the reference."""
        return Scores(self.binning, self.counts.cells)

    @cached_property
    def variation(self) -> Variation:
        """How windows of the reference vary by themselves, a component of :attr:`scores` each."""
        return self._content.variation()

    @cached_property
    def pairs(self) -> PairScores | None:
        """Score components of the pairs of columns; None where they are not watched."""
        pairs = self._content.pairs
        products = self._products
        return pairs.scores(self._content.rows, products) if pairs and products is not None else None

    @cached_property
    def pair_variation(self) -> Variation | None:
        """How the pairs of columns vary from window to window, a component of :attr:`pairs` each."""
        return self._content.pairs.learned() if self._content.pairs else None

    @cached_property
    def _products(self) -> Products | None:
        pairs = self._content.pairs
        return products_of(self.binning, self.counts.cells, pairs.names) if pairs else None

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in the order of the counts."""
        return self.binning.names

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each column."""
        return self.binning.kinds

    @property
    def has_outcomes(self) -> bool:
        """Whether the reference knows how well its predictions met their labels."""
        return self.performance is not None

    def for_source(self, source: str) -> Reference | None:
        """Return the part with the columns of ``inference`` or ``labels``; ``None`` without any.

        It is made once: decoding, counting and evaluation of a model share it.
        """
        if source not in self._parts:
            self._parts[source] = self._part(source)
        return self._parts[source]

    def _part(self, source: str) -> Reference | None:
        wanted = SOURCES[source]
        columns = [column for column in self._content.columns if column.role in wanted]
        if len(columns) == len(self._content.columns):
            return self
        return Reference(self._content.with_columns(columns)) if columns else None

    def rebased(self, counts: Counts, *, windows: int) -> Reference:
        """Return this with the counts of another period, ``windows`` slices long: to compare with that one.

        Bins and window-to-window variation stay; season and pairs do not. Raises :class:`MismatchError` for
        counts of other bins.
        """
        if counts.cells.shape != self.counts.cells.shape:
            raise MismatchError(
                f"counts of shape {counts.cells.shape} do not fit bins of shape {self.counts.cells.shape}"
            )
        per_column = Scores(self.binning, counts.cells).per_column
        return Reference(self._content.with_counts(counts.cells, per_column, windows))

    def to_json(self) -> str:
        """Return the versioned file: the same reference gives the same bytes."""
        return write(self._content).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Reference:
        """Read what :meth:`to_json` wrote. Raises :class:`FormatError` that names the field."""
        return cls(read(text))

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of the file: counts made with another one must not be merged."""
        return hashlib.sha256(write(self._content)).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        name = f"{self.model or 'model'}@{self.version or '-'}"
        return f"Reference({name}, columns={len(self.names)}, rows={self.counts.n}, {self.fingerprint})"

    def count(self, columns: Mapping[str, Any]) -> Counts:
        """Encode and count raw columns: the shortest way from values to :meth:`Monitor.update_counts`."""
        return self.tally(self.binning.encode(columns))[0]

    def tally(
        self, encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp] | None = None, groups: int = 1
    ) -> list[Counts]:
        """Count the rows of encoded columns apart for each group, pairs too where they are watched.

        Parameters and errors are those of :meth:`Binning.count`.
        """
        cells, moments = self.binning.tally(encoded, group, groups, products=self._products)
        rows = cells[:, 0].sum(axis=1).tolist() if len(self.names) else [0] * groups
        return [Counts.of(cells[g], None if moments is None else moments[g], rows[g]) for g in range(groups)]

    @cached_property
    def compiled(self) -> CompiledTally | None:
        """How rows are counted by the compiled package; None where that is not installed."""
        return compiled_tally(self.binning, self._products)

    def prepare_to_count(self) -> None:
        """Make now what the first rows would wait for: the fingerprint, and what :meth:`count_into` needs."""
        _ = self.fingerprint, self._products, self.compiled

    def no_counts(self) -> GrowingCounts:
        """Return counts of no rows, for :meth:`count_into`."""
        if self.compiled is not None:
            return self.compiled.no_counts()
        moments = None if self._products is None else np.zeros(len(self._products), dtype=np.int64)
        return Counts.of(np.zeros((len(self.names), self.binning.width), dtype=np.int64), moments, 0)

    def count_into(
        self, counts: Sequence[GrowingCounts], encoded: Mapping[str, NDArray[Any]], group: NDArray[np.intp]
    ) -> None:
        """Count rows of encoded columns where they belong: row i into ``counts[group[i]]``, -1 for nowhere.

        What :meth:`tally` and :meth:`Counts.merge` do, without the arrays in between. The counts are those of
        :meth:`no_counts`, grown or not; those of other rows have lost their moments.
        """
        compiled = self.compiled
        if compiled is not None and compiled.count_into(counts, encoded, group):
            return
        counted = group >= 0
        if not counted.all():
            group = group[counted]
            encoded = {name: values[counted] for name, values in encoded.items()}
        for into, more in zip(counts, self.tally(encoded, group, len(counts)), strict=True):
            into.merge(more)
