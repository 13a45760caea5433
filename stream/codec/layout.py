"""What the references of one model make of its events: a struct to decode into, and columns to read off it.

One struct for each model, tagged with the model's name, so that a union of all of them finds the right one in
C, whatever the mix of models on a topic. It has the features of every version; each version reads its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import NO_ANSWERS, Answers
from stream.codec.attribute_readers import AttributeReader
from stream.codec.attributes import NOTHING_DECLARED, Attributes, Declared, InferenceAttributes
from stream.codec.readers import column_reader, row_reader
from stream.codec.structs import Form, ModelStructs, Structs
from stream.codec.values import Column, codes_of

if TYPE_CHECKING:
    from detectors.reference import Reference


class VersionLayout:
    """The columns of one model version and the getters that read them off the event structs."""

    def __init__(
        self,
        model: str,
        version: str,
        columns: tuple[Column, ...],
        structs: ModelStructs,
        measures: tuple[str, ...] = (),
    ) -> None:
        self.model = model
        self.version = version
        self.columns = columns
        self.measures = {name: structs.declared.measures.index(name) for name in measures}
        self._structs = structs

    @property
    def attributes(self) -> AttributeReader:
        """What reads the attributes off the event structs."""
        return self._structs.made.reader

    @cached_property
    def paths(self) -> list[tuple[Column, str]]:
        """The columns, each with its attribute of the structs."""
        return [(column, self._structs.made.path(column)) for column in self.columns]

    @cached_property
    def _read(self) -> _Readers:
        return _Readers(self.columns, self._structs.made)

    def encode(self, events: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return the encoded columns of ``events``, structs of this layout's model."""
        return self._read.encode(events)

    def measured(self, attributes: Attributes) -> dict[str, NDArray[Any]]:
        """Return the columns of the reference that are measures."""
        if not isinstance(attributes, InferenceAttributes):
            return {}
        return {name: attributes.measures[row] for name, row in self.measures.items()}

    def answers(self, events: Sequence[Any]) -> Answers:
        """Return the raw predictions or labels of ``events``; none of them when nobody asked for them."""
        read = self._read.answers(events)
        return Answers.of(read[0]) if read else NO_ANSWERS


class _Readers:
    """Getters that read the columns of one version off the event structs."""

    def __init__(self, columns: tuple[Column, ...], structs: Structs) -> None:
        numeric = [column for column in columns if column.source == "feature" and column.kind == "numeric"]
        codes = [column for column in columns if column.source == "feature" and column.kind != "numeric"]
        self._scalars = [column for column in columns if column.source != "feature"]
        self._numeric = [column.name for column in numeric]
        self._categorical = [column.name for column in codes]
        self._codes = [column.codes.__getitem__ for column in codes]
        self._read_numbers = row_reader(list(map(structs.path, numeric)))
        self._read_categories = column_reader(list(map(structs.path, codes)))
        self._read_scalars = column_reader(list(map(structs.path, self._scalars)))
        self.answers = column_reader([structs.answer] if structs.declared.answers else [])

    def encode(self, events: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Return the encoded columns of ``events``."""
        encoded: dict[str, NDArray[Any]] = {}
        if self._numeric or self._categorical:
            features = [event.features for event in events]
            encoded.update(zip(self._numeric, self._numeric_rows(features), strict=True))
            encoded.update(zip(self._categorical, self._categorical_rows(features), strict=True))
        for column, values in zip(self._scalars, self._read_scalars(events), strict=True):
            encoded[column.name] = _single(column, values)
        return encoded

    # One np.fromiter for all features of a kind: a call each would weigh on small blocks.

    def _numeric_rows(self, features: list[Any]) -> NDArray[np.float64]:
        shape = len(features), len(self._numeric)
        values = chain.from_iterable(self._read_numbers(features))
        return np.ascontiguousarray(np.fromiter(values, np.float64, shape[0] * shape[1]).reshape(shape).T)

    def _categorical_rows(self, features: list[Any]) -> NDArray[np.int32]:
        columns = map(map, self._codes, self._read_categories(features))
        shape = len(self._codes), len(features)
        return np.fromiter(chain.from_iterable(columns), np.int32, shape[0] * shape[1]).reshape(shape)


def _single(column: Column, values: Sequence[Any]) -> NDArray[Any]:
    try:
        return _encoded(column, values)
    except TypeError:  # scores of every class
        return _encoded(column, column.scalar_scores(values))


def _encoded(column: Column, values: Sequence[Any]) -> NDArray[Any]:
    if column.kind == "numeric":
        return np.fromiter(values, np.float64, len(values))
    return np.fromiter(map(column.codes.__getitem__, values), np.int32, len(values))


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """All versions of one model; ``newest`` takes the events that name no version."""

    model: str
    own: ModelStructs
    versions: Mapping[str, VersionLayout]
    newest: VersionLayout

    @property
    def structs(self) -> Structs:
        """What the Python decoder makes of the model's events."""
        return self.own.made

    @property
    def declared(self) -> Declared:
        """Attributes that are kept."""
        return self.own.declared

    def version_of(self, version: str | None) -> VersionLayout | None:
        """Return the layout for an event's ``version``, None when it has no reference."""
        return self.versions.get(version) if version else self.newest


def layouts(
    references: Mapping[tuple[str, str], Reference],
    declared: Mapping[str, Declared],
    form: Form,
    source: str,
    string_bytes: int,
) -> dict[str, ModelLayout]:
    """Return the layout of every model that has a reference with columns of ``source``, oldest first."""

    def of(model: str, parts: Mapping[str, Reference]) -> ModelLayout:
        return _layout(model, parts, form, string_bytes, declared.get(model, NOTHING_DECLARED))

    by_model: dict[str, dict[str, Reference]] = {}
    for (model, version), reference in references.items():
        part = reference.for_source(source)
        if part is not None:
            by_model.setdefault(model, {})[version] = part
    return {model: of(model, parts) for model, parts in by_model.items()}


def _layout(
    model: str, parts: Mapping[str, Reference], form: Form, string_bytes: int, declared: Declared
) -> ModelLayout:
    booleans = {place for part in parts.values() for place in _boolean_places(part)}
    columns = {version: _columns(part, booleans) for version, part in parts.items()}
    measured = {version: _measures(part) for version, part in parts.items()}
    names = dict.fromkeys([*declared.measures, *chain.from_iterable(measured.values())])
    declared = replace(declared, measures=tuple(names))
    structs = ModelStructs(model, list(chain.from_iterable(columns.values())), form, string_bytes, declared)
    versions = {
        version: VersionLayout(model, version, own, structs, measured[version])
        for version, own in columns.items()
    }
    return ModelLayout(model, structs, versions, list(versions.values())[-1])


def _measures(reference: Reference) -> tuple[str, ...]:
    pairs = zip(reference.names, reference.roles, strict=True)
    return tuple(name for name, role in pairs if role == "measure")


def _boolean_places(reference: Reference) -> list[tuple[str, str]]:
    triples = zip(reference.names, reference.roles, reference.kinds, strict=True)
    return [
        (role, name if role == "feature" else role)
        for name, role, kind in triples
        if role != "measure" and kind != "numeric"
        if {"true", "false"} & reference.binning.lookup(name).keys()
    ]


def _columns(reference: Reference, booleans: set[tuple[str, str]]) -> tuple[Column, ...]:
    triples = list(zip(reference.names, reference.roles, reference.kinds, strict=True))
    scores = sum(role == "score" for _, role, _ in triples)
    positive = _positive_class(reference)
    found = []
    for name, role, kind in triples:
        if role == "measure":  # read with the attributes
            continue
        lookup = {} if kind == "numeric" else reference.binning.lookup(name)
        boolean = (role, name if role == "feature" else role) in booleans
        codes = codes_of(lookup, boolean=boolean)
        found.append(Column(name, role, kind, codes, boolean, positive if scores <= 1 else name))
    return tuple(found)


def _positive_class(reference: Reference) -> str | None:
    """Return the class that the score is about, where the reference knows it from labels."""
    performance = reference.performance
    if performance is None or performance.spec.task != "binary":
        return None
    return performance.spec.classes[performance.spec.positive_code]
