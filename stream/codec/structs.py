"""The msgspec structs that the events of one model are decoded into.

They are the fields of :mod:`stream.events` with three changes: the model's name is the struct's tag,
monitored values have the type their column encodes from, and of segments and measures only the declared
ones are kept: the rest is skipped in C.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any

import msgspec

from stream.codec.attribute_readers import AttributeReader, InferenceReader, LabelReader
from stream.codec.attributes import Declared
from stream.codec.values import NUMERIC, Column, json_type
from stream.events import InferenceEvent, LabelEvent


class Skipped(msgspec.Struct, gc=False):
    """An object of which nothing is kept."""


@dataclass(frozen=True, slots=True)
class Form:
    """Which event a topic carries, and which of its fields stand outside of ``features`` as a column."""

    event: type[msgspec.Struct]
    scalars: tuple[str, ...]

    @property
    def answer(self) -> str:
        """Field of the answer: what was predicted, or what was true."""
        return self.scalars[0]

    @property
    def versioned(self) -> bool:
        """Whether an event names the version of its model."""
        return "version" in self.event.__struct_fields__


INFERENCE = Form(InferenceEvent, ("prediction", "score"))
LABEL = Form(LabelEvent, ("label",))


@dataclass(frozen=True, slots=True)
class Structs:
    """The structs of one model.

    ``typed`` is False when no struct can say what the events look like: versions that disagree on what a
    field is, or names that msgspec cannot rename to. Those models are decoded on the slow path.
    """

    event: type[msgspec.Struct]
    features: type[msgspec.Struct]
    segments: type[msgspec.Struct]
    measures: type[msgspec.Struct]
    paths: dict[str, str]
    typed: bool
    declared: Declared
    reader: AttributeReader
    answer: str

    def path(self, column: Column) -> str:
        """Return the attribute of ``column``: in the features struct, or in the event itself."""
        return self.paths[column.name] if column.source == "feature" else column.source


class ModelStructs:
    """The structs of one model, made when the first of its events is decoded in Python.

    Most never are where the compiled decoder is installed, and a model's structs and readers take 2 ms and
    70 kB.
    """

    def __init__(
        self, model: str, columns: Sequence[Column], form: Form, string_bytes: int, declared: Declared
    ) -> None:
        self.declared = declared
        self._make = partial(make_structs, model, columns, form, string_bytes, declared)

    @cached_property
    def made(self) -> Structs:
        """The structs."""
        return self._make()


def make_structs(
    model: str, columns: Iterable[Column], form: Form, string_bytes: int, declared: Declared
) -> Structs:
    """Return the structs for one model from the columns of all its versions and what it declares."""
    by_place: dict[tuple[str, str], list[Column]] = {}
    for column in columns:
        by_place.setdefault(column.place, []).append(column)
    types = {
        place: json_type(found[0].kind, string_bytes, boolean=found[0].boolean)
        for place, found in by_place.items()
    }
    agreed = all(len({column.kind for column in found}) == 1 for found in by_place.values())
    names = [name for source, name in types if source == "feature"]
    typed = agreed and all(map(_renamable, [*names, *declared.segments, *declared.measures]))
    features = _object("Features", {name: types["feature", name] for name in names}, renamed=typed)
    segments = _object("Segments", dict.fromkeys(declared.segments, str | None), renamed=typed)
    measures = _object("Measures", dict.fromkeys(declared.measures, NUMERIC), renamed=typed)
    changed = {
        source: kind if source != "score" else kind | dict[str, float | None]
        for (source, _), kind in types.items()
        if source != "feature"
    }
    changed |= {"features": features, "segments": segments | None, "measures": measures | None}
    event = msgspec.defstruct(
        "Event",
        [field for field in _fields(form, changed, string_bytes) if field[0] != "model"],
        tag=model,
        tag_field="model",
        kw_only=True,
        gc=False,
    )
    paths = {name: f"f{number}" for number, name in enumerate(names)}
    reader = InferenceReader(declared, segments, measures) if form.versioned else LabelReader(declared)
    return Structs(event, features, segments, measures, paths, typed, declared, reader, form.answer)


def _object(name: str, types: Mapping[str, Any], *, renamed: bool) -> type[msgspec.Struct]:
    """Return the struct of an object of which the keys of ``types`` are kept, as ``f0``, ``f1``, ..."""
    fields = [(f"f{number}", *_typed(kind)) for number, kind in enumerate(types.values())]
    names = {f"f{number}": key for number, key in enumerate(types)}
    return msgspec.defstruct(name, fields, rename=names if renamed else None, gc=False)


def make_stranger(form: Form, string_bytes: int) -> type[msgspec.Struct]:
    """Return the struct for an event of a model that has no reference: checked, its features skipped."""
    fields = _fields(form, {"features": Skipped}, string_bytes)
    return msgspec.defstruct("Stranger", fields, kw_only=True, gc=False)


def unannotated(kind: Any) -> Any:
    """Return the type that ``Annotated`` wraps."""
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _typed(kind: Any) -> tuple[Any, Any]:
    """Return the type and the default of a feature: an absent number is NaN, an absent category None."""
    return kind, math.nan if kind == NUMERIC else None


def _renamable(name: str) -> bool:
    return not any(character in '\\"' or character < " " for character in name)


def _fields(form: Form, changed: dict[str, Any], string_bytes: int) -> list[Any]:
    """Return the fields of the event, typed as in ``changed``; text is bounded, objects are skipped."""
    changed = {"segments": Skipped | None, "measures": Skipped | None, **changed}
    bounded = Annotated[str, msgspec.Meta(max_length=string_bytes)] | None
    fields: list[Any] = []
    for field in msgspec.structs.fields(form.event):
        kind = changed.get(field.name, bounded if unannotated(field.type) == str | None else field.type)
        if field.name == "features":
            fields.append((field.name, kind, msgspec.field(default_factory=kind)))
        elif field.required:
            fields.append((field.name, kind))
        else:
            fields.append((field.name, kind, field.default))
    return fields
