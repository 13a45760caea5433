"""``driftstream config``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

app = typer.Typer(help="Show and check the configuration.", no_args_is_help=True)


class SchemaForm(StrEnum):
    """Forms in which the settings are described."""

    JSON = "json"
    MARKDOWN = "markdown"


@app.callback()
def config() -> None:
    """Show and check the configuration."""


@app.command()
def schema(
    output: Annotated[SchemaForm, typer.Option("--output", "-o", help="JSON schema, or a page to read.")] = (
        SchemaForm.JSON
    ),
) -> None:
    """Print what can stand in the configuration file."""
    from stream.settings.reference_page import configuration_page, configuration_schema

    typer.echo(configuration_schema() if output is SchemaForm.JSON else configuration_page(), nl=False)


@app.command()
def show(config: ConfigOption = None, output: OutputOption = Output.TEXT) -> None:
    """Print the configuration in effect: file, environment and defaults; secrets are masked."""
    import yaml

    from stream.explain import budget_facts, budget_in_words, place_of
    from stream.settings.configuration import load_settings

    settings = load_settings(config)
    values = settings.model_dump(mode="json", by_alias=True)
    values["models"] = {name: _said(model) for name, model in values["models"].items()}
    del values["defaults"]["arl" if settings.defaults.false_alarms else "false_alarms"]
    budgets = [
        budget_facts(settings.model_spec(name), place_of(settings, name, "false_alarms", "arl"))
        for name in settings.models
    ]
    if output is Output.JSON:
        print_json({**values, "budgets": budgets})
        return
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)
    for budget in budgets:
        typer.echo(f"# {budget_in_words(budget)}")


@app.command()
def validate(
    config: ConfigOption = None, *, insecure: InsecureOption = False, output: OutputOption = Output.TEXT
) -> None:
    """Check the configuration and its references; connect to nothing."""
    from stream.kafka_config import validate_kafka
    from stream.settings.configuration import load_settings
    from stream.transport import require_private

    settings = load_settings(config, insecure=insecure)
    validate_kafka(settings)
    require_private(settings, "redis")
    require_private(settings, "metrics")
    references = settings.references()
    if output is Output.JSON:
        found = [{"model": model, "version": version} for model, version in references]
        print_json({"valid": True, "file": settings.where(), "references": found})
        return
    named = [" ".join(key) for key in references]
    named += [f"{name} learns" for name in settings.models if settings.model_spec(name).learn_ms is not None]
    typer.echo(f"{settings.where()} is valid; references: {', '.join(named)}")


def _said(model: dict[str, Any]) -> dict[str, Any]:
    """Return what a model says for itself."""
    inner = {key: _said(value) if isinstance(value, dict) else value for key, value in model.items()}
    return {key: value for key, value in inner.items() if value not in (None, {}, [])}
