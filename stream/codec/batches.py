"""The loop over a batch, the same for every topic: decode, time, group by model version, encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Union

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.codec.assembly import Assembly
from stream.codec.batch import Batch, Rejected, rejected
from stream.codec.layout import ModelLayout
from stream.codec.limits import Limits
from stream.codec.order import by_model
from stream.codec.portions import WholeDecoding, check_lengths
from stream.codec.repair import Repair
from stream.codec.structs import Form
from stream.errors import DecodeError

CHUNK_ROWS = 500
"""Rows decoded before their structs become columns and are freed: with more, buffers leave the caches."""
SMALL_GROUP = 250
"""Events of one model version that wait for more of their kind, up to the end of the batch."""


class _Nobody(msgspec.Struct, tag="", tag_field="model"):
    """Makes a union of even one model, so that a record without ``model`` never passes for that one.

    No record is one of these.
    """

    prediction_id: Annotated[str, msgspec.Meta(min_length=2, max_length=1)]


class BatchDecoder:
    """Decodes batches of one topic; keeps nothing from one batch to the next."""

    def __init__(
        self, layouts: Mapping[str, ModelLayout], form: Form, limits: Limits, *, configured: frozenset[str]
    ) -> None:
        typed = [layout.structs.event for layout in layouts.values() if layout.structs.typed]
        self._decode: Callable[[Any], Any] = msgspec.json.Decoder(Union[(_Nobody, *typed)]).decode
        self._repair = Repair(form, layouts, limits)
        self._limits = limits
        self._models = {layout.structs.event: layout.model for layout in layouts.values()}
        self._targets = {
            (layout.structs.event, version): layout.version_of(version)
            for layout in layouts.values()
            for version in (None, "", *layout.versions)
        }
        self._versioned = form.versioned
        self._unmonitored = configured - layouts.keys()

    def begin(self) -> WholeDecoding:
        """Begin a batch; see :class:`~stream.codec.batch.Decoder`."""
        return WholeDecoding(self.decode)

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode one batch; see :class:`~stream.codec.batch.Decoder`."""
        check_lengths(values, record_ts_ms)
        assembly = Assembly(len(values), record_ts_ms)
        order = by_model(values)
        for start in range(0, len(values), CHUNK_ROWS):
            if order is None:
                chunk = list(values[start : start + CHUNK_ROWS])
                places = np.arange(start, start + len(chunk))
            else:
                places = order[start : start + CHUNK_ROWS]
                chunk = [values[place] for place in places.tolist()]
            rows, events = assembly.admit(*self._events(chunk, places, assembly.rejected))
            self._group(rows, events, assembly)
            del events  # frees them as soon as they are encoded: the next ones take their place in the caches
            if order is None:
                assembly.encode(more_than=SMALL_GROUP)
            else:  # most models are complete
                assembly.encode(newest=False)
        assembly.encode()
        return assembly.batch(self._unmonitored)

    def _events(
        self, chunk: list[bytes | None], rows: NDArray[np.intp], out: list[Rejected]
    ) -> tuple[NDArray[np.intp], list[Any]]:
        """Return those of ``rows`` that are events, and the events; the others go to ``out``.

        ``extend`` keeps what it got before an exception and the iterator goes on behind it, so that the loop
        over the good records runs in C.
        """
        fast = chunk.copy()
        for place in self._limits.suspects(chunk):
            fast[place] = None  # not decoded here: looked at below
        before = len(out)
        decoded = map(self._decode, fast)
        events: list[Any] = []
        while len(events) < len(fast):
            try:
                events.extend(decoded)
            except (ValueError, RecursionError, TypeError) as error:
                place = len(events)
                found = self._repair.second_look(chunk[place], error, suspect=fast[place] is None)
                if isinstance(found, DecodeError):
                    out.append(rejected(int(rows[place]), found))
                    events.append(None)
                else:
                    events.append(found)
        if len(out) > before:
            rows = rows[[event is not None for event in events]]
            events = [event for event in events if event is not None]
        return rows, events

    def _group(self, rows: NDArray[np.intp], events: list[Any], assembly: Assembly) -> None:
        kinds = set(map(type, events))
        versions = {event.version for event in events} if self._versioned else {None}
        if len(kinds) == len(versions) == 1:
            target = self._targets.get((kinds.pop(), versions.pop()))
            if target is not None:
                assembly.add(target, rows.tolist(), events)
                return
        for row, event in zip(rows.tolist(), events, strict=True):
            kind = type(event)
            version = event.version if self._versioned else None
            target = self._targets.get((kind, version))
            if target is None:
                model = self._models.get(kind) or event.model
                assembly.unknown.setdefault((model, version or ""), []).append(row)
            else:
                waiting = assembly.waiting[target]
                waiting.rows.append(row)
                waiting.events.append(event)
