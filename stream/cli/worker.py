"""``driftstream worker``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption


class Stage(StrEnum):
    """One of the two stages of a worker."""

    INGEST = "ingest"
    EVALUATE = "evaluate"


def worker(
    config: ConfigOption = None,
    only: Annotated[Stage | None, typer.Option("--only", help="Run one stage; by default both.")] = None,
    *,
    insecure: InsecureOption = False,
) -> None:
    """Count events and evaluate windows until SIGTERM; more workers share the partitions and the models."""
    from stream.settings.configuration import load_settings
    from stream.worker import Worker

    settings = load_settings(config, insecure=insecure)
    Worker(settings, settings.references(), only=None if only is None else only.value).run()
