"""``driftstream reference``: the distributions that live windows are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from detectors import Reference
    from stream.settings.configuration import Settings

app = typer.Typer(help="Build, show and keep references.", no_args_is_help=True)


@app.command()
def build(
    *,
    input_: Annotated[Path | None, typer.Option("--input", help="Rows: .parquet, .csv or .jsonl.")] = None,
    from_kafka: Annotated[
        bool, typer.Option("--from-kafka", help="Events of the inference topic instead of a file.")
    ] = False,
    model: Annotated[str, typer.Option(help="Model that the reference is for.")],
    model_version: Annotated[
        str | None,
        typer.Option(help="Version of the model.", show_default="that of the events; needed for a file"),
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write; an existing one is replaced.")],
    timestamp: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    features: Annotated[str | None, typer.Option(help="a,b: feature columns; default all others.")] = None,
    measures: Annotated[str | None, typer.Option(help="a,b: columns of measures, such as latency.")] = None,
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
    start: Annotated[str | None, typer.Option("--from", help="Kafka: first event time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Kafka: event time before which it ends.")] = None,
    last: Annotated[str | None, typer.Option(help="Kafka: the time up to now instead, such as 24h.")] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Build the reference of a model version from a file of rows in the order in which they happened.

    The rows are cut into windows of the size that will be live, to learn how windows differ by themselves: a
    shuffled file hides that, and false alarms follow.

    With --from-kafka, from the model's events in a range of event time; broker, topics and windows are those
    of the configuration. The rules of privacy.fields in --config hold for rows of a file too.
    """
    from stream.cli.reference_files import as_text, write_whole
    from stream.cli.reference_stream import build_from_kafka, span_of
    from stream.errors import ConfigError
    from stream.rows import column_names
    from stream.settings.configuration import load_settings

    span = {"--from": start, "--to": end, "--last": last}
    of_files = {
        "--input": input_, "--timestamp": timestamp, "--features": features, "--measures": measures,
        "--prediction": prediction,
        "--score": score, "--label": label, "--rows": rows,
        "--window-rows": window_rows, "--window": window, "--slide": slide,
    }  # fmt: skip
    if from_kafka:
        _refuse(of_files, "is of --input, not of --from-kafka")
        wanted = span_of(start, end, last)
        settings = load_settings(config, insecure=insecure)
        codes = column_names(categorical) or []
        reference = build_from_kafka(settings, model, model_version, wanted, categorical=codes)
    elif input_ is None or model_version is None:
        missing = "--input" if input_ is None else "--model-version"
        raise ConfigError(f"{missing} is missing: give it, or --from-kafka to take events of the stream")
    else:
        _refuse(span, "is of --from-kafka, not of --input")
        reference = _from_file(
            input_,
            {"timestamp": timestamp, "prediction": prediction, "score": score, "label": label},
            features=features,
            measures=measures,
            categorical=categorical,
            rows=rows,
            sizes={"window_rows": window_rows, "window": window, "slide": slide},
            names={"model": model, "version": model_version},
            config=config,
        )
    write_whole(output, reference.to_json())
    typer.echo(as_text(reference))
    typer.echo(f"\nwritten to {output}")


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Refuse options that have no meaning here."""
    from stream.errors import ConfigError

    given = next((name for name, value in options.items() if value is not None), None)
    if given is not None:
        raise ConfigError(f"{given} {reason}: leave one of them out")


def _from_file(
    file: Path,
    roles: Mapping[str, str | None],
    *,
    features: str | None,
    measures: str | None,
    categorical: str | None,
    rows: str | None,
    sizes: Mapping[str, Any],
    names: Mapping[str, str],
    config: Path | None,
) -> Reference:
    from stream.cli.reference_files import build_reference, rows_per_window
    from stream.privacy import NO_RULES
    from stream.row_events import column_times
    from stream.rows import Roles, RowRanges, column_names, read_rows
    from stream.settings.configuration import load_settings

    table = read_rows(file, RowRanges.parse(rows) if rows else None)
    named = Roles.of(table, features=column_names(features), measures=column_names(measures), **roles)
    as_codes = column_names(categorical) or []
    table.require(as_codes, "--categorical")
    times = None if named.timestamp is None else column_times(table, named.timestamp)
    for note in times.notes if times is not None else ():
        typer.echo(f"note: {note}", err=True)
    times_ms = None if times is None else times.ms
    size = rows_per_window(len(table), times_ms, **sizes)
    return build_reference(
        table,
        named,
        size,
        times_ms=times_ms,
        categorical=as_codes,
        privacy=NO_RULES if config is None else load_settings(config).privacy.field_privacy,
        **names,
    )


@app.command()
def show(
    reference: Annotated[str, typer.Argument(metavar="FILE|MODEL", help="A file, or a model that learns.")],
    *,
    model_version: Annotated[str | None, typer.Option(help="Version of MODEL; default the newest.")] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what a reference holds: its rows and windows, its columns, and what to know before trusting it.

    A model that learns its references is asked for by its name: what workers have learned is in Redis.
    """
    from stream.cli.reference_files import as_text, described, read_reference
    from stream.settings.configuration import load_settings

    if reference.endswith(".json") or Path(reference).is_file():
        found = read_reference(Path(reference))
    else:
        found = _learned(load_settings(config, insecure=insecure), reference, model_version)
    if output is Output.JSON:
        print_json(described(found))
    else:
        typer.echo(as_text(found))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A model that learns its references.")],
    *,
    file: Annotated[Path, typer.Option("--output", help="File to write; an existing one is replaced.")],
    model_version: Annotated[str | None, typer.Option(help="Version of it; default the newest.")] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Write a learned reference to a file, to keep it or to name it under `references`."""
    from stream.cli.reference_files import write_whole
    from stream.settings.configuration import load_settings

    found = _learned(load_settings(config, insecure=insecure), model, model_version)
    write_whole(file, found.to_json())
    typer.echo(f"{found.model} {found.version} ({found.fingerprint}) written to {file}")


@app.command()
def forget(
    model: Annotated[str, typer.Argument(help="A model that learns its references.")],
    *,
    model_version: Annotated[str | None, typer.Option(help="Version of it; default the newest.")] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Drop a learned reference: its version warms up again, from the events that come now.

    For a warm-up that turns out to have been no good example. To keep what was learned, export it first.
    """
    from stream.cli.reference_stream import forget_learned, learned_versions, one_of
    from stream.settings.configuration import load_settings

    settings = load_settings(config, insecure=insecure)
    found = one_of(model, learned_versions(settings, model), model_version)
    forget_learned(settings, model, str(found.version))
    typer.echo(f"{model} {found.version} ({found.fingerprint}) is forgotten: it warms up again")


def _learned(settings: Settings, model: str, version: str | None) -> Reference:
    from stream.cli.reference_stream import learned_versions, one_of

    return one_of(model, learned_versions(settings, model), version)
