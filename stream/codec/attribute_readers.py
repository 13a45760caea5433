"""Reading attributes off event structs: nothing for the events that say nothing special."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.codec.attributes import Attributes, Declared, InferenceAttributes, LabelAttributes
from stream.codec.readers import column_reader, odd_reader

ERROR = "error"


class AttributeReader(Protocol):
    """Reads the attributes of the events of one model."""

    def read(self, events: Sequence[Any]) -> Attributes | None:
        """Attributes of ``events``, structs of one model; None when all of them are plain."""
        ...

    def plain(self, rows: int) -> Attributes:
        """Attributes of events that say nothing of what is declared."""
        ...


class InferenceReader:
    """Reads variant, status, weight, and the declared segments and measures.

    Parameters
    ----------
    segments, measures
        The structs of the two objects; their fields stand in the order of ``declared``.
    """

    def __init__(self, declared: Declared, segments: type[Any], measures: type[Any]) -> None:
        self._variants = _Positions(declared.variant_values[:-1])
        self._variants |= {None: 0, "": 0}  # live
        self._segments = [_Positions(values[:-2]) for values in declared.segment_values]
        self._measures = len(declared.measures)
        self._no_segments, self._no_measures = segments(), measures()
        self._odd = odd_reader({"variant": "live", "status": "ok", "weight": 1.0})
        self._read_scalars = column_reader(["variant", "status", "weight"])
        self._read_segments = column_reader(segments.__struct_fields__)
        self._read_measures = column_reader(measures.__struct_fields__)

    def read(self, events: Sequence[Any]) -> InferenceAttributes | None:
        """See :class:`AttributeReader`."""
        odd = bool(self._odd(events))
        if not odd and not self._segments and not self._measures:
            return None
        rows = len(events)
        found = self.plain(rows)
        if odd:
            variants, statuses, weights = self._read_scalars(events)
            codes = _codes([self._variants], [variants], rows)[0]
            errors = np.fromiter((status == ERROR for status in statuses), np.bool_, rows)
            weight = np.fromiter(weights, np.float64, rows)
            weight[np.isnan(weight)] = 1.0
            found = found._replace(variant=codes, is_error=errors, weight=weight)
        if self._segments:
            objects = [event.segments or self._no_segments for event in events]
            found = found._replace(segments=_codes(self._segments, self._read_segments(objects), rows))
        if self._measures:
            objects = [event.measures or self._no_measures for event in events]
            numbers = chain.from_iterable(self._read_measures(objects))
            values = np.fromiter(numbers, np.float64, rows * self._measures)
            found = found._replace(measures=values.reshape(self._measures, rows))
        return found

    def plain(self, rows: int) -> InferenceAttributes:
        """See :class:`AttributeReader`."""
        absent = np.array([codes[None] for codes in self._segments], np.int16)
        return InferenceAttributes(
            variant=np.zeros(rows, np.int16),
            is_error=np.zeros(rows, np.bool_),
            weight=np.ones(rows),
            segments=np.repeat(absent[:, np.newaxis], rows, axis=1),
            measures=np.full((self._measures, rows), np.nan),
        )


class LabelReader:
    """Reads what a label supersedes and what it is worth, and the declared feedback."""

    def __init__(self, declared: Declared) -> None:
        self._feedback = _Positions(declared.feedback)
        fields = ["supersedes", "value", *(["feedback"] if declared.feedback else [])]
        self._odd = odd_reader(dict.fromkeys(fields))
        self._read = column_reader(fields)

    def read(self, events: Sequence[Any]) -> LabelAttributes | None:
        """See :class:`AttributeReader`."""
        if not self._odd(events):
            return None
        rows = len(events)
        supersedes, values, *feedback = self._read(events)
        found = self.plain(rows)._replace(
            supersedes=np.fromiter(map(bool, supersedes), np.bool_, rows),
            value=np.fromiter(values, np.float64, rows),
        )
        return found._replace(feedback=_codes([self._feedback], feedback, rows)[0]) if feedback else found

    def plain(self, rows: int) -> LabelAttributes:
        """See :class:`AttributeReader`."""
        return LabelAttributes(
            supersedes=np.zeros(rows, np.bool_),
            value=np.full(rows, np.nan),
            feedback=np.full(rows, self._feedback[None], np.int16),
        )


class _Positions(dict[Any, int]):
    """Declared value to its position; every other value is behind the last one, none at all behind that."""

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__((value, position) for position, value in enumerate(values))
        self.other = len(values)
        self[None] = len(values) + 1

    def __missing__(self, value: object) -> int:
        """Return the position of a value that was not declared."""
        return self.other


def _codes(codes: Sequence[_Positions], columns: Iterable[Iterable[Any]], rows: int) -> NDArray[np.int16]:
    found = chain.from_iterable(map(map, [code.__getitem__ for code in codes], columns))
    return np.fromiter(found, np.int16, len(codes) * rows).reshape(len(codes), rows)
