"""Bytes of the join in Redis: rows for ``lua/join.lua``, and pieces of the journal that it writes.

An entry is as short as its contents allow, without loss: a class code or a float64 as prediction, a score or
none, a label with a business value or without. Lengths tell the layouts apart.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.errors import CorruptState, NewerState
from stream.outcomes.join import TRANSITION, Labels, Predictions, Transitions, no_transitions

BLOCKS = 4
"""Blocks of event time in a horizon: an entry lives up to a quarter longer than it is needed."""
MAX_HORIZON_MS = BLOCKS * (2**32 - 1)
AHEAD = 8
"""A block without one before it gets room for at most so many times the rows of the join that opens it."""
_MAX_CODE, _NO_CODE = 65_534, 65_535
NO_VALUE = struct.pack(">d", np.nan)
"""Bytes of a label's value where there is none."""
_MAGIC = b"DSJ1"
_LATER = re.compile(rb"DSJ[2-9]")
_CHECKSUM = 8
_SHAPE = struct.Struct(">dBBBB")
_HEAD = len(_MAGIC) + _CHECKSUM


class Section(NamedTuple):
    """Rows of one layout: kind ``p`` (in one block) or ``l``, each row ``stride`` bytes, the key first.

    ``likely`` is how many rows the block may get, for a block that has not been opened.
    """

    kind: bytes
    block: int
    likely: int
    stride: int
    rows: bytes

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.rows) // self.stride


def block_span_ms(horizon_ms: int) -> int:
    """Length of a block of event time."""
    if not 0 < horizon_ms <= MAX_HORIZON_MS:
        raise ValueError(f"a label horizon of {horizon_ms} ms is not between 1 and {MAX_HORIZON_MS}")
    return -(-horizon_ms // BLOCKS)


def prediction_sections(
    rows: Predictions, ends: Sequence[int], spans_ms: Sequence[int], limit: int
) -> list[list[Section]]:
    """Predictions of each model by block and layout, at most ``limit`` rows a section.

    Those of one model follow those of another: they ``end`` there, and their blocks are so long. All are
    packed together: what is done a model would cost more than the rows of a model that has few.
    """
    found: list[list[Section]] = [[] for _ in ends]
    if not len(rows):
        return found
    together = _Shaped.of(rows, ends, spans_ms)
    packed = {flags: together.packed(flags) for flags in np.flatnonzero(np.bincount(together.flags)).tolist()}
    behind = dict.fromkeys(packed, 0)
    for model, block, flags, size, likely in together.groups():
        stride, data = packed[flags]
        first, behind[flags] = behind[flags], behind[flags] + size
        for start in range(first, first + size, limit):
            chosen = data[start * stride : min(start + limit, first + size) * stride]
            found[model].append(Section(b"p", block, likely, stride, chosen))
    return found


@dataclass(frozen=True)
class _Shaped:
    """Predictions of some models, model by model, those of a model by shape.

    The ``shape`` of a row is 4 times its block, and its ``flags``: 2 for a code, 1 for a score.
    """

    rows: Predictions
    model: NDArray[np.intp]
    shape: NDArray[np.int64]
    flags: NDArray[np.int64]
    offset_ms: NDArray[np.int64]
    spans_ms: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Predictions, ends: Sequence[int], spans_of: Sequence[int]) -> _Shaped:
        model = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
        spans_ms = np.array(spans_of)
        span_ms = spans_ms[0] if (spans_ms == spans_ms[0]).all() else spans_ms[model]
        block = rows.ts_ms // span_ms
        is_code = np.isnan(rows.prediction) | _is_code(rows.prediction)
        flags = is_code * 2 + ~np.isnan(rows.score)
        shape = block * 4 + flags
        offset_ms = rows.ts_ms - block * span_ms
        if ((shape[1:] < shape[:-1]) & (model[1:] == model[:-1])).any():
            order = np.lexsort((shape, model))
            rows, model, shape = rows.take(order), model[order], shape[order]
            flags, offset_ms = flags[order], offset_ms[order]
        return cls(rows, model, shape, flags, offset_ms, spans_ms)

    def packed(self, flags: int) -> tuple[int, bytes]:
        """Bytes of a row of a layout, and all rows of it."""
        coded, scored = bool(flags & 2), bool(flags & 1)
        chosen = np.flatnonzero(self.flags == flags)
        own: NDArray[np.intp] | slice = slice(None) if len(chosen) == len(self.rows) else chosen
        layout = _prediction_layout(coded=coded, scored=scored)
        packed = np.empty(len(chosen), dtype=[("key", "<u8"), ("tag", "u1"), *layout])
        packed["key"] = self.rows.key[own]
        packed["tag"] = np.dtype(layout).itemsize
        packed["offset"] = self.offset_ms[own]
        packed["stratum"] = self.rows.stratum[own]
        prediction = self.rows.prediction[own]
        packed["prediction"] = np.where(np.isnan(prediction), _NO_CODE, prediction) if coded else prediction
        if scored:
            packed["score"] = self.rows.score[own]
        return packed.dtype.itemsize, packed.tobytes()

    def groups(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Model, block, flags and number of the rows that share them, and how many rows their block may get.

        That is as many as at the pace of these, at most :data:`AHEAD` times as many as these.
        """
        changed = (self.shape[1:] != self.shape[:-1]) | (self.model[1:] != self.model[:-1])
        first = np.concatenate(([0], np.flatnonzero(changed) + 1))
        rows = np.diff(first, append=len(self.rows))
        times = self.offset_ms
        covered = np.maximum.reduceat(times, first) - np.minimum.reduceat(times, first) + 1
        model = self.model[first]
        likely = np.minimum(rows * AHEAD, rows * self.spans_ms[model] // covered)
        columns = (model, self.shape[first] >> 2, self.flags[first], rows, likely)
        return zip(*(column.tolist() for column in columns), strict=True)


def label_sections(rows: Labels, limit: int) -> Iterator[Section]:
    """Labels in their order, at most ``limit`` rows a section; equal labels are equal bytes.

    Rows are as wide as the widest needs to be: the script takes :data:`NO_VALUE` off.
    """
    has_value = ~np.isnan(rows.value)
    valued = bool(has_value.any())
    packed = np.empty(len(rows), dtype=[("key", "<u8"), *_label_layout(valued=valued)])
    packed["key"] = rows.key
    packed["rank"] = rows.ts_ms * 2 + rows.supersedes
    packed["label"] = np.where(np.isnan(rows.label), np.nan, rows.label + 0.0)
    if valued:
        packed["value"] = np.where(has_value, rows.value + 0.0, np.nan)
    for start in range(0, len(packed), limit):
        yield Section(b"l", 0, 0, packed.dtype.itemsize, packed[start : start + limit].tobytes())


def _is_code(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    codes: NDArray[np.bool_] = (values >= 0) & (values <= _MAX_CODE) & (values == np.rint(values))
    return codes & ~np.signbit(values)


def _prediction_layout(*, coded: bool, scored: bool) -> list[tuple[str, str]]:
    layout = [("offset", "<u4"), ("stratum", "<u2"), ("prediction", "<u2" if coded else "<f8")]
    return [*layout, ("score", "<f8")] if scored else layout


def _label_layout(*, valued: bool) -> list[tuple[str, str]]:
    layout = [("rank", ">f8"), ("label", ">f8")]
    return [*layout, ("value", ">f8")] if valued else layout


_PREDICTIONS = {
    np.dtype(_prediction_layout(coded=coded, scored=scored)).itemsize: (coded, scored)
    for coded in (False, True)
    for scored in (False, True)
}
_LABELS = {np.dtype(_label_layout(valued=valued)).itemsize: valued for valued in (False, True)}


def transitions_of(chunk: bytes) -> Transitions:
    """Transitions of one piece of the journal.

    Raises
    ------
    CorruptState
        Wrong magic, checksum or layout.
    NewerState
        Nothing is wrong with it, but its layout is one of the future.
    """
    return transitions_in([checked_body(chunk)])


def checked_body(chunk: bytes) -> bytes:
    """What a piece of the journal holds beside its magic and checksum; raises as :func:`transitions_of`."""
    body = chunk[_HEAD:]
    magic, checksum = chunk[: len(_MAGIC)], hashlib.sha1(body, usedforsecurity=False).hexdigest()[:_CHECKSUM]
    is_sound = chunk[len(_MAGIC) : _HEAD] == checksum.encode()
    if is_sound and magic != _MAGIC and _LATER.fullmatch(magic):
        raise NewerState(f"piece of a join journal: layout {magic.decode()}, this release reads DSJ1")
    if not is_sound or magic != _MAGIC:
        raise CorruptState("piece of a join journal: magic or checksum differ, the bytes are damaged")
    if len(body) < _SHAPE.size or (len(body) - _SHAPE.size) % _stride(body):
        raise CorruptState(f"piece of a join journal: {len(body)} bytes are not a number of rows")
    return body


def layout_of(body: bytes) -> bytes:
    """Block and layout: pieces that share them can be read together."""
    return body[: _SHAPE.size]


def row_count(body: bytes) -> int:
    """How many transitions a piece holds."""
    return (len(body) - _SHAPE.size) // _stride(body)


def _stride(body: bytes) -> int:
    _, prediction, old, new, _ = _SHAPE.unpack_from(body)
    return max(1, int(prediction + old + new))


def transitions_in(bodies: Sequence[bytes]) -> Transitions:
    """Transitions of pieces that share :func:`layout_of`; raises CorruptState when it is none of ours."""
    rows = [body[_SHAPE.size :] for body in bodies]
    try:
        return _transitions(layout_of(bodies[0]) + b"".join(rows))
    except (struct.error, KeyError, ValueError, OverflowError) as exc:
        raise CorruptState(f"piece of a join journal: no layout of ours: {exc}") from exc


def _transitions(body: bytes) -> Transitions:
    block_ms, prediction, old, new, is_new = _SHAPE.unpack_from(body)
    layout: list[tuple[str, list[tuple[str, str]]]] = []
    coded, scored = _PREDICTIONS[prediction]
    layout.append(("p", _prediction_layout(coded=coded, scored=scored)))
    layout += [(side, _label_layout(valued=_LABELS[n])) for side, n in (("old", old), ("new", new)) if n]
    rows = np.frombuffer(body, dtype=layout, offset=_SHAPE.size)
    out = np.zeros(len(rows), dtype=TRANSITION)
    out["ts_ms"] = int(block_ms) + rows["p"]["offset"].astype(np.int64)
    out["stratum"] = rows["p"]["stratum"]
    out["prediction"] = rows["p"]["prediction"]
    if coded:
        out["prediction"][rows["p"]["prediction"] == _NO_CODE] = np.nan
    out["score"] = rows["p"]["score"] if scored else np.nan
    out["is_new_prediction"] = is_new
    for side, length in (("old", old), ("new", new)):
        _fill_label(out, side, rows[side] if length else None)
    return out


def _fill_label(out: Transitions, side: str, rows: NDArray[np.void] | None) -> None:
    out[f"has_{side}"] = rows is not None
    out[f"{side}_label"] = np.nan if rows is None else rows["label"]
    out[f"{side}_ts_ms"] = 0 if rows is None else rows["rank"] // 2
    valued = rows is not None and "value" in (rows.dtype.names or ())
    out[f"{side}_value"] = rows["value"] if rows is not None and valued else np.nan


def joined_transitions(pieces: list[Transitions]) -> Transitions:
    """Pieces in one array."""
    return np.concatenate(pieces) if pieces else no_transitions()
