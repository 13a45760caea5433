"""What a benchmark prints: a table for people on a terminal, lines or one JSON object otherwise."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.usage import Usage

PACKAGES = ("driftstream", "confluent-kafka", "faust-streaming", "msgspec", "numpy", "redis")


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


def print_tables(report: Mapping[str, Any]) -> None:
    """Write the report as tables; without a terminal they have no frames and no colours."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(_rates(report["results"]))
    if report["stages"]:
        console.print(_stages(report["stages"]))
    where = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    console.print(f"{report['runs']} interleaved runs, medians; counts checked against the events.\n{where}")


def _rates(results: Mapping[str, Mapping[str, float]]) -> Table:
    table = _table(
        "way", "events/s per core", "events/s wall", "CPU ns/event", "spread", "peak MiB", "x Faust"
    )
    for name, row in results.items():
        table.add_row(
            name,
            f"{row['events_per_core_second']:,.0f}",
            f"{row['events_per_second']:,.0f}",
            f"{row['cpu_ns_per_event']:,.0f}",
            f"{row['spread']:.0%}",
            f"{row['peak_rss_mib']:.0f}",
            f"{row['ratio']:.1f}",
        )
    return table


def _stages(stages: Mapping[str, float]) -> Table:
    table = _table("stage", "CPU ns/event", "share")
    total = sum(stages.values())
    for name, ns in stages.items():
        table.add_row(name, f"{ns:,.0f}", f"{ns / total:.0%}")
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None) if not sys.stdout.isatty() else Table()
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
