"""TrackRecord: how far estimates can be trusted, scored against the labels that came later."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from detectors.errors import CorruptBytes
from detectors.estimation.estimator import Estimate
from detectors.framing import frame, unframe

_MAGIC = b"DSTR"
_VERSION = 1
_UNIT = 2.0**-60
_LARGEST = 1e9


class _Sums(msgspec.Struct, forbid_unknown_fields=True):
    """Of one metric, in units of 2**-60 (text, for they outgrow 64 bits): exact, so order does not matter."""

    windows: int = 0
    within: int = 0
    difference: str = "0"
    magnitude: str = "0"


class Score(NamedTuple):
    """How estimates of one metric did.

    ``windows`` is their number; ``bias`` the mean of estimated less realized; ``mean_error`` the mean size of
    that; ``coverage`` the share of windows with the realized value within two standard errors (0.95 if those
    are honest).
    """

    windows: int
    bias: float
    mean_error: float
    coverage: float


class TrackRecord:
    """Scores estimates of one model version. Mergeable: any order gives the same bytes.

    A window that is restated is taken out as it was (``sign=-1``) and added as it is.

    Examples
    --------
    >>> record = TrackRecord()
    >>> record.add("accuracy", Estimate(0.94, 0.01, 0.05, 0.0, 500), 0.92, labels=500)
    >>> record.score("accuracy")
    Score(windows=1, bias=0.02, mean_error=0.02, coverage=1.0)
    >>> TrackRecord.from_bytes(record.to_bytes()).score("accuracy") == record.score("accuracy")
    True
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that have a score."""
        return tuple(sorted(name for name, sums in self._sums.items() if sums.windows > 0))

    def add(self, metric: str, estimate: Estimate, realized: float, *, labels: int, sign: int = 1) -> None:
        """Score one window, or take it out again.

        Raises ``ValueError`` for numbers that are not finite, or a sign that is not 1 or -1.
        """
        if sign not in (1, -1):
            raise ValueError(f"sign is {sign}: give 1 to add or -1 to take out")
        difference = estimate.value - realized
        if not abs(difference) <= _LARGEST:
            raise ValueError(f"{metric} estimated {estimate.value}, realized {realized}: give finite numbers")
        units = round(difference / _UNIT)
        sums = self._sums.setdefault(metric, _Sums())
        sums.windows += sign
        sums.within += sign * (abs(difference) <= 2.0 * estimate.error_for(labels))
        sums.difference = str(int(sums.difference) + sign * units)
        sums.magnitude = str(int(sums.magnitude) + sign * abs(units))

    def merge(self, other: TrackRecord) -> None:
        """Add the windows of another record."""
        for name, theirs in other._sums.items():
            mine = self._sums.setdefault(name, _Sums())
            mine.windows += theirs.windows
            mine.within += theirs.within
            mine.difference = str(int(mine.difference) + int(theirs.difference))
            mine.magnitude = str(int(mine.magnitude) + int(theirs.magnitude))

    def score(self, metric: str) -> Score | None:
        """Return how the estimates of a metric did; ``None`` before the first window."""
        sums = self._sums.get(metric)
        if sums is None or sums.windows < 1:
            return None
        n = sums.windows
        bias, size = int(sums.difference) * _UNIT / n, int(sums.magnitude) * _UNIT / n
        return Score(n, round(bias, 12), round(size, 12), sums.within / n)

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same windows."""
        kept = {name: sums for name, sums in self._sums.items() if sums != _Sums()}
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(kept, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes) -> TrackRecord:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        record = cls()
        try:
            record._sums = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=dict[str, _Sums])
            for sums in record._sums.values():
                int(sums.difference), int(sums.magnitude)
        except (msgspec.DecodeError, ValueError) as exc:
            raise CorruptBytes(f"DSTR: {exc}") from exc
        return record
