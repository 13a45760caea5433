"""PerformanceCounts: realized performance as whole numbers, the same whatever the order of the labels."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe
from detectors.performance.binary import Binary
from detectors.performance.multiclass import Multiclass
from detectors.performance.ranking import Ranking
from detectors.performance.regression import Regression
from detectors.performance.spec import Outcomes, PerformanceSpec
from detectors.performance.tally import NUMBERS, Metrics, Tally, Task
from detectors.performance.whole_numbers import pack_counts, pack_sum, unpack_counts, unpack_sum

_MAGIC = b"DSPF"
_VERSION = 1
_TASKS: dict[str, Callable[[PerformanceSpec], Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "regression": Regression,
    "ranking": Ranking,
}


class _Stored(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    fingerprint: int
    counts: bytes
    sums: tuple[tuple[int, bytes], ...]


class PerformanceCounts:
    """Counts outcomes, and says how good the predictions were.

    Adding, taking out and merging in any order gives the same bytes: a corrected label is taken out as it was
    and added as it is. Counts may be below zero in between (an outcome taken out before it came).

    Examples
    --------
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
        self.tally = tally or Tally(np.zeros(self._task.cells, dtype=np.int64), [0] * self._task.totals)

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
            self._add(self._task.tally(checked), sign)

    def merge(self, other: PerformanceCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out. Raises :class:`MismatchError` for those of another spec."""
        if other.spec.fingerprint != self.spec.fingerprint:
            raise MismatchError(f"counts of {other.spec} cannot join counts of {self.spec}")
        self._add(other.tally, sign)

    def _add(self, tally: Tally, sign: int) -> None:
        if sign not in (1, -1):
            raise ValueError(f"sign is {sign}: give 1 to add or -1 to take out")
        counts, sums = self.tally
        np.add(counts, tally.counts * sign, out=counts)
        sums[:] = [mine + sign * theirs for mine, theirs in zip(sums, tally.sums, strict=True)]

    def copy(self) -> PerformanceCounts:
        """Return counts that share nothing with these."""
        return PerformanceCounts(self.spec, Tally(self.tally.counts.copy(), list(self.tally.sums)))

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
        same = np.array_equal(self.tally.counts, other.tally.counts)
        return same and self.tally.sums == other.tally.sums

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"PerformanceCounts({self.spec.task}, n={self.n})"

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same outcomes."""
        sums = tuple(pack_sum(total) for total in self.tally.sums)
        stored = _Stored(self.spec.fingerprint, pack_counts(self.tally.counts), sums)
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(stored))

    @classmethod
    def from_bytes(cls, data: bytes, spec: PerformanceSpec) -> PerformanceCounts:
        """Read what :meth:`to_bytes` wrote.

        Raises :class:`CorruptBytes` for anything else, :class:`MismatchError` for counts of another spec.
        """
        try:
            stored = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_Stored)
        except msgspec.DecodeError as exc:
            raise CorruptBytes(f"DSPF: {exc}") from exc
        if stored.fingerprint != spec.fingerprint:
            raise MismatchError(f"DSPF: these counts are not of {spec}: use the spec they were made with")
        counts = cls(spec)
        if len(stored.sums) != len(counts.tally.sums):
            raise CorruptBytes(f"DSPF: {len(stored.sums)} sums where {len(counts.tally.sums)} belong")
        counts.tally.counts[:] = unpack_counts(stored.counts, counts.tally.counts.size)
        counts.tally.sums[:] = [unpack_sum(shift, odd) for shift, odd in stored.sums]
        return counts
