"""The report of the demo for a reader. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.demo.accuracy import PartAccuracy
from stream.demo.report import Finding, Found, Report


def report_text(report: Report) -> str:
    """The report as the demo prints it: what was found of the injections, accuracy by part, the totals."""
    found = [row for finding in report.findings for row in _rows(finding)]
    lines = ["", *_table([("injected", "found", "delay", "over"), *found]), ""]
    parts = [_part(part) for part in report.accuracy]
    lines += [*_table([("windows", "", "accuracy estimated", "by labels", "labelled"), *parts]), ""]
    lines.append(f"{len(report.false_alarms)} false alarms in {report.windows} windows")
    outcome = report.outcome
    sent, counted = sum(outcome.sent.values()), sum(report.counted.values())
    lines.append(f"{sent} events sent, {counted} counted; {report.joined} predictions joined to their label")
    if outcome.first_alert_seconds is not None:
        lines.append(f"first alert {outcome.first_alert_seconds:.1f} s after the first event")
    lines.append(f"{outcome.broker}, {outcome.redis}, {outcome.seconds:.0f} s in all")
    return "\n".join(lines + [f"MISSING {line}" for line in report.shortcomings])


def _rows(finding: Finding) -> Iterator[tuple[str, ...]]:
    """A row an incident; the injection stands before the first, and how late its events come below it."""
    late = finding.injection.late
    names = iter((finding.injection.name, *([f"  (labels come {late} windows late)"] if late else [])))
    yield (next(names), *(("NOT FOUND", "-", "-") if finding.found is None else _cells(finding.found)))
    for each in finding.also:
        yield (next(names, ""), *_cells(each))
    for name in names:
        yield (name, "", "", "")


def _cells(found: Found) -> tuple[str, ...]:
    delay = f"{found.delay_windows} window{'s' * (found.delay_windows != 1)}"
    what = f"{found.alert.kind} ({', '.join(sorted(found.alert.columns))})"
    return what, delay, "no" if found.resolved_ms is None else "resolved"


def _part(part: PartAccuracy) -> tuple[str, ...]:
    span = f"{part.first:>2} to {part.last}"
    coverage = "-" if part.coverage is None else f"{part.coverage:.0%}"
    return span, part.name, _share(part.estimated), _share(part.realized), coverage


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]
