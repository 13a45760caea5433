"""``driftstream demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from stream.demo.report import Report


def demo(
    *,
    broker: Annotated[
        str, typer.Option(metavar="kafka|mock|HOST:PORT", help="Bring Apache Kafka or a mock, or use yours.")
    ] = "kafka",
    redis: Annotated[str | None, typer.Option(metavar="URL", help="Use this Redis; else bring one.")] = None,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the worker's metrics; 0 takes a free one.")
    ] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Watch a real model for drift on a Kafka and a Redis that come with it: nothing to install or set up.

    Exits with 0 when everything that was injected was found, nothing else was, and every event was counted;
    with 1 otherwise. Nothing is left behind, whatever ends it.
    """
    from stream.demo import Choices, run_demo
    from stream.demo.report_text import report_text
    from stream.demo.screen import Screen

    def answer(report: Report) -> None:
        if output is Output.JSON:
            print_json(report.to_dict())
        else:
            typer.echo(report_text(report))

    choices = Choices(broker=broker, redis_url=redis, keep=keep, metrics_port=metrics_port, insecure=insecure)
    report = run_demo(choices, Screen(), answer=answer)
    raise typer.Exit(1 if report.shortcomings else 0)
