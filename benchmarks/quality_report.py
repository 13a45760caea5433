"""What the quality benchmark prints: one table a question."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_quality(report: Mapping[str, Any]) -> None:
    """Write the tables; without a terminal they are as wide as they need to be."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(_false_alarms("False alarms per 1000 windows (windows judged)", report["false_alarms"]))
    for title, rules in report["detection"].items():
        console.print(_detection(title, rules))
    for line in _lines(report["recurring"], report["pages"]):
        console.print(line)
    if report["real"]:
        console.print(_real(report["real"]))
    console.print(_errors(report["errors"]))
    console.print(f"seed {report['seed']}, {report['seconds']:g} s{', --quick' if report['quick'] else ''}")


def _lines(recurring: Mapping[str, Any], pages: Mapping[str, Any]) -> list[str]:
    return [
        f"0.5 sd for 5 windows, 5 quiet, 5 again, {recurring['runs']} runs:"
        f" {recurring['stale_windows']} stale windows after its end,"
        f" second episode seen in {recurring['second_episode_percent']:g} %",
        f"0.5 sd, {pages['runs']} runs each: pages in {pages['harmless_percent']:g} % where the score ignores"
        f" the column, in {pages['harmful_percent']:g} % where it follows it",
    ]


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, min_width=len(title))
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table


def _false_alarms(title: str, streams: Mapping[str, Any]) -> Table:
    rules = list(next(iter(streams.values())))
    table = _table(title, ["stream", *rules])
    for stream, found in streams.items():
        cells = [f"{found[rule]['per_1000']:g} ({found[rule]['windows']})" for rule in rules]
        table.add_row(stream, *cells)
    return table


def _detection(title: str, rules: Mapping[str, Any]) -> Table:
    names = list(rules)
    scenarios = rules[names[0]]
    runs = next(iter(scenarios.values()))["runs"]
    table = _table(
        f"Detection, {title}: % found / median delay / 95 % delay in windows, {runs} runs", ["drift", *names]
    )
    for scenario in scenarios:
        table.add_row(scenario, *[_found(rules[rule][scenario]) for rule in names])
    wrong = [f"{max(each['wrong_per_alarm'] for each in rules[rule].values()):g} at worst" for rule in names]
    table.add_row("wrong names/alarm", *wrong)
    return table


def _found(found: Mapping[str, Any]) -> str:
    if found["median_delay"] is None:
        return f"{found['found_percent']:g}"
    late = f"/{found['p95_delay']:g}" if "p95_delay" in found else ""
    return f"{found['found_percent']:g}/{found['median_delay']:g}{late}"


def _real(streams: Mapping[str, Any]) -> Table:
    rules = list(next(iter(streams.values())))
    table = _table(
        "Real streams: alarms before the change / windows, pages, delay in windows", ["stream", *rules]
    )
    for stream, found in streams.items():
        cells = [
            f"{each['alarms']}/{each['windows']}, {each['pages']} pages, {each['delay'] or 'not found'}"
            for each in (found[rule] for rule in rules)
        ]
        table.add_row(stream, *cells)
    return table


def _errors(errors: Mapping[str, Any]) -> Table:
    table = _table(
        "Error streams: % found / median delay in labels; alarms before the change",
        ["stream", "found", "early"],
    )
    for stream, found in errors["streams"].items():
        table.add_row(stream, _found(found), str(found["early_alarms"]))
    for stream, alarms in errors["per_million"].items():
        table.add_row(f"in control {stream}", f"{alarms:g} a million", "")
    table.add_row("rho .7, no change", f"{errors['ar1_rho.7_per_10000']:g} in 10,000", "")
    return table
