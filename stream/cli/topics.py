"""``driftstream topics``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

app = typer.Typer(help="Look after the topics.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Look after the topics."""


@app.command()
def create(
    config: ConfigOption = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of the input topics and of the notices between the stages.")
    ] = 8,
    replication_factor: Annotated[
        int, typer.Option(min=-1, help="Copies of each partition; -1 takes the cluster's default.")
    ] = -1,
    *,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create every configured topic that is missing; leave the others as they are."""
    from stream.settings.configuration import load_settings
    from stream.topics import KafkaTopics, planned_topics

    settings = load_settings(config, insecure=insecure)
    wanted = planned_topics(settings, partitions=partitions, replication_factor=replication_factor)
    states = KafkaTopics(settings).create(wanted)
    if output is Output.JSON:
        print_json({"topics": [asdict(state) for state in states]})
        return
    for state in states:
        typer.echo(
            f"{state.status:<9}{state.name}, {state.partitions} partition{'s' * (state.partitions != 1)}"
        )
