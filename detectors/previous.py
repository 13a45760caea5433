"""Previous periods: the newest slices against the same hour of yesterday or of last week.

Beside the training reference this answers another question: not "is it as it was when the model was
built", but "is it as it was a day ago". The bins, and how windows vary by themselves, are those of the
reference; what is compared with are the counts of the earlier hour. A change is seen for one period and is
the new normal after. A number that stood still in the earlier hour has no scale to be compared on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from detectors.counts import Counts
from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe
from detectors.monitor import Monitor
from detectors.reference import Reference
from detectors.verdict import Verdict

_MAGIC = b"DSPP"
_HOUR_MAGIC = b"DSPH"
_VERSION = 1
_SLICES = struct.Struct("<I")
HOUR_MS = 3_600_000
PERIODS: Mapping[str, int] = {"yesterday": 24 * HOUR_MS, "last_week": 7 * 24 * HOUR_MS}
"""How long ago the hour lies that is compared with, in ms."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hour under way: its start, slices and counts; monitors of the periods with an hour before."""

    fingerprint: str
    hour_ms: int
    slices: int
    counts: bytes
    monitors: dict[str, bytes]


class PreviousPeriods:
    """Compares slices with the same hour of earlier periods.

    Slices come in order of event time. Hours are kept apart from the rest of the state, packed, by their
    start: :meth:`changed_hours` says which to write and which to forget, ``hours`` gives them back.

    Parameters
    ----------
    reference
        Bins and variation; its counts are not used.
    periods
        Names among :data:`PERIODS`.
    slide_ms
        Length of a slice. A slice longer than an hour is an hour of its own.
    hours
        Kept hours, as :meth:`changed_hours` gave them.
    options
        Those of :class:`Monitor`: ``arl``, ``min_effect``, ``min_effects``, ``min_samples``.

    Raises
    ------
    ValueError
        A period that is none.
    CorruptBytes
        A kept hour fails its checks.
    """

    def __init__(
        self,
        reference: Reference,
        periods: tuple[str, ...],
        *,
        slide_ms: int,
        hours: Mapping[int, bytes] | None = None,
        **options: Any,
    ) -> None:
        unknown = sorted(set(periods) - set(PERIODS))
        if unknown:
            raise ValueError(f"periods are {', '.join(PERIODS)}, not {', '.join(unknown)}")
        self.periods = periods
        self._reference = reference
        self._options = options
        self._hour_ms = max(HOUR_MS, slide_ms)
        self._hours = dict(hours or {})
        for packed in self._hours.values():
            unframe(_HOUR_MAGIC, _VERSION, packed)
        self._changed: dict[int, bytes | None] = {}
        self._start_ms = -1
        self._slices = 0
        self._counts = Counts.empty(reference.binning)
        self._monitors: dict[str, Monitor] = {}

    def update_counts(self, counts: Counts, *, timestamp_ms: int) -> dict[str, Verdict]:
        """Judge the next slice, one verdict a period; none for a period without an hour to compare with.

        ``timestamp_ms`` is the start of the slice. Raises :class:`MismatchError` for counts of other bins.
        """
        start_ms = timestamp_ms - timestamp_ms % self._hour_ms
        if start_ms != self._start_ms:
            self._close()
            self._open(start_ms)
        self._counts.merge(counts)
        self._slices += 1
        return {
            period: monitor.update_counts(counts, timestamp_ms=timestamp_ms)
            for period, monitor in self._monitors.items()
        }

    def _close(self) -> None:
        if self._counts.n:
            payload = _SLICES.pack(self._slices) + self._counts.to_bytes()
            packed = frame(_HOUR_MAGIC, _VERSION, payload)
            self._hours[self._start_ms] = self._changed[self._start_ms] = packed
        self._counts, self._slices = Counts.empty(self._reference.binning), 0

    def _open(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._monitors = {}
        for period in self.periods:
            before = self._hours.get(start_ms - PERIODS[period])
            if before is not None:
                self._monitors[period] = Monitor(self._rebased(before), **self._options)
        oldest = start_ms - max((PERIODS[period] for period in self.periods), default=0)
        for gone in [hour for hour in self._hours if hour < oldest]:
            del self._hours[gone]
            self._changed[gone] = None

    def _rebased(self, packed: bytes) -> Reference:
        payload = unframe(_HOUR_MAGIC, _VERSION, packed)
        (slices,) = _SLICES.unpack_from(payload)
        return self._reference.rebased(Counts.from_bytes(payload[_SLICES.size :]), windows=slices)

    def changed_hours(self) -> dict[int, bytes | None]:
        """Return the hours to keep (packed) and to forget (``None``) since the last call, by their start."""
        changed, self._changed = self._changed, {}
        return changed

    def to_bytes(self) -> bytes:
        """Return the hour under way; the hours before are kept apart."""
        state = _State(
            fingerprint=self._reference.fingerprint,
            hour_ms=self._start_ms,
            slices=self._slices,
            counts=self._counts.to_bytes(),
            monitors={period: monitor.to_bytes() for period, monitor in self._monitors.items()},
        )
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(state, order="deterministic"))

    @classmethod
    def from_bytes(
        cls, data: bytes, reference: Reference, periods: tuple[str, ...], **options: Any
    ) -> PreviousPeriods:
        """Go on from what :meth:`to_bytes` gave; ``options`` are the constructor's, ``hours`` too.

        Raises
        ------
        CorruptBytes
            The bytes fail their checks.
        MismatchError
            They were written with another reference.
        """
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSPP: {exc}") from exc
        if state.fingerprint != reference.fingerprint:
            raise MismatchError(f"the periods' state belongs to reference {state.fingerprint}: start anew")
        previous = cls(reference, periods, **options)
        previous._open(state.hour_ms)
        previous._slices, previous._counts = state.slices, Counts.from_bytes(state.counts)
        for period, stored in state.monitors.items():
            if period in previous._monitors:
                rebased = previous._monitors[period].reference
                previous._monitors[period] = Monitor.from_bytes(stored, rebased, **previous._options)
        return previous
