"""Explain a model's decisions: its budget, its thresholds, and the smallest shift that it can see.

Pure: settings and references in, facts out. ``driftstream explain`` and ``reference show`` print them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors import Monitor, Reference
from detectors.lookbacks import LOOKBACKS
from detectors.monitor import OUTPUT_MIN_EFFECT
from detectors.reference import SOURCES
from detectors.reference_file import INPUTS
from stream.series import smallest_visible
from stream.settings.budget import alarms_per
from stream.settings.configuration import DEFAULT_SLIDE_MS, ModelSpec, Settings
from stream.settings.section import Section
from stream.settings.sections import ModelDefaults
from stream.settings.units import format_duration

PERIOD_MS = 30 * 86_400_000
_PLENTY = 10**9  # rows of a slice that leaves no sampling noise

Origin = Callable[[str], str]
"""Where a setting of the model came from: a place, or ``default``."""


@dataclass(frozen=True, kw_only=True)
class ColumnPower:
    """What decides about one column. Effects are in standard deviations of the reference.

    Attributes
    ----------
    watched
        The component that the numbers are about: the location of a numeric column, the most frequent
        category of another one (in standard deviations of its share).
    between_share
        Part of the variance of a chunk's mean that lies between chunks; ``None`` with too few chunks.
    season
        Distance from the season's lowest hour to its highest; 0 without a season.
    looks
        Components times lookbacks: how often the column is looked at, which its threshold pays for.
    threshold
        Effect in one slice that is called drift: ``min_effect``, what stays however many rows a slice has
        (``lasting``: the reference's size and its variation between windows), and ``sampling``.
    smallest_visible
        Shift that is found in half of the cases, by the number of slices it lasted.
    """

    name: str
    source: str
    role: str
    kind: str
    watched: str
    min_effect: float
    min_effect_from: str
    between_share: float | None
    season: float
    looks: int
    threshold: float
    lasting: float
    sampling: float
    smallest_visible: dict[str, float]


def monitor_of(reference: Reference, spec: ModelSpec) -> Monitor:
    """Return the monitor that a worker would make of a reference of one source."""
    return Monitor(
        reference,
        arl=spec.arl,
        min_effect=spec.min_effect,
        min_effects={name: spec.min_effects[name] for name in reference.names if name in spec.min_effects},
        min_samples=spec.min_samples,
        window_slices=spec.window_ms // spec.slide_ms,
    )


def default_spec(reference: Reference) -> ModelSpec:
    """Return how a model is watched that nobody configured."""
    values = {key: value for key, value in ModelDefaults() if key != "slide_ms"}
    slide_ms = min(DEFAULT_SLIDE_MS, values["window_ms"])
    return ModelSpec(name=reference.model or "model", references=(), slide_ms=slide_ms, **values)


def expected_rows(reference: Reference, spec: ModelSpec) -> int:
    """Return the rows of a slice that the reference was built for; smaller ones are merged anyway."""
    return max(reference.window_rows, spec.min_samples)


def lookbacks_of(spec: ModelSpec) -> tuple[int, ...]:
    """Return the numbers of slices that are pooled and judged, one of them the window's."""
    return tuple(sorted({*LOOKBACKS, spec.window_ms // spec.slide_ms}))


def column_powers(reference: Reference, spec: ModelSpec, *, rows: int, origin: Origin) -> list[ColumnPower]:
    """Return what decides about each column, in the order of the reference.

    ``origin`` gives the place of a column's ``min_effect``.
    """
    found: dict[str, ColumnPower] = {}
    for source in SOURCES:
        part = reference.for_source(source)
        if part is not None:
            found |= {each.name: each for each in _powers(source, monitor_of(part, spec), rows, origin)}
    return [found[name] for name in reference.names]


def _powers(source: str, monitor: Monitor, rows: int, origin: Origin) -> list[ColumnPower]:
    """Return the columns of one source."""
    reference, variation = monitor.reference, monitor.reference.variation
    first = np.searchsorted(reference.scores.owner, np.arange(len(reference.names)))
    spread = variation.tau2[first] + variation.noise[first]
    between = np.divide(variation.tau2[first], spread, out=np.zeros(len(first)), where=spread > 0)
    season = np.ptp(variation.profile[first], axis=1)
    visible = smallest_visible(monitor, rows)
    shifts = monitor.smallest_shifts(rows=rows)
    floors = monitor.smallest_shifts(rows=max(rows, _PLENTY))
    beyond = {name: shift - monitor.min_effects[name] for name, shift in shifts.items()}
    lasting = {name: min(max(floors[name] - monitor.min_effects[name], 0.0), beyond[name]) for name in beyond}
    return [
        ColumnPower(
            name=name,
            source=source,
            role=reference.roles[j],
            kind=reference.kinds[j],
            watched=reference.scores.name(int(first[j])),
            min_effect=monitor.min_effects[name],
            min_effect_from=origin(name),
            between_share=float(between[j]) if variation.chunks > 1 else None,
            season=float(season[j]),
            looks=reference.scores.per_column[j] * len(monitor.lookbacks),
            threshold=shifts[name],
            lasting=lasting[name],
            sampling=beyond[name] - lasting[name],
            smallest_visible=visible[name],
        )
        for j, name in enumerate(reference.names)
    ]


def effect_origin(reference: Reference, spec: ModelSpec, settings: Settings | None) -> Origin:
    """Return the function that says where the smallest effect of a column came from."""
    roles = dict(zip(reference.names, reference.roles, strict=True))
    place = "default" if settings is None else place_of(settings, spec.name, "min_effect")

    def origin(column: str) -> str:
        if settings is not None and column in spec.min_effects:
            return settings.where("models", spec.name, "features", column, "min_effect")
        capped = roles[column] not in INPUTS and spec.min_effect > OUTPUT_MIN_EFFECT
        return f"output: at most {OUTPUT_MIN_EFFECT}" if capped else place

    return origin


def place_of(settings: Settings, model: str, *keys: str) -> str:
    """Return where the first of ``keys`` that was given stands, the model's before the defaults'."""
    levels: list[tuple[Section, tuple[str, ...]]] = [(settings.defaults, ("defaults",))]
    if model in settings.models:
        levels.insert(0, (settings.models[model], ("models", model)))
    for section, path in levels:
        for key in keys:
            if key in section.model_fields_set and getattr(section, key) is not None:
                return settings.where(*path, key)
    return "default"


def budget_facts(spec: ModelSpec, place: str = "default") -> dict[str, Any]:
    """Describe the budget of one monitor, which watches one version and one source of events."""
    return {
        "model": spec.name,
        "false_alarms": None if spec.false_alarms is None else str(spec.false_alarms),
        "arl": spec.arl,
        "slide": format_duration(spec.slide_ms),
        "false_alarms_per_30d": alarms_per(PERIOD_MS, arl=spec.arl, slide_ms=spec.slide_ms),
        "from": place,
    }


def budget_in_words(facts: dict[str, Any]) -> str:
    """Say a budget in one line."""
    said = f"arl {facts['arl']}" if facts["false_alarms"] is None else f"false_alarms {facts['false_alarms']}"
    return (
        f"{facts['model']}: at most one false alarm in {facts['arl']} slides of {facts['slide']} on average, "
        f"{facts['false_alarms_per_30d']:.3g} in 30d ({said}, {facts['from']})"
    )


def finite(value: Any) -> Any:
    """Return plain values with ``None`` for a number that JSON cannot say."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
