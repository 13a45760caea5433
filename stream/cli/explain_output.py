"""What ``driftstream explain`` answers: one set of facts, as JSON, as a table, or one column in detail."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from detectors.reference import SOURCES
from stream.cli.reference_files import aligned, as_effect
from stream.errors import ConfigError
from stream.explain import (
    budget_facts,
    budget_in_words,
    column_powers,
    default_spec,
    effect_origin,
    expected_rows,
    finite,
    lookbacks_of,
    place_of,
)
from stream.settings.tree import did_you_mean

if TYPE_CHECKING:
    from detectors import Reference
    from stream.settings.configuration import Settings

_LEGEND = """\
seen in 1, in 10: the shift found in half of the cases after so many slices, in standard deviations of the
reference (of a category: of its share). In 1 it is the threshold of a slice = min_effect + lasting + chance.
lasting: the reference's size and how its windows vary by themselves, however many rows come. between: part of
the variance that lies between windows. season: from its lowest hour to its highest."""


def described(
    reference: Reference, settings: Settings | None, *, rows: int | None, column: str | None
) -> dict[str, Any]:
    """Return the facts about all columns, or about one.

    Raises
    ------
    ConfigError
        The reference has no such column.
    """
    if column is not None and column not in reference.names:
        raise ConfigError(
            f"--feature {column!r} is not in the reference{did_you_mean(column, reference.names)}"
        )
    spec = default_spec(reference) if settings is None else settings.model_spec(str(reference.model))
    place = "default" if settings is None else place_of(settings, spec.name, "false_alarms", "arl")
    slice_rows = expected_rows(reference, spec) if rows is None else rows
    origin = effect_origin(reference, spec, settings)
    powers = column_powers(reference, spec, rows=slice_rows, origin=origin)
    return {
        "model": reference.model,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
        "rows": reference.counts.n,
        "chunks": reference.variation.chunks,
        "seasonal_days": reference.variation.days,
        "sources": [source for source in SOURCES if reference.for_source(source) is not None],
        "budget": budget_facts(spec, place),
        "slice_rows": slice_rows,
        "slice_rows_from": "the reference" if rows is None else "--rows",
        "lookbacks": list(lookbacks_of(spec)),
        "columns": [
            finite(dataclasses.asdict(power)) for power in powers if column is None or power.name == column
        ],
        "caveats": list(reference.caveats),
    }


def as_text(facts: dict[str, Any]) -> str:
    """Return a heading, a line a column, the legend and the caveats."""
    head = ("column", "role", "watched", "seen in 1", "in 10", "min_effect", "lasting", "chance")
    table = [(*head, "between", "season", "looks", "min_effect from")]
    for c in facts["columns"]:
        numbers = (c["threshold"], c["smallest_visible"]["10"], c["min_effect"], c["lasting"], c["sampling"])
        looks = (_share(c["between_share"]), _season(c), str(c["looks"]))
        named = (c["name"], c["role"], c["watched"])
        table.append((*named, *map(as_effect, numbers), *looks, c["min_effect_from"]))
    return "\n".join([*_heading(facts), "", *aligned(table), "", _LEGEND, *_caveats(facts)])


def as_detail(facts: dict[str, Any]) -> str:
    """Return what there is to say about one column, its threshold part by part."""
    (c,) = facts["columns"]
    parts = [
        (as_effect(c["threshold"]), "threshold of one slice, in standard deviations, of which"),
        (as_effect(c["min_effect"]), f"  min_effect ({c['min_effect_from']})"),
        (as_effect(c["lasting"]), "  the reference: its size, and how its windows vary by themselves"),
        (as_effect(c["sampling"]), f"  chance in a slice of {facts['slice_rows']} rows"),
    ]
    parts += [
        (
            as_effect(shift),
            f"smallest shift seen in {slices} slice{'s' if slices != '1' else ''}, half of the time",
        )
        for slices, shift in c["smallest_visible"].items()
    ]
    parts += [
        (_share(c["between_share"]), "of the variance lies between windows"),
        (_season(c), "season: from its lowest hour to its highest, in standard deviations"),
        (str(c["looks"]), f"looks: components times the {len(facts['lookbacks'])} lookbacks"),
    ]
    width = max(len(value) for value, _ in parts)
    lines = [f"{value.rjust(width)}  {text}" for value, text in parts]
    column = f"{c['name']}: {c['role']}, {c['kind']}; the numbers are about its {_watched(c)}"
    return "\n".join([*_heading(facts), "", column, "", *lines, *_caveats(facts)])


def _heading(facts: dict[str, Any]) -> list[str]:
    sources = facts["sources"]
    each = f", for each of {' and '.join(sources)} by itself" if len(sources) > 1 else ""
    slices = ", ".join(map(str, facts["lookbacks"]))
    return [
        f"{facts['model']} {facts['version']} ({facts['fingerprint']}), "
        f"{facts['rows']} rows in {facts['chunks']} chunks",
        f"{budget_in_words(facts['budget'])}{each}",
        f"looks back over {slices} slices; a slice holds {facts['slice_rows']} rows "
        f"({facts['slice_rows_from']} says so)",
    ]


def _caveats(facts: dict[str, Any]) -> list[str]:
    return ["", *(f"caveat: {caveat}" for caveat in facts["caveats"])] if facts["caveats"] else []


def _watched(column: dict[str, Any]) -> str:
    return str(column["watched"]) if column["kind"] == "numeric" else f"category {column['watched']}"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}"


def _season(column: dict[str, Any]) -> str:
    return f"{column['season']:.2f}" if column["season"] else "none"
