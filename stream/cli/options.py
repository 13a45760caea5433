"""Options and answers that several commands share."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="DRIFTSTREAM_CONFIG",
        metavar="FILE",
        help="Configuration file.",
        show_default="driftstream.yaml",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Allow Kafka, Redis and metrics in clear to other machines; also DRIFTSTREAM_INSECURE=true.",
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Answer for people or for machines.")]


def print_json(value: object) -> None:
    """Print one JSON document on one line, as every ``--output json`` does."""
    typer.echo(json.dumps(value, ensure_ascii=False))
