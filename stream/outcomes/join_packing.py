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


@dataclass(frozen=True)
class Section:
    """Rows of one layout: kind ``p`` (in one block) or ``l``, each row ``stride`` bytes, the key first.

    ``likely`` is how many rows the block may get, for a block that has not been opened.
    """

    kind: str
    block: int
    likely: int
    stride: int
    rows: bytes

    def __len__(self) -> int:
        return len(self.rows) // self.stride


def block_span_ms(horizon_ms: int) -> int:
    """Length of a block of event time."""
    if not 0 < horizon_ms <= MAX_HORIZON_MS:
        raise ValueError(f"a label horizon of {horizon_ms} ms is not between 1 and {MAX_HORIZON_MS}")
    return -(-horizon_ms // BLOCKS)


def prediction_sections(rows: Predictions, span_ms: int, limit: int) -> Iterator[Section]:
    """Predictions by block and layout, at most ``limit`` rows a section."""
    code = np.rint(np.where(np.isnan(rows.prediction), _NO_CODE, rows.prediction))
    is_code = np.isnan(rows.prediction) | _is_code(rows.prediction)
    has_score = ~np.isnan(rows.score)
    blocks = rows.ts_ms // span_ms
    shapes = blocks * 4 + is_code * 2 + has_score
    for shape, chosen in _by_shape(shapes):
        block, coded, scored = shape // 4, bool(shape & 2), bool(shape & 1)
        layout = _prediction_layout(coded=coded, scored=scored)
        key = rows.key[chosen]
        packed = np.empty(len(key), dtype=[("key", "<u8"), ("tag", "u1"), *layout])
        packed["key"] = key
        packed["tag"] = np.dtype(layout).itemsize
        ts_ms = rows.ts_ms[chosen]
        packed["offset"] = ts_ms - block * span_ms
        packed["stratum"] = rows.stratum[chosen]
        packed["prediction"] = (code if coded else rows.prediction)[chosen]
        if scored:
            packed["score"] = rows.score[chosen]
        yield from _sections("p", block, _likely(ts_ms, span_ms), packed, limit)


def _likely(ts_ms: NDArray[np.int64], span_ms: int) -> int:
    """Rows of a whole block at the pace of these, at most :data:`AHEAD` times as many as these."""
    covered = int(ts_ms.max() - ts_ms.min()) + 1
    return min(len(ts_ms) * AHEAD, len(ts_ms) * span_ms // covered)


def _by_shape(shapes: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
    """Each shape that there is, and its rows; mostly there is one."""
    if not len(shapes):
        return
    lowest = int(shapes.min())
    if lowest == int(shapes.max()):
        yield lowest, slice(None)
        return
    for shape in np.unique(shapes).tolist():
        yield shape, np.flatnonzero(shapes == shape)


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
    return _sections("l", 0, 0, packed, limit)


def _sections(kind: str, block: int, likely: int, packed: NDArray[np.void], limit: int) -> Iterator[Section]:
    for start in range(0, len(packed), limit):
        rows = packed[start : start + limit].tobytes()
        yield Section(kind, block, likely, packed.dtype.itemsize, rows)


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
