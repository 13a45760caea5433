"""What a reference with labels knows of performance: the section ``performance`` of its file."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import FormatError
from detectors.estimation import binary, multiclass, regression
from detectors.performance.spec import PerformanceSpec

OUTCOMES = {
    "binary": binary.OUTCOMES,
    "multiclass": multiclass.OUTCOMES,
    "regression": regression.OUTCOMES,
}
"""Numbers per row that corrections are made of, by task."""
STORED = OUTCOMES | {"binary": binary.STORED}
"""Numbers per row that the table holds sums of, by task."""


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the cells of one feature add to the expected outcomes of the groups.

    ``effects`` is ``(cells, U)``, value cells first, then missing, invalid, unseen; ``variance`` is that of
    each effect.
    """

    column: str
    effects: tuple[float, ...]
    variance: tuple[float, ...]


class OutcomeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Outcomes of the reference by group: cell of the score and predicted class (regression: prediction).

    Parameters
    ----------
    score, prediction
        The columns; ``None`` where there is none.
    score_cells
        Number of score cells S, the three special ones last; 1 without a score.
    predicted
        Class of each value cell of the prediction column, -1 for none.
    rows, sums, products
        By group: rows ``(G,)``; sums of the outcomes ``(G, V)``; sums of their products, the upper
        triangle alone, ``(G, V (V + 1) / 2)``.
    inside
        By score cell: chance that of a positive and a negative in it the positive has the higher score.
    wrong
        Multiclass: rows ``(K, K)`` by predicted class (rows of the table) and label, of wrong predictions.
    center, scale
        Regression: values are divided by ``scale``, and ``center`` is taken off the truth before it is
        squared, so that no digits are lost and nothing overflows.
    corrections, explained
        What features add, and how much of that the groups account for, ``(G, U)``.
    """

    score: str | None
    prediction: str | None
    score_cells: int
    probability: bool
    predicted: tuple[int, ...]
    rows: tuple[int, ...]
    sums: tuple[float, ...]
    products: tuple[float, ...]
    inside: tuple[float, ...] = ()
    wrong: tuple[int, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    corrections: tuple[Correction, ...] = ()
    explained: tuple[float, ...] = ()


class MetricVariation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one metric differs from chunk to chunk of the reference beyond sampling noise.

    ``row_variance`` is the sampling variance of the metric times the rows. ``tau2``, ``inertia`` and ``dof``
    (``None``: no limit) are as for score components; ``residual_tau2`` is the between-chunk variance of
    realized less estimated.
    """

    row_variance: float
    tau2: float
    inertia: float
    dof: float | None
    residual_tau2: float


class PerformanceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Reference performance: what is predicted, how well, how steadily, and the outcomes by group."""

    spec: PerformanceSpec
    rows: int
    chunks: int
    metrics: dict[str, float]
    variation: dict[str, MetricVariation]
    table: OutcomeTable

    @property
    def main_metric(self) -> str:
        """The metric that a model is judged by unless another is asked for."""
        return "mae" if self.spec.task == "regression" else "accuracy"

    @property
    def classes(self) -> int:
        """Number of predicted classes a group may have: 1 for a regression."""
        return max(len(self.spec.classes), 1)

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return rows ``(G,)``, sums ``(G, V)`` and products ``(G, V, V)``."""
        groups, width = self.table.score_cells * self.classes, STORED[self.spec.task]
        products, upper = np.zeros((groups, width, width)), np.triu_indices(width)
        products[:, upper[0], upper[1]] = np.array(self.table.products).reshape(groups, -1)
        products[:, upper[1], upper[0]] = products[:, upper[0], upper[1]]
        return (
            np.array(self.table.rows, dtype=np.float64),
            np.array(self.table.sums).reshape(groups, width),
            products,
        )


def check_entry(entry: PerformanceEntry, value_cells: dict[str, int]) -> None:
    """Check a section that was read; ``value_cells`` of the columns that the file holds.

    Raises :class:`FormatError` that names the field.
    """
    table, where = entry.table, "reference: performance:"
    if entry.spec.task not in OUTCOMES:
        raise FormatError(f"{where} task {entry.spec.task!r} has no table: build the reference again")
    width, stored = OUTCOMES[entry.spec.task], STORED[entry.spec.task]
    groups = table.score_cells * entry.classes
    lengths: dict[str, tuple[Any, int]] = {
        "rows": (table.rows, groups),
        "sums": (table.sums, groups * stored),
        "products": (table.products, groups * stored * (stored + 1) // 2),
        "explained": (table.explained, groups * width if table.corrections else 0),
        "wrong": (table.wrong, entry.classes**2 if entry.spec.task == "multiclass" else 0),
        "inside": (table.inside, table.score_cells if entry.spec.task == "binary" else 0),
    }
    for name, (values, expected) in lengths.items():
        if len(values) != expected:
            raise FormatError(f"{where} {name} has {len(values)} numbers, not {expected}: build it again")
    if not table.scale > 0:
        raise FormatError(f"{where} scale is {table.scale}, it must be more than 0: build it again")
    if min(table.rows) < 0 or sum(table.rows) > entry.rows or entry.rows < 1:
        raise FormatError(f"{where} rows must be >= 0 and at most {entry.rows}: build it again")
    if any(code >= entry.classes for code in table.predicted):
        raise FormatError(f"{where} predicted must be classes from -1 to {entry.classes - 1}: build it again")
    _check_columns(entry, value_cells)


def _check_columns(entry: PerformanceEntry, value_cells: dict[str, int]) -> None:
    table, where, width = entry.table, "reference: performance:", OUTCOMES[entry.spec.task]
    scores = table.score if entry.spec.task != "regression" else table.prediction
    if scores in value_cells and value_cells[scores] + 3 != table.score_cells:
        raise FormatError(f"{where} score_cells is {table.score_cells}: build the reference again")
    known = value_cells.get(table.prediction or "", len(table.predicted))
    if entry.spec.task != "regression" and table.predicted and known != len(table.predicted):
        raise FormatError(f"{where} predicted has {len(table.predicted)} cells, not {known}: build it again")
    for correction in table.corrections:
        cells = value_cells.get(correction.column)
        expected = len(correction.effects) if cells is None else (cells + 3) * width
        if not len(correction.effects) == len(correction.variance) == expected:
            raise FormatError(f"{where} corrections of {correction.column!r}: build the reference again")
