"""``driftstream emit FILE``: the rows of a file sent to Kafka as the events of a live model."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.cli.delivery import Summary


def emit(
    file: Annotated[Path, typer.Argument(help="Rows to send: .parquet, .csv or .jsonl.")],
    *,
    model: Annotated[str, typer.Option(help="Model that the events name.")],
    rate: Annotated[float, typer.Option(help="Rows per second of event time.")],
    model_version: Annotated[str | None, typer.Option(help="Version that the events name.")] = None,
    rows: Annotated[str | None, typer.Option(help="A:B[,C:D...]: rows, in this order; B excluded.")] = None,
    speedup: Annotated[str, typer.Option(help="Wall clock over event time; 'max': no pacing.")] = "1",
    config: ConfigOption = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="HOST:PORT of Kafka.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of inference events.")] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of the prediction.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of the score.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    labels_topic: Annotated[str | None, typer.Option(help="Topic of label events.")] = None,
    label_delay: Annotated[int, typer.Option(min=0, help="Rows between a prediction and its label.")] = 0,
    label_time: Annotated[str | None, typer.Option(help="Column of the time a label is known.")] = None,
    label_missing: Annotated[float, typer.Option(min=0, max=1, help="Share of labels that never come.")] = 0,
    measures: Annotated[str | None, typer.Option(help="a,b: columns of measures, such as latency.")] = None,
    features: Annotated[str | None, typer.Option(help="a,b: feature columns; default all others.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    start: Annotated[str | None, typer.Option(help="Event time of the first row (RFC 3339).")] = None,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Send the rows of FILE to Kafka as inference events (and, with --label, label events).

    Event time moves by 1/RATE seconds a row and the wall clock SPEEDUP times faster, so that the last event
    lies in the past; with --timestamp the event time is the column's and RATE only paces the rows.
    """
    from stream.cli import pacing
    from stream.cli.delivery import Delivery, Summary, Target
    from stream.row_events import inference_events
    from stream.row_labels import LabelTiming, in_order_sent, label_events
    from stream.rows import Roles, RowRanges, column_names, read_rows

    timing = LabelTiming(delay=label_delay, column=label_time, missing=label_missing)
    table = read_rows(file, RowRanges.parse(rows) if rows else None)
    names = column_names(features)
    roles = Roles.of(
        table,
        features=names,
        timestamp=timestamp,
        prediction=prediction,
        score=score,
        label=label,
        label_time=label_time,
        measures=column_names(measures),
    )
    rows_per_second = pacing.rows_per_second(rate, speedup)
    now_ms = time.time_ns() // 1_000_000
    times = pacing.event_times(table, rate, timestamp=timestamp, start=start, now_ms=now_ms)
    target = Target.of(config, bootstrap_servers, topic, labels_topic, insecure=insecure)
    if label is None:
        target = target.without_labels()
    elif "labels" not in target.topics:
        typer.echo(f"note: labels of column {label!r} are not sent: give --labels-topic", err=True)
    for note in (*times.notes, *pacing.time_notes(times, now_ms)):
        typer.echo(f"note: {note}", err=True)

    summary = Summary(file=str(file), model=model, topic=target.topics["inference"], rows=len(table))
    delivery = Delivery(target, summary, event_time=not pacing.is_old(times, now_ms))
    delivery.check()
    events = inference_events(table, roles, times, model=model, version=model_version)
    labels = label_events(table, roles, times, model=model, timing=timing)
    ordered = in_order_sent(events, labels if "labels" in target.topics else iter(()), times, timing)
    with _progress(len(table)) as advance, pacing.Interrupts() as interrupts:
        pacing.send(ordered, delivery, pacing.Pace(rows_per_second, time.monotonic), advance, interrupts)
    _report(summary, delivery.error, output)


@contextmanager
def _progress(rows: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many rows are sent; a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rows sent", total=rows)
        yield lambda sent: progress.update(task, completed=sent)


def _report(summary: Summary, error: str | None, output: Output) -> None:
    """Print the summary; raise DependencyError when Kafka refused events, exit 130 after Ctrl-C."""
    from stream.row_events import rfc3339

    if output is Output.JSON:
        print_json(asdict(summary))
    else:
        labels = f" and {summary.labels_sent} labels" if summary.labels_sent else ""
        what = f"{summary.sent} of {summary.rows} events{labels} of {summary.model} sent to {summary.topic}"
        span = (summary.first_ts_ms, summary.last_ts_ms)
        first, last = ("-" if ms is None else rfc3339(ms) for ms in span)
        typer.echo(f"{what} in {summary.seconds:.1f} s, event time {first} to {last}")
    if summary.failed:
        raise DependencyError(f"{summary.failed} events were not delivered: {error}")
    if summary.interrupted:
        raise typer.Exit(130)
