"""Tally: what every task is counted into, whole numbers alone; and the protocol of a task."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.performance.exact import as_float
from detectors.performance.spec import Outcomes, Whole

Metrics = dict[str, float | None]

NUMBERS = frozenset(
    [
        "n",
        "no_score",
        "not_listed",
        "positives",
        "scored",
        "unknown_label",
        "unknown_prediction",
        "unusable",
        "zero_labels",
    ]
)
"""Metrics that say how many there are of something."""

CALIBRATION_BINS = 10
"""Bins of equal width of the expected calibration error (Guo et al. 2017, section 3)."""
_INNER_EDGES = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1]


class Tally(NamedTuple):
    """Counts, and sums in units of 2**-1074. Cell 0 of the counts is the number of outcomes."""

    counts: Whole
    sums: list[int]

    def add(self, other: Tally, sign: int) -> None:
        """Add another to this one (1), or take it out (-1). Raises ``ValueError`` for any other sign."""
        if sign not in (1, -1):
            raise ValueError(f"sign is {sign}: give 1 to add or -1 to take out")
        np.add(self.counts, other.counts * sign, out=self.counts)
        self.sums[:] = [mine + sign * theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]

    def copy(self) -> Tally:
        """Return one that shares nothing with this one."""
        return Tally(self.counts.copy(), list(self.sums))

    def same(self, other: Tally) -> bool:
        """Whether every count and sum is the same."""
        return np.array_equal(self.counts, other.counts) and self.sums == other.sums


def empty_tally(cells: int, totals: int) -> Tally:
    """Return a tally of nothing."""
    return Tally(np.zeros(cells, dtype=np.int64), [0] * totals)


class Task(Protocol):
    """How outcomes of one kind are counted, and what the counts say."""

    @property
    def cells(self) -> int:
        """How many counts there are."""

    @property
    def totals(self) -> int:
        """How many sums there are."""

    def tally(self, outcomes: Outcomes) -> Tally:
        """Count outcomes, at least one, of checked arrays."""

    def metrics(self, tally: Tally) -> Metrics:
        """Say how good they were; ``None`` where that is not defined."""

    def standard_errors(self, tally: Tally) -> Metrics:
        """Say how far the metrics may be from those of endlessly many outcomes: one standard deviation."""

    def by_class(self, tally: Tally) -> dict[str, Metrics]:
        """Say how good they were for each class, if there are any."""


def calibration_bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each score; a score on an edge belongs below, as in scikit-learn."""
    return np.searchsorted(_INNER_EDGES, scores).astype(np.int64)


def calibration_error(right: Whole, rows: int, sums: list[int]) -> float | None:
    r"""Return :math:`\sum_b |\mathrm{right}_b - \sum \mathrm{score}_b| / n`, how far scores are off."""
    if rows <= 0:
        return None
    gaps = [abs(as_float((int(r) << 1074) - total)) for r, total in zip(right, sums, strict=True)]
    return math.fsum(gaps) / rows


def ratio(part: float, whole: float) -> float | None:
    """Return a quotient, ``None`` where nothing is divided by."""
    return part / whole if whole > 0 else None


def rate_error(part: float, whole: float) -> float | None:
    """Return the binomial standard error of a rate."""
    if whole <= 0:
        return None
    rate = part / whole
    return math.sqrt(max(rate * (1.0 - rate), 0.0) / whole)


def mean(total: int, rows: int) -> float | None:
    """Return a sum over a number of rows, correctly rounded."""
    return as_float(total, rows) if rows > 0 else None


def mean_error(total: int, squares: int, rows: int) -> float | None:
    """Return the standard error of a mean, from the sums of the values and of their squares."""
    if rows < 2:
        return None
    # Whole numbers until the very end: no cancellation.
    scatter = rows * (squares << 1074) - total * total
    variance = max(scatter, 0) / ((rows * rows * (rows - 1)) << (2 * 1074))
    return math.sqrt(variance)
