"""What benchmarks share of their reports: medians of runs, the machine, tables, JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import typer
from rich.table import Table

from benchmarks.quality_peers_venv import PeersUnavailable
from benchmarks.usage import Usage
from stream.errors import DriftstreamError

PACKAGES = ("driftstream", "confluent-kafka", "msgspec", "numpy", "redis")


def reported(
    name: str,
    measured: Callable[[], dict[str, Any]],
    tables: Callable[[dict[str, Any]], None],
    *,
    as_json: bool,
) -> None:
    """Measure and print; a service or a way that cannot be had is one line, and exit code 3."""
    try:
        report = measured()
    except (DriftstreamError, PeersUnavailable, RuntimeError) as error:
        typer.echo(f"benchmarks.{name}: error: {error}", err=True)
        raise typer.Exit(3) from None
    if as_json:
        print_json(report)
    else:
        tables(report)


def summary(runs: Sequence[Usage]) -> dict[str, float]:
    """Return the medians of the runs, and the spread of the rate per core ((max - min) / median)."""
    per_core = [run.per_core for run in runs]
    return {
        "events": runs[0].events,
        "events_per_core_second": round(median(per_core)),
        "events_per_second": round(median(run.per_second for run in runs)),
        "cpu_ns_per_event": round(median(run.cpu_s / run.events * 1e9 for run in runs)),
        "spread": round((max(per_core) - min(per_core)) / median(per_core), 3),
        "peak_rss_mib": round(median(run.peak_rss_bytes for run in runs) / 2**20, 1),
    }


def machine(**servers: str) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **servers,
        **{name: version(name) for name in PACKAGES},
    }


def print_json(report: Mapping[str, Any]) -> None:
    """Write the report as one object on one line."""
    sys.stdout.write(json.dumps(report) + "\n")


def table(first: str, *numbers: str) -> Table:
    """Return a table with a column of names and columns of numbers; no frame without a terminal."""
    empty = Table(box=None) if not sys.stdout.isatty() else Table()
    empty.add_column(first)
    for name in numbers:
        empty.add_column(name, justify="right")
    return empty


def machine_line(report: Mapping[str, Any]) -> str:
    """Return what the numbers were measured on, on one line."""
    return ", ".join(f"{name} {value}" for name, value in report["machine"].items())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
