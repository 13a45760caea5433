"""PerformanceCounts: realized performance as whole numbers, the same whatever the order of the labels."""

from __future__ import annotations

from collections.abc import Callable

from detectors.errors import MismatchError
from detectors.performance.binary import Binary
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from detectors.performance.spec import Outcomes, PerformanceSpec
from detectors.performance.tally import NUMBERS, Metrics, Tally, Task, empty_tally
from detectors.performance.tally_bytes import read_tally, tally_bytes

_MAGIC = b"DSPF"
_TASKS: dict[str, Callable[[PerformanceSpec], Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "regression": Regression,
    "ranking": Ranking,
}


class PerformanceCounts:
    """Counts outcomes, and says how good the predictions were.

    Adding, taking out and merging in any order gives the same bytes: a corrected label is taken out as it was
    and added as it is. Counts may be below zero in between (an outcome taken out before it came).

    Examples
    --------
    >>> import numpy as np
    >>> counts = PerformanceCounts.empty(PerformanceSpec("binary"))
    >>> counts.add(Outcomes(np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 0.0])))
    >>> before = counts.to_bytes()
    >>> late = Outcomes(np.array([0.0]), np.array([0.4]), np.array([1.0]))
    >>> counts.add(late)
    >>> counts.metrics()["accuracy"], counts.metrics(min_n=100)["accuracy"]
    (0.5, None)
    >>> counts.add(late, sign=-1)
    >>> counts.to_bytes() == before
    True
    """

    __slots__ = ("_task", "spec", "tally")

    def __init__(self, spec: PerformanceSpec, tally: Tally | None = None) -> None:
        self.spec = spec
        self._task = _TASKS[spec.task](spec)
        self.tally = tally or empty_tally(self._task.cells, self._task.totals)

    @classmethod
    def empty(cls, spec: PerformanceSpec) -> PerformanceCounts:
        """Return counts of no outcomes."""
        return cls(spec)

    @property
    def n(self) -> int:
        """Number of outcomes."""
        return int(self.tally.counts[0])

    def add(self, outcomes: Outcomes, *, sign: int = 1) -> None:
        """Count outcomes, or take them out again (``sign=-1``).

        Raises ``ValueError`` for arrays of different lengths. Rows without a label, or with nothing to
        compare it with, are counted as ``unusable`` and otherwise left out.
        """
        checked = outcomes.checked()
        if checked.label.size:
            self.tally.add(self._task.tally(checked), sign)

    def merge(self, other: PerformanceCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out. Raises :class:`MismatchError` for those of another spec."""
        if other.spec.fingerprint != self.spec.fingerprint:
            raise MismatchError(f"counts of {other.spec} cannot join counts of {self.spec}")
        self.tally.add(other.tally, sign)

    def copy(self) -> PerformanceCounts:
        """Return counts that share nothing with these."""
        return PerformanceCounts(self.spec, self.tally.copy())

    def metrics(self, *, min_n: int = 1) -> Metrics:
        """Return the metrics by name; ``None`` where not defined, or of fewer than ``min_n`` outcomes.

        How many of what there are (``n``, ``unusable`` and the like) is said in any case.
        """
        metrics = self._task.metrics(self.tally)
        return metrics if self.n >= min_n else {k: v if k in NUMBERS else None for k, v in metrics.items()}

    def standard_errors(self, *, min_n: int = 2) -> Metrics:
        """Return the standard errors of those metrics that have one; ``None`` as for :meth:`metrics`."""
        errors = self._task.standard_errors(self.tally)
        return errors if self.n >= min_n else dict.fromkeys(errors)

    def by_class(self) -> dict[str, Metrics]:
        """Return ``precision``, ``recall``, ``f1``, ``support`` and ``predicted`` of each class by name."""
        return self._task.by_class(self.tally)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PerformanceCounts) or other.spec.fingerprint != self.spec.fingerprint:
            return False
        return self.tally.same(other.tally)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"PerformanceCounts({self.spec.task}, n={self.n})"

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same outcomes."""
        return tally_bytes(_MAGIC, self.spec.fingerprint, self.tally)

    @classmethod
    def from_bytes(cls, data: bytes, spec: PerformanceSpec) -> PerformanceCounts:
        """Read what :meth:`to_bytes` wrote.

        Raises :class:`CorruptBytes` for anything else, :class:`MismatchError` for counts of another spec.
        """
        task = _TASKS[spec.task](spec)
        return cls(spec, read_tally(_MAGIC, spec.fingerprint, data, cells=task.cells, totals=task.totals))
