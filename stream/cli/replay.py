"""``driftstream replay FILE``: what a worker would say of the rows of a file, without Kafka and Redis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.replay import Replay
    from stream.row_events import Record, Source


def replay(
    file: Annotated[Path, typer.Argument(help="Rows to replay: .parquet, .csv or .jsonl.")],
    *,
    reference: Annotated[Path, typer.Option(help="Reference file of the model version.")],
    rows: Annotated[str | None, typer.Option(help="A:B[,C:D...]: rows, in this order; B excluded.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    rate: Annotated[float | None, typer.Option(help="Without one: rows per second of event time.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="With --rate: time of the first row.", show_default="2020-01-01T00:00:00Z"),
    ] = None,
    window: Annotated[str | None, typer.Option(help="Length of a window.", show_default="5m")] = None,
    slide: Annotated[str | None, typer.Option(help="Distance of windows.", show_default="window")] = None,
    grace: Annotated[
        str | None, typer.Option(help="How long after its end a window accepts events.", show_default="30s")
    ] = None,
    out_of_orderness: Annotated[
        str | None, typer.Option(help="How far events may be out of order.", show_default="5s")
    ] = None,
    min_samples: Annotated[
        int | None, typer.Option(min=1, help="Fewest events to judge.", show_default="50")
    ] = None,
    min_effect: Annotated[
        float | None, typer.Option(min=0, max=1, help="Smallest change that matters.", show_default="0.05")
    ] = None,
    arl: Annotated[
        int | None, typer.Option(min=1, help="Windows between false alarms.", show_default="10000")
    ] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of the prediction.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of the score.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    label_delay: Annotated[int, typer.Option(min=0, help="Rows between a prediction and its label.")] = 0,
    label_time: Annotated[str | None, typer.Option(help="Column of the time a label is known.")] = None,
    label_missing: Annotated[float, typer.Option(min=0, max=1, help="Share of labels that never come.")] = 0,
    label_horizon: Annotated[
        str | None,
        typer.Option(
            help="How far a label may lie from its prediction.", show_default="3d, or what the labels take"
        ),
    ] = None,
    measures: Annotated[str | None, typer.Option(help="a,b: columns of measures, such as latency.")] = None,
    features: Annotated[str | None, typer.Option(help="a,b: feature columns; default all others.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration to take the defaults from.")
    ] = None,
    alerts: Annotated[Path | None, typer.Option(help="File for the alerts, a JSON line each.")] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit with 1 on drift.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run the rows of FILE through the pipeline of a worker, as fast as they can be read.

    Windows close as event time passes. With --output json each gives one line: the record that a worker
    writes to the metrics topic. The same rows and options give the same bytes, every time.
    """
    from stream.cli.reference_files import read_reference
    from stream.cli.replay_options import (
        SpecOptions,
        configuration,
        event_times,
        replay_spec,
        replayed_sources,
        waiting_for_all,
    )
    from stream.replay import Replay
    from stream.row_events import inference_events
    from stream.row_labels import LabelTiming, in_order_sent, label_events
    from stream.rows import Roles, RowRanges, column_names, read_rows
    from stream.settings.units import format_duration

    timing = LabelTiming(delay=label_delay, column=label_time, missing=label_missing)
    built = read_reference(reference)
    told = SpecOptions(
        window=window,
        slide=slide,
        grace=grace,
        out_of_orderness=out_of_orderness,
        min_samples=min_samples,
        min_effect=min_effect,
        arl=arl,
        label_horizon=label_horizon,
    )
    spec = replay_spec(told, configuration(config), model=built.model)
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
    times = event_times(table, timestamp=timestamp, rate=rate, start=start)
    if label is not None and label_horizon is None and config is None:
        spec = waiting_for_all(spec, table, times, timing)
    pipeline = Replay(spec, built, sources=replayed_sources(built, reference, table, roles))
    for note in times.notes:
        typer.echo(f"note: {note}", err=True)

    events = inference_events(table, roles, times, model=pipeline.model, version=pipeline.version)
    labels = label_events(table, roles, times, model=pipeline.model, timing=timing)
    ordered = in_order_sent(events, labels, times, timing)
    has_drift = _print(pipeline, ordered, len(table), output, alerts)
    if pipeline.has_unjoined:
        horizon = format_duration(spec.labels.horizon_ms)
        note = f"labels more than {horizon} from their prediction were not joined"
        typer.echo(f"note: {note}: give a longer --label-horizon", err=True)
    if fail_on_drift and has_drift:
        raise typer.Exit(1)


def _print(
    pipeline: Replay, events: Iterator[tuple[Source, Record]], rows: int, output: Output, alerts: Path | None
) -> bool:
    """Replay the events and print what comes of them; whether anything drifted."""
    from stream.cli.replay_output import Report, alert_file, bar

    with alert_file(alerts) as file, bar(rows) as progress:
        report = Report(output, alerts=file)
        for message in pipeline.run(progress.counting(events)):
            with progress.off_screen():
                report.show(message)
    report.close(pipeline.totals)
    return report.has_drift
