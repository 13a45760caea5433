"""``driftstream emit FILE``: the rows of a file sent to Kafka as the events of a live model."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from stream.cli.delivery import Delivery, Summary, Target
from stream.errors import ConfigError, DependencyError
from stream.row_events import (
    EventTimes,
    Record,
    Source,
    column_times,
    in_order_sent,
    inference_events,
    label_events,
    paced_times,
    parse_time,
)
from stream.rows import Roles, RowRanges, Table, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOUR_MS = 3_600_000
_OLD_MS = 24 * _HOUR_MS
_SKEW_MS = 300_000
_TICK_S = 0.02  # rows that fall due within one tick are sent together
_UNPACED_ROWS = 5_000  # rows between two looks at the producer when nothing paces them


class Output(StrEnum):
    """How the summary is printed."""

    TEXT = "text"
    JSON = "json"


class Pace:
    """How many rows the wall clock allows by now: 1 + elapsed seconds times ``rows_per_second``.

    ``rows_per_second=None`` allows as many as there are, a slice at a time.
    """

    def __init__(self, rows_per_second: float | None, clock: Callable[[], float]) -> None:
        self._rows_per_second = rows_per_second
        self._clock = clock
        self._began = clock()

    def allowed(self, sent: int) -> int:
        """Rows that may have been sent by now, given that ``sent`` have been."""
        if self._rows_per_second is None:
            return sent + _UNPACED_ROWS
        return 1 + int((self._clock() - self._began) * self._rows_per_second)


def emit(
    file: Annotated[Path, typer.Argument(help="Rows to send: .parquet, .csv or .jsonl.")],
    *,
    model: Annotated[str, typer.Option(help="Model that the events name.")],
    rate: Annotated[float, typer.Option(help="Rows per second of event time.")],
    model_version: Annotated[str | None, typer.Option(help="Version that the events name.")] = None,
    rows: Annotated[str | None, typer.Option(help="A:B[,C:D...]: rows, in this order; B excluded.")] = None,
    speedup: Annotated[str, typer.Option(help="Wall clock over event time; 'max': no pacing.")] = "1",
    config: Annotated[Path | None, typer.Option(help="Configuration that says where Kafka is.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="HOST:PORT of Kafka.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of inference events.")] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of the prediction.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of the score.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    labels_topic: Annotated[str | None, typer.Option(help="Topic of label events.")] = None,
    label_delay: Annotated[int, typer.Option(min=0, help="Rows between a prediction and its label.")] = 0,
    features: Annotated[str | None, typer.Option(help="a,b: feature columns; default all others.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    start: Annotated[str | None, typer.Option(help="Event time of the first row (RFC 3339).")] = None,
    output: Annotated[Output, typer.Option(help="Form of the summary.")] = Output.TEXT,
) -> None:
    """Send the rows of FILE to Kafka as inference events (and, with --label, label events).

    Event time moves by 1/RATE seconds a row and the wall clock SPEEDUP times faster, so that the last event
    lies in the past; with --timestamp the event time is the column's and RATE only paces the rows.
    """
    table = read_rows(file, RowRanges.parse(rows) if rows else None)
    roles = Roles.of(
        table,
        features=split_names(features),
        timestamp=timestamp,
        prediction=prediction,
        score=score,
        label=label,
    )
    now_ms = time.time_ns() // 1_000_000
    times = (
        _column_times(table, timestamp, start) if timestamp else _paced_times(len(table), rate, start, now_ms)
    )
    pace = Pace(_rows_per_second(rate, speedup), time.monotonic)
    target = Target.of(config, bootstrap_servers, topic, labels_topic)
    if label is None:
        target = target.without_labels()
    for note in (*times.notes, *_notes(times, target, label, now_ms)):
        typer.echo(f"note: {note}", err=True)

    summary = Summary(file=str(file), model=model, topic=target.topics["inference"], rows=len(table))
    delivery = Delivery(target, summary, event_time=not _is_old(times, now_ms))
    delivery.check()
    labels = label_events(table, roles, times, model=model, delay=label_delay)
    events = inference_events(table, roles, times, model=model, version=model_version)
    with _progress(len(table)) as advance:
        ordered = in_order_sent(events, labels if "labels" in target.topics else iter(()), label_delay)
        _send(ordered, delivery, pace, advance)
    _report(summary, delivery.error, output)


def split_names(text: str | None) -> list[str] | None:
    """Return the names of a comma separated option, or None when it was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _rows_per_second(rate: float, speedup: str) -> float | None:
    """Return the rows per second of the wall clock; None when nothing paces them."""
    if not rate > 0:
        raise ConfigError(f"--rate {rate} must be above 0 rows per second")
    if speedup == "max":
        return None
    try:
        factor = float(speedup)
    except ValueError:
        factor = -1.0
    if not 0 <= factor < math.inf:
        raise ConfigError(f"--speedup {speedup!r} must be a number from 0 up, or 'max' (as 0: no pacing)")
    return rate * factor or None


def _column_times(table: Table, timestamp: str, start: str | None) -> EventTimes:
    if start is not None:
        raise ConfigError("--start and --timestamp both say when the first row happened: give one of them")
    return column_times(table, timestamp)


def _paced_times(rows: int, rate: float, start: str | None, now_ms: int) -> EventTimes:
    """Move 1/rate s a row, from ``start`` or from the last whole hour that leaves no row in the future."""
    if start is not None:
        return paced_times(rows, rate, parse_time(start, "--start"))
    span_ms = int(paced_times(rows, rate, 0).ms[-1])
    return paced_times(rows, rate, (now_ms - span_ms) // _HOUR_MS * _HOUR_MS)


def _is_old(times: EventTimes, now_ms: int) -> bool:
    """Whether a topic with a short retention would delete the events as they come, were they stamped so."""
    return int(times.ms.min()) < now_ms - _OLD_MS


def _notes(times: EventTimes, target: Target, label: str | None, now_ms: int) -> Iterator[str]:
    ahead = int(np.count_nonzero(times.ms > now_ms + _SKEW_MS))
    if ahead:
        yield f"{ahead} events lie in the future, where workers quarantine them: give an earlier --start"
    if _is_old(times, now_ms):
        yield "events are over a day old: records carry the time of sending, so that retention keeps them"
    if label is not None and "labels" not in target.topics:
        yield f"labels of column {label!r} are not sent: name their topic with --labels-topic"


@contextmanager
def _progress(rows: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many rows are sent; a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rows sent", total=rows)
        yield lambda sent: progress.update(task, completed=sent)


def _send(
    ordered: Iterator[tuple[Source, Record]], delivery: Delivery, pace: Pace, advance: Callable[[int], None]
) -> None:
    """Send as the pace allows and wait for every acknowledgement; after Ctrl-C only for those under way."""
    sent = allowed = 0
    try:
        for source, record in ordered:
            while source == "inference" and sent >= allowed:
                allowed = pace.allowed(sent)
                delivery.poll(0 if sent < allowed else _TICK_S)
                advance(sent)
            delivery.send(source, record)
            sent += source == "inference"
    except KeyboardInterrupt:
        delivery.summary.interrupted = True
    delivery.finish()


def _report(summary: Summary, error: str | None, output: Output) -> None:
    """Print the summary; raise DependencyError when Kafka refused events, exit 130 after Ctrl-C."""
    if output is Output.JSON:
        typer.echo(msgspec.json.encode(asdict(summary)).decode())
    else:
        labels = f" and {summary.labels_sent} labels" if summary.labels_sent else ""
        what = f"{summary.sent} of {summary.rows} events{labels} of {summary.model} sent to {summary.topic}"
        typer.echo(f"{what} in {summary.seconds:.1f} s")
    if summary.failed:
        raise DependencyError(f"{summary.failed} events were not delivered: {error}")
    if summary.interrupted:
        raise typer.Exit(130)
