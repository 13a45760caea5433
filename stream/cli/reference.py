"""``driftstream reference build|show``: the distribution that live windows are compared with, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.options import Output, OutputOption, print_json

app = typer.Typer(help="Build and show references.", no_args_is_help=True)


@app.command()
def build(
    *,
    input_: Annotated[Path, typer.Option("--input", help="Rows: .parquet, .csv or .jsonl.")],
    model: Annotated[str, typer.Option(help="Model that the reference is for.")],
    model_version: Annotated[str, typer.Option(help="Version of the model.")],
    output: Annotated[Path, typer.Option(help="File to write; an existing one is replaced.")],
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    features: Annotated[str | None, typer.Option(help="a,b: feature columns; default all others.")] = None,
    prediction: Annotated[str | None, typer.Option(help="Column of the prediction.")] = None,
    score: Annotated[str | None, typer.Option(help="Column of the score.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    categorical: Annotated[str | None, typer.Option(help="a,b: columns of codes, not amounts.")] = None,
    rows: Annotated[str | None, typer.Option(help="A:B[,C:D...]: rows, in this order; B excluded.")] = None,
    window_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of a live window; of its slide, where windows overlap.")
    ] = None,
    window: Annotated[str | None, typer.Option(help="Length of a live window; needs --timestamp.")] = None,
    slide: Annotated[
        str | None, typer.Option(help="Distance of live windows.", show_default="1m, or --window if shorter")
    ] = None,
) -> None:
    """Build the reference of a model version from a file of rows in the order in which they happened.

    The rows are cut into windows of the size that will be live, to learn how windows differ by themselves: a
    shuffled file hides that, and false alarms follow.
    """
    from stream.cli.reference_files import as_text, build_reference, rows_per_window, write_whole
    from stream.row_events import column_times
    from stream.rows import Roles, RowRanges, column_names, read_rows

    table = read_rows(input_, RowRanges.parse(rows) if rows else None)
    roles = Roles.of(
        table,
        features=column_names(features),
        timestamp=timestamp,
        prediction=prediction,
        score=score,
        label=label,
    )
    as_codes = column_names(categorical) or []
    table.require(as_codes, "--categorical")
    times = None if timestamp is None else column_times(table, timestamp)
    for note in times.notes if times is not None else ():
        typer.echo(f"note: {note}", err=True)
    times_ms = None if times is None else times.ms
    size = rows_per_window(len(table), times_ms, window=window, slide=slide, window_rows=window_rows)
    reference = build_reference(
        table, roles, size, times_ms=times_ms, categorical=as_codes, model=model, version=model_version
    )
    write_whole(output, reference.to_json())
    typer.echo(as_text(reference))
    typer.echo(f"\nwritten to {output}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A reference file.")],
    *,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what a reference holds: its rows and windows, its columns, and what to know before trusting it."""
    from stream.cli.reference_files import as_text, described, read_reference

    reference = read_reference(file)
    if output is Output.JSON:
        print_json(described(reference))
    else:
        typer.echo(as_text(reference))
