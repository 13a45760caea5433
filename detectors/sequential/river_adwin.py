"""ADWIN's state: the exponential histogram that river keeps in Rust, as named numbers.

river 0.26 shows it only as the bytes of the pickle protocol (``__getstate__``), whose layout is its own. It
is read here field by field and compared with what river says about itself, so another layout is an error and
not a wrong window; only bytes that were written here from checked numbers are given back to it.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec

from detectors.errors import CorruptBytes, DetectorError
from detectors.sequential.river_fields import Field, Value

# Options, four sums, bucket counts, ticks, detections, rows; then a row each; then the options again.
_HEAD = struct.Struct("<diQdd4d4iQ")
_ROW = struct.Struct("<QQ")
_LENGTH = struct.Struct("<Q")
_TAIL = struct.Struct("<diQii")
_LARGEST_ROWS = 62
_OTHER_LAYOUT = "river's ADWIN has another layout in this version: use river 0.26"


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """Buckets of 2^i values: how many are in use, their sums and their squared deviations."""

    used: int
    sums: list[float]
    deviations: list[float]


class _Window(msgspec.Struct, forbid_unknown_fields=True):
    """The histogram, with the names that river's older Cython source has for these numbers."""

    total: float
    variance: float
    width: float
    total_width: float
    n_buckets: int
    max_n_buckets: int
    tick: int
    n_detections: int
    rows: list[_Row]

    def fits(self, max_buckets: int) -> bool:
        """Tell whether these numbers are a histogram of that many buckets a row."""
        numbers = [self.total, self.variance, self.width, self.total_width]
        for row in self.rows:
            numbers += row.sums + row.deviations
            if not 0 <= row.used <= max_buckets or {len(row.sums), len(row.deviations)} != {max_buckets + 1}:
                return False
        integers = (self.n_buckets, self.max_n_buckets, self.tick, self.n_detections)
        return (
            all(math.isfinite(number) for number in numbers)
            and all(0 <= integer < 1 << 31 for integer in integers)
            and 1 <= len(self.rows) <= _LARGEST_ROWS
            and self.width == sum(row.used << i for i, row in enumerate(self.rows))
        )


def histogram(path: str) -> tuple[Field, ...]:
    """``AdaptiveWindowing``, the Rust part of river's ADWIN."""
    return (Field(path, lambda value: isinstance(value, dict), _read, _write),)


def _read(window: Any) -> Value:
    try:
        options, found = _decode(window.__getstate__())
    except struct.error as exc:
        raise DetectorError(f"{_OTHER_LAYOUT} ({exc})") from exc
    told = (window.get_width(), window.get_total(), window.get_variance(), window.get_n_detections())
    read = (found.width, found.total, found.variance, found.n_detections)
    if options != window.__getnewargs__() or told != read or not found.fits(options[2]):
        raise DetectorError(_OTHER_LAYOUT)
    state: dict[str, Any] = msgspec.to_builtins(found)
    return state


def _write(window: Any, state: dict[str, Any]) -> Any:
    options = window.__getnewargs__()
    try:
        found = msgspec.convert(state, _Window)
    except msgspec.ValidationError as exc:
        raise CorruptBytes(f"DSRV: ADWIN's window: {exc}") from exc
    if not found.fits(options[2]):
        raise CorruptBytes("DSRV: ADWIN's window is impossible")
    window.__setstate__(_encode(options, found))
    return window


def _decode(data: bytes) -> tuple[tuple[Any, ...], _Window]:
    *head, total, variance, width, total_width, buckets, most_buckets, tick, detections, count = (
        _HEAD.unpack_from(data)
    )
    delta, clock, max_buckets, shortest, grace = head
    offset, rows = _HEAD.size, list[_Row]()
    for _ in range(count):
        _, used = _ROW.unpack_from(data, offset)
        offset += _ROW.size
        columns = []
        for _ in range(2):
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            columns.append(list(struct.unpack_from(f"<{length}d", data, offset)))
            offset += 8 * length
        rows.append(_Row(used, *columns))
    window = _Window(total, variance, width, total_width, buckets, most_buckets, tick, detections, rows)
    return (delta, clock, max_buckets, int(shortest), int(grace)), window


def _encode(options: tuple[Any, ...], window: _Window) -> bytes:
    delta, clock, max_buckets, shortest, grace = options
    sums = (window.total, window.variance, window.width, window.total_width)
    integers = (window.n_buckets, window.max_n_buckets, window.tick, window.n_detections, len(window.rows))
    parts = [_HEAD.pack(delta, clock, max_buckets, shortest, grace, *sums, *integers)]
    for row in window.rows:
        parts.append(_ROW.pack(max_buckets, row.used))
        for column in (row.sums, row.deviations):
            parts += [_LENGTH.pack(len(column)), struct.pack(f"<{len(column)}d", *column)]
    return b"".join([*parts, _TAIL.pack(*options)])
