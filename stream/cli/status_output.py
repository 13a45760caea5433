"""The text of ``driftstream status``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stream.row_events import rfc3339

if TYPE_CHECKING:
    from stream.status import ModelStatus, PartitionStatus, SeriesStatus, Status, TopicStatus

UNKNOWN = "unknown"
HEADLINES = ("accuracy", "mae", "hit_rate")
"""The metric that is told of a model: the first of these that it has."""
_NAMES_SHOWN = 5


def as_text(found: Status) -> str:
    """Describe the status: workers, topics, models, performance, what is learned, what nobody configured."""
    return "\n".join(
        [
            *_workers(found),
            *(line for topic in found.topics for line in _topic(topic)),
            *([f"  lag is unknown: {found.kafka}"] if found.kafka else []),
            "",
            f"models ({len(found.models)})",
            *_table(row for model in found.models for row in _model(model)),
            *_performance(found),
            *_joins(found),
            *_learning(found),
            *_unknown(found),
        ]
    )


def _workers(found: Status) -> Iterator[str]:
    yield f"workers ({len(found.workers)})"
    yield from _table(
        (each.name, each.stage, f"http://{each.metrics}/metrics", f"since {_instant(each.started_ms)}")
        for each in found.workers
    )


def _topic(topic: TopicStatus) -> Iterator[str]:
    yield ""
    if not topic.partitions:
        yield f"topic {topic.topic}: no worker has read it yet"
        return
    totals = ", ".join(f"{n} {name}" for name, n in topic.totals.items() if n or name != "learning")
    yield f"topic {topic.topic} ({len(topic.partitions)} partitions): lag {_number(topic.lag)}, {totals}"
    heading = ("partition", "offset", "lag", "watermark", "", "events", "open panes", "outbox")
    yield from _table([heading, *(_partition(each) for each in topic.partitions)])
    if topic.flood_since_ms is not None:
        since = _instant(topic.flood_since_ms)
        yield f"  flood since {since}: most records are no events, docs/runbooks/dead_letter_flood.md"


def _partition(each: PartitionStatus) -> tuple[str, ...]:
    return (
        str(each.partition),
        "-" if each.offset is None else str(each.offset),
        _number(each.lag),
        _instant(each.watermark_ms),
        "idle" if each.idle else "",
        str(each.totals["events"]),
        str(each.open_panes),
        str(each.outbox),
    )


def _model(model: ModelStatus) -> Iterator[tuple[str, ...]]:
    waiting = f"{model.outbox} messages to publish" if model.outbox else ""
    if model.error is not None or not model.series:
        yield model.model, "", "", model.error or "no window evaluated yet", waiting
        return
    for each in model.series:
        yield model.model, each.version, each.source, *_verdict(each), waiting


def _verdict(each: SeriesStatus) -> tuple[str, str, str]:
    if each.window_end_ms is None:
        return "no window evaluated yet", "", ""
    window = f"n {_number(each.n)}, window to {_instant(each.window_end_ms)}"
    incidents = "; ".join(
        f"{i['kind']} ({i['severity']}) since {_instant(i['since_ms'])}: {_names(i['features'])}"
        for i in each.incidents
    )
    return each.status, window, incidents


def _performance(found: Status) -> Iterator[str]:
    rows = [
        (model.model, each.version, *_outcomes(each.performance))
        for model in found.models
        for each in model.series
        if each.performance is not None
    ]
    if rows:
        yield ""
        yield "performance of the newest window with labels"
        yield from _table(rows)


def _outcomes(performance: Mapping[str, Any]) -> tuple[str, ...]:
    realized, estimated = performance["realized"], performance["estimated"]
    name = next((name for name in HEADLINES if name in realized), None)
    expected = f"estimated {estimated[name]:.4f}" if name in estimated else ""
    return (
        "too few labels" if name is None else f"{name} {realized[name]:.4f}",
        expected,
        f"{realized['n']:.0f} labels, coverage {realized['coverage']:.1%}",
        f"window to {_instant(performance['window_end_ms'])}",
        "final" if performance["final"] else "provisional",
    )


def _joins(found: Status) -> Iterator[str]:
    rows = [
        (
            model.model,
            ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in _told(model.joins)),
            f"{model.journal} pieces to evaluate" if model.journal else "",
        )
        for model in found.models
        if any(model.joins.values())
    ]
    if rows:
        yield ""
        yield "predictions and the labels joined to them"
        yield from _table(rows)


def _told(joins: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return ((name, n) for name, n in joins.items() if n or name == "joined")


def _learning(found: Status) -> Iterator[str]:
    if not found.learning:
        return
    yield ""
    yield "warming up: their references are learned when all events up to then have come"
    yield from _table(
        (
            each.model,
            each.version or "no version",
            f"since {_instant(each.since_ms)}",
            f"until {_instant(each.until_ms)}",
            each.reason.replace("_", " "),
        )
        for each in found.learning
    )


def _unknown(found: Status) -> Iterator[str]:
    if not found.unknown_models:
        return
    yield ""
    yield "models that nobody configured: name them under models, with a reference of each version"
    yield from _table(
        (each.model, each.version or "no version", f"{each.events} events", each.topic)
        for each in found.unknown_models
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows as aligned lines; a row may end early."""
    cells = [list(row) for row in rows]
    width = max(map(len, cells), default=0)
    padded = [[*row, *[""] * (width - len(row))] for row in cells]
    widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in padded
    ]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _instant(ms: int | None) -> str:
    return "-" if ms is None else rfc3339(ms).replace(".000Z", "Z")
