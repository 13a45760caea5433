"""A detector of river behind our interface: arrays in, positions out, the state in bytes of ours."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe
from detectors.sequential.options import Option, checked_options
from detectors.sequential.river_catalog import RIVER, Domain
from detectors.sequential.river_fields import read_fields, write_fields
from detectors.sequential.scalar_monitor import LARGEST

_MAGIC = b"DSRV"
_VERSION = 1
_TAKES = {"real": "finite numbers up to 1e100", "unit": "numbers from 0 to 1", "binary": "zeros and ones"}


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """The attributes of the river object, and what they were made with."""

    river: str
    name: str
    options: dict[str, Option]
    seen: int
    fields: dict[str, Any]


class RiverDetector:
    """One of :data:`detectors.sequential.river_catalog.RIVER`, by name.

    Use it to compare with published results, or to move from river without a new threshold. Its defaults give
    many more false alarms than :class:`ErrorMonitor` and :class:`ScalarMonitor`, ADWIN's on independent
    values excepted.

    Parameters
    ----------
    name
        One of ``adwin``, ``page_hinkley``, ``kswin``, ``hddm_a``, ``hddm_w``, ``ddm``, ``eddm``.
    options
        River's, with river's defaults; ``kswin`` has a ``seed`` so that a replay draws the same samples.

    Examples
    --------
    >>> detector = RiverDetector("adwin", delta=0.01)
    >>> detector.update([0.0] * 500 + [1.0] * 100)
    [511]
    """

    def __init__(self, name: str, **options: Option) -> None:
        if name not in RIVER:
            raise ValueError(f"detector {name!r} is unknown: use one of {', '.join(RIVER)}")
        self._kind = RIVER[name]
        self._name = name
        self._options = checked_options(name, options, self._kind.options, self._kind.limits)
        window, drawn = self._options.get("window_size", 0), self._options.get("stat_size", 0)
        if 2 * int(drawn) > int(window):
            raise ValueError(f"{name}: stat_size is {drawn}: give at most half the window_size of {window}")
        self._detector = self._kind.build(self._options)
        self._seen = 0

    @property
    def seen(self) -> int:
        """Values seen so far."""
        return self._seen

    def update(self, values: ArrayLike, /) -> list[int]:
        """Take values in order and return the positions of alarms, counted from 0 at the first value ever.

        Raises ``ValueError`` for values that the detector is not made for.
        """
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim != 1 or not _takes(self._kind.domain, numbers):
            takes = _TAKES[self._kind.domain]
            raise ValueError(f"{self._name} takes a one-dimensional array of {takes}")
        alarms = []
        for position, value in enumerate(numbers.tolist(), start=self._seen):
            self._detector.update(value)
            if self._detector.drift_detected:
                alarms.append(position)
        self._seen += numbers.size
        return alarms

    def to_bytes(self) -> bytes:
        """Return the state: 0.2 to 0.5 kB; 4 kB for ADWIN after millions of values and for KSWIN."""
        fields = read_fields(self._detector, self._kind.fields)
        state = _State(_river_version(), self._name, dict(self._options), self._seen, fields)
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(state, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes, name: str, **options: Option) -> RiverDetector:
        """Read what :meth:`to_bytes` wrote.

        Raises :class:`CorruptBytes` for anything else and for another version of river, whose attributes may
        mean something else, and :class:`MismatchError` for another detector or other options.
        """
        detector = cls(name, **options)
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSRV: {exc}") from exc
        if state.river != _river_version():
            raise CorruptBytes(
                f"DSRV: written with river {state.river}, here is {_river_version()}: start anew"
            )
        if (state.name, state.options) != (name, detector._options):
            raise MismatchError(f"DSRV: the state is that of {state.name} {state.options}: start anew")
        if state.seen < 0:
            raise CorruptBytes(f"DSRV: {state.seen} values seen")
        write_fields(detector._detector, detector._kind.fields, state.fields)
        detector._seen = state.seen
        return detector


@cache
def _river_version() -> str:
    return version("river")


def _takes(domain: Domain, values: NDArray[np.float64]) -> bool:
    if domain == "binary":
        return bool(np.all((values == 0.0) | (values == 1.0)))
    if domain == "unit":
        return bool(np.all((values >= 0.0) & (values <= 1.0)))
    return bool(np.all(np.abs(values) <= LARGEST))
