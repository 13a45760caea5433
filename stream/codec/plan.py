"""The layouts of a topic as the plain tuples that the compiled decoder is built from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stream.codec.attributes import NONE, Declared
from stream.codec.layout import ModelLayout, VersionLayout
from stream.codec.limits import Limits
from stream.codec.structs import Form
from stream.codec.times import MAX_MS, MIN_MS
from stream.codec.values import Column
from stream.events import MAX_ID_BYTES

EXACT = 2**53
"""Whole numbers below it are floats without rounding; categories beyond it are found in Python."""
FEATURE = -1

# How answers are kept: see ``Answers`` in native/src/plan.rs.
IGNORED, _AS_COLUMN, _RAW, _UNSURE = range(4)


class ColumnSpec(NamedTuple):
    """One column: where it stands, its cell, what its values become."""

    field: int
    name: str
    cell: int
    texts: list[tuple[str, int]] | None
    numbers: list[tuple[float, int]]
    boolean: bool
    score_class: str | None


class VersionSpec(NamedTuple):
    """One model version: its columns, and how many cells of a row are numbers and codes."""

    model: int
    columns: list[ColumnSpec]
    answers: int
    numbers: int
    codes: int


class ValuesSpec(NamedTuple):
    """Positions of declared values, of another one, and of none."""

    positions: list[tuple[str, int]]
    other: int
    none: int


class ModelSpec(NamedTuple):
    """One model: its versions by name, and what it declares."""

    name: str
    versions: list[tuple[str, int]]
    newest: int
    segments: list[tuple[str, ValuesSpec]]
    measures: list[str]
    choices: ValuesSpec


class LimitsSpec(NamedTuple):
    """Bounds of one record and of event times."""

    record_bytes: int
    features: int
    string_bytes: int
    depth: int
    id_bytes: int
    min_ms: int
    max_ms: int


class Cells(NamedTuple):
    """Where the columns of a version are: rows of the matrices of its block, in their order."""

    numbers: dict[str, int]
    codes: dict[str, int]


class Plan(NamedTuple):
    """What the compiled decoder is built from, and the layouts behind the numbers of its versions."""

    labels: bool
    limits: LimitsSpec
    models: list[ModelSpec]
    versions: list[VersionSpec]
    layouts: list[tuple[VersionLayout, Cells]]


def compiled_plan(layouts: Mapping[str, ModelLayout], form: Form, limits: Limits) -> Plan:
    """Return the plan of the models in ``layouts``."""
    plan = Plan(not form.versioned, _limits(limits), [], [], [])
    for name, layout in layouts.items():
        numbers = {}
        for version, found in layout.versions.items():
            numbers[version] = len(plan.versions)
            cells = _cells(found.columns)
            plan.versions.append(_version(found, cells, len(plan.models), form, layout))
            plan.layouts.append((found, cells))
        plan.models.append(_model(name, numbers, layout, form))
    return plan


def _limits(limits: Limits) -> LimitsSpec:
    return LimitsSpec(
        limits.record_bytes,
        limits.features,
        limits.string_bytes,
        limits.depth,
        MAX_ID_BYTES,
        MIN_MS,
        MAX_MS,
    )


def _cells(columns: Sequence[Column]) -> Cells:
    numeric = [column.name for column in columns if column.kind == "numeric"]
    codes = [column.name for column in columns if column.kind != "numeric"]
    return Cells(*({name: cell for cell, name in enumerate(names)} for names in (numeric, codes)))


def _version(found: VersionLayout, cells: Cells, model: int, form: Form, layout: ModelLayout) -> VersionSpec:
    columns = [_column(column, cells, form) for column in found.columns]
    numeric = sum(column.texts is None for column in columns)
    measures = len(layout.declared.measures)
    answers = _answers(found, form, layout)
    return VersionSpec(model, columns, answers, numeric + measures, len(columns) - numeric)


def _answers(found: VersionLayout, form: Form, layout: ModelLayout) -> int:
    if not layout.declared.answers:
        return IGNORED
    if any(column.source == form.answer for column in found.columns):
        return _AS_COLUMN
    versions = layout.versions.values()
    elsewhere = any(column.source == form.answer for other in versions for column in other.columns)
    return _UNSURE if elsewhere else _RAW


def _column(column: Column, cells: Cells, form: Form) -> ColumnSpec:
    field = FEATURE if column.source == "feature" else form.scalars.index(column.source)
    score_class = column.positive_class if column.source == "score" else None
    cell = cells.numbers.get(column.name)
    if cell is not None:
        return ColumnSpec(field, column.name, cell, None, [], column.boolean, score_class)
    texts = [(value, code) for value, code in column.codes.items() if isinstance(value, str)]
    numbers = [(float(value), code) for value, code in column.codes.items() if _is_exact(value)]
    cell = cells.codes[column.name]
    return ColumnSpec(field, column.name, cell, texts, numbers, column.boolean, score_class)


def _is_exact(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < EXACT


def _model(name: str, versions: dict[str, int], layout: ModelLayout, form: Form) -> ModelSpec:
    declared = layout.declared
    pairs = zip(declared.segments, declared.segment_values, strict=True)
    segments = [(segment, _positions(values[:-2])) for segment, values in pairs]
    choices = _variants(declared) if form.versioned else _feedback(declared)
    newest = versions[layout.newest.version]
    return ModelSpec(name, list(versions.items()), newest, segments, list(declared.measures), choices)


def _positions(values: Sequence[str]) -> ValuesSpec:
    positions = [(value, place) for place, value in enumerate(values)]
    return ValuesSpec(positions, len(values), len(values) + 1)


def _variants(declared: Declared) -> ValuesSpec:
    values = _positions(declared.variant_values[:-1])
    return ValuesSpec([*values.positions, ("", 0)], values.other, 0)


def _feedback(declared: Declared) -> ValuesSpec:
    if not declared.feedback:
        none = declared.feedback_values.index(NONE)
        return ValuesSpec([], none, none)
    return _positions(declared.feedback)
