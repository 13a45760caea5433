"""What the quality benchmark prints: one table a question, a row a rule, as text or as markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 300
NONE = "–"


@dataclass(frozen=True)
class Grid:
    """A titled table: what the rows are, column titles, and rows of cells under their names."""

    title: str
    of: str
    columns: list[str]
    rows: dict[str, list[str]]


def print_quality(report: Mapping[str, Any], *, markdown: bool = False) -> None:
    """Write the tables; without a terminal they are as wide as they need to be."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
    for grid in grids(report):
        if markdown:
            sys.stdout.write(as_markdown(grid) + "\n")
        else:
            console.print(_table(grid))
    for line in lines(report):
        if markdown:
            sys.stdout.write(f"- {line}\n")
        else:
            console.print(line, soft_wrap=True)


def grids(report: Mapping[str, Any]) -> Iterator[Grid]:
    """Return every table."""
    yield _false_alarms(report["false_alarms"])
    for title, rules in report["detection"].items():
        yield _detection(title, rules, report["false_alarms"].get(title, {}))
    if report["real"]:
        yield _real(report["real"])
    yield _errors(report["errors"])
    yield _values(report["values"])
    yield _cost(report)


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Return what is said below the tables: single figures, the rules, the check of the peers, the seed."""
    recurring, pages = report["recurring"], report["pages"]
    yield (
        f"0.5 sd for 5 windows, 5 quiet, 5 again, {recurring['runs']} runs:"
        f" {recurring['stale_windows']} stale windows after its end,"
        f" second episode seen in {recurring['second_episode_percent']:g} %"
    )
    yield (
        f"0.5 sd, {pages['runs']} runs each: pages in {pages['harmless_percent']:g} % where the score ignores"
        f" the column, in {pages['harmful_percent']:g} % where it follows it"
    )
    peers = report.get("peers", {})
    for rule, statement in {**report["rules"], **peers.get("rules", {})}.items():
        yield f"{rule}: {statement}"
    yield f"error streams, driftstream: {report['errors']['rules']['driftstream']}"
    yield f"streams of values, driftstream: {report['values']['rule']}"
    yield f"errors and values, river: {report['errors']['rules']['river']}"
    if peers:
        yield from _checked(peers)
    yield f"seed {report['seed']}, scale {report['scale']:g}, {report['seconds']:g} s"


def _checked(peers: Mapping[str, Any]) -> Iterator[str]:
    yield "Evidently, NannyML, alibi-detect: their rules as rewritten here on all windows; as a check"
    for library, found in peers["compared"].items():
        yield (
            f"{library} {peers['versions'][library]} itself on {found['windows']} of these windows:"
            f" same columns and same verdict in {found['equal']}"
        )
    for found in peers["different"]:
        yield f"differs: {found['stream']}: {found['library']} names {found['names']}, ours {found['ours']}"


def as_markdown(grid: Grid) -> str:
    """Return a table of GitHub's markdown under its title."""
    head = [f"**{grid.title}**", "", _row([grid.of, *grid.columns])]
    rule = _row(["---", *["---:" for _ in grid.columns]])
    return "\n".join([*head, rule, *[_row([name, *cells]) for name, cells in grid.rows.items()], ""])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _table(grid: Grid) -> Table:
    table = Table(title=f"\n{grid.title}", title_justify="left", box=None, min_width=len(grid.title))
    table.add_column(grid.of)
    for column in grid.columns:
        table.add_column(column, justify="right")
    for name, cells in grid.rows.items():
        table.add_row(name, *cells)
    return table


def _false_alarms(streams: Mapping[str, Any]) -> Grid:
    judged = [str(next(iter(found.values()))["windows"]) for found in streams.values()]
    rows = {
        rule: [f"{found[rule]['per_1000']:.4g}" if rule in found else NONE for found in streams.values()]
        for rule in _all(streams)
    }
    return Grid(
        "False alarms per 1000 windows without drift", "rule", list(streams), {"(windows)": judged, **rows}
    )


def _detection(title: str, rules: Mapping[str, Any], alarms_at_rest: Mapping[str, Any]) -> Grid:
    scenarios = next(iter(rules.values()))
    runs = next(iter(scenarios.values()))["runs"]
    rows = {}
    for rule, found in rules.items():
        wrong = sum(each["wrong_names"] for each in found.values())
        alarms = sum(each["alarms"] for each in found.values())
        cells = [_found(found[scenario]) for scenario in scenarios]
        at_rest = f"{alarms_at_rest[rule]['per_1000']:.4g}" if rule in alarms_at_rest else NONE
        rows[rule] = [at_rest, *cells, f"{wrong / alarms:.2f}" if alarms else NONE]
    return Grid(
        f"Detection, {title}: % found / median delay / 95 % delay in windows, {runs} runs",
        "rule",
        ["FA/1000", *scenarios, "wrong names/alarm"],
        rows,
    )


def _found(found: Mapping[str, Any]) -> str:
    if found["median_delay"] is None:
        return f"{found['found_percent']:g}"
    late = f"/{found['p95_delay']:.3g}" if "p95_delay" in found else ""
    return f"{found['found_percent']:g}/{found['median_delay']:g}{late}"


def _real(streams: Mapping[str, Any]) -> Grid:
    rows = {
        rule: [_replayed(found[rule]) if rule in found else NONE for found in streams.values()]
        for rule in _all(streams)
    }
    return Grid(
        "Real streams in order: alarms / windows before the change, delay in windows (d); pages (p)",
        "rule",
        list(streams),
        rows,
    )


def _replayed(found: Mapping[str, Any]) -> str:
    delay = "" if not found["change"] else f" d{found['delay']}" if found["delay"] else " not found"
    return f"{found['alarms']}/{found['windows']}{delay}" + (f" p{found['pages']}" if found["pages"] else "")


def _errors(errors: Mapping[str, Any]) -> Grid:
    control, drifting = errors["per_million"], errors["streams"]
    rows = {}
    for name in _all(control):
        early = sum(found[name]["early_alarms"] for found in drifting.values() if name in found)
        rows[name] = [
            *[f"{found[name]:g}" for found in control.values()],
            f"{errors['ar1_rho.7_per_10000'][name]:g}" if name in errors["ar1_rho.7_per_10000"] else NONE,
            *[_found(found[name]) if name in found else NONE for found in drifting.values()],
            str(early) if any(name in found for found in drifting.values()) else NONE,
        ]
    ratios = [_ratio(found) for found in drifting.values()]
    rows["ours / ADWIN"] = [*[NONE] * (len(control) + 1), *ratios, NONE]
    columns = [*[f"{rate} FA/1M" for rate in control], "rho .7 FA/10k", *drifting, "early alarms"]
    runs = next(iter(next(iter(drifting.values())).values()))["runs"]
    return Grid(
        f"Error streams: false alarms (FA); % found / median delay in labels, {runs} runs",
        "detector",
        columns,
        rows,
    )


def _values(values: Mapping[str, Any]) -> Grid:
    still, moved = values["per_10000"], values["streams"]
    rows = {}
    for name in _all(still):
        early = sum(found[name]["early_alarms"] for found in moved.values() if name in found)
        rows[name] = [
            *[f"{found[name]:g}" for found in still.values()],
            *[_found(found[name]) if name in found else NONE for found in moved.values()],
            str(early) if any(name in found for found in moved.values()) else NONE,
        ]
    rows["ours / ADWIN"] = [*[NONE] * len(still), *[_ratio(found) for found in moved.values()], NONE]
    runs = next(iter(next(iter(moved.values())).values()))["runs"]
    return Grid(
        f"Streams of values: false alarms per 10,000 values (FA); % found / median delay, {runs} runs",
        "detector",
        [*[f"{title} FA" for title in still], *moved, "early alarms"],
        rows,
    )


def _ratio(found: Mapping[str, Any]) -> str:
    ours, adwin = (found.get(name, {}).get("median_delay") for name in ("driftstream", "river ADWIN"))
    return f"{ours / adwin:.2f}" if ours and adwin else NONE


def _cost(report: Mapping[str, Any]) -> Grid:
    ours = report["cpu_ms"]
    rows = {way: [f"{ours[title][way]:g}" for title in ours] for way in _all(ours)}
    peers = report.get("peers", {}).get("cpu_ms", {})
    for library in _all(peers):
        rows[f"{library} itself, raw rows"] = [
            f"{peers[title][library]:g}" if title in peers else NONE for title in ours
        ]
    return Grid("CPU milliseconds a window", "way", list(ours), rows)


def _all(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names within, each once, in order of appearance."""
    return list(dict.fromkeys(name for each in found.values() for name in each))
