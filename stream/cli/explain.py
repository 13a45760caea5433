"""``driftstream explain``: why a model's columns alarm where they do, and what they cannot see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from detectors import Reference
    from stream.settings.configuration import Settings


def explain(
    *,
    model: Annotated[
        str | None, typer.Option(help="Model to explain; needed where there are several.")
    ] = None,
    model_version: Annotated[str | None, typer.Option(help="Version of it; default the newest.")] = None,
    feature: Annotated[str | None, typer.Option(help="One column, in detail; default all.")] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Reference to explain instead of the configured one.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of a slice.", show_default="as the reference says")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what the threshold of each column is made of, and the smallest shift that it can see.

    Effects are in standard deviations of the reference. With --reference alone the defaults hold; with
    --config beside it, what the configuration says about its model.
    """
    from stream.cli.explain_output import as_detail, as_text, described
    from stream.settings.configuration import load_settings

    settings: Settings | None = None
    if reference is None:
        settings = load_settings(config, insecure=insecure)
        explained = _configured(settings, model, model_version)
    else:
        settings = None if config is None else load_settings(config, insecure=insecure)
        explained = _given(reference, model, model_version, settings)
    facts = described(explained, settings, rows=rows, column=feature)
    if output is Output.JSON:
        print_json(facts)
    else:
        typer.echo(as_text(facts) if feature is None else as_detail(facts))


def _given(file: Path, model: str | None, version: str | None, settings: Settings | None) -> Reference:
    """Return the reference of a file, having checked that it is the one meant."""
    from stream.cli.reference_files import read_reference
    from stream.errors import ConfigError
    from stream.settings.references import require_columns

    reference = read_reference(file)
    for option, wanted, is_ in (
        ("--model", model, reference.model),
        ("--model-version", version, reference.version),
    ):
        if wanted is not None and wanted != is_:
            raise ConfigError(f"{option} {wanted!r}: {file} was built for {is_!r}; leave the option out")
    if settings is not None:
        settings.model_spec(reference.model or "")
        require_columns(settings, reference.model or "", [reference])
    return reference


def _configured(settings: Settings, model: str | None, version: str | None) -> Reference:
    """Return the reference of a model, the newest unless a version is given."""
    from stream.cli.reference_stream import learned_versions, one_of
    from stream.errors import ConfigError
    from stream.settings.references import load_versions

    if model is None and len(settings.models) != 1:
        raise ConfigError(f"{settings.where()} has {len(settings.models)} models: name one with --model")
    name = next(iter(settings.models)) if model is None else model
    settings.model_spec(name)
    if settings.model_spec(name).learn_ms is not None:
        return one_of(name, learned_versions(settings, name), version)
    return one_of(name, load_versions(settings, name), version)
