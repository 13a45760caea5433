"""``driftstream check``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json


def check(
    config: ConfigOption = None, *, insecure: InsecureOption = False, output: OutputOption = Output.TEXT
) -> None:
    """Check configuration, Kafka and Redis; change nothing.

    Exits with 0 when a worker could start, 1 when something is not as it needs it, 2 when the configuration
    is wrong, 3 when a service cannot be reached.
    """
    from stream.check import exit_code, run_checks

    findings = run_checks(config, insecure=insecure)
    code = exit_code(findings)
    if output is Output.JSON:
        print_json({"ok": code == 0, "exit_code": code, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<12}{finding.name:<15}{finding.detail}")
    raise typer.Exit(code)
