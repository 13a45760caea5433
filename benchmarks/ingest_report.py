"""The tables of the ingest benchmark."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import machine_line, table

_WIDTH = 130


def print_tables(report: Mapping[str, Any]) -> None:
    """Write the report as tables; without a terminal they have no frames and no colours."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_rates(report["results"]))
    if report["variants"]:
        console.print(_variants(report["variants"]))
    if report["stages"]:
        console.print(_stages(report["stages"]))
    load = report["workload"]
    console.print(
        f"W: {load['events']:,} events of {load['bytes']:.0f} bytes in {load['partitions']} partitions."
        f" Decoder: {report['decoder']}. {report['runs']} interleaved runs, medians;"
        " spread: (max - min) / median of the rate per core."
        " Counts, pending predictions and dead letters were compared with the events."
    )
    console.print(machine_line(report))


def _rates(results: Mapping[str, Mapping[str, float]]) -> Table:
    rates = table(
        "way",
        "events/s per core",
        "by the clock",
        "CPU ns/event",
        "spread",
        "peak MiB",
        "ours is x",
        "x slowest",
    )
    for name, row in results.items():
        rates.add_row(name, *_usage(row), f"{row['ours_is']:.2f}", f"{row['of_slowest']:.1f}")
    return rates


def _variants(results: Mapping[str, Mapping[str, Any]]) -> Table:
    rates = table(
        "the worker on W but",
        "events/s per core",
        "by the clock",
        "CPU ns/event",
        "spread",
        "peak MiB",
        "of W",
        "bytes",
        "CPU ns/feature value",
    )
    for row in results.values():
        more = f"{row['of_plain']:.2f}", f"{row['bytes']:.0f}", f"{row['cpu_ns_per_feature_value']:.0f}"
        rates.add_row(row["title"], *_usage(row), *more)
    return rates


def _usage(row: Mapping[str, float]) -> list[str]:
    return [
        f"{row['events_per_core_second']:,.0f}",
        f"{row['events_per_second']:,.0f}",
        f"{row['cpu_ns_per_event']:,.0f}",
        f"{row['spread']:.0%}",
        f"{row['peak_rss_mib']:.0f}",
    ]


def _stages(stages: Mapping[str, float]) -> Table:
    times = table("stage", "CPU ns/event", "share")
    total = sum(stages.values())
    for name, ns in stages.items():
        times.add_row(name, f"{ns:,.0f}", f"{ns / total:.0%}")
    return times
