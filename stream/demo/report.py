"""What was injected beside what was found, and whether that is all and nothing else. Pure.

An alert is *explained* by an injection when its window holds changed events, its kind is the injection's and
it names no other column, or its kind is one that the injection causes besides. Every other firing alert is
a false alarm, whenever it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.alerts import rfc3339
from stream.demo.seen import Seen, SeenAlert
from stream.demo.story import WINDOW_MS, Injection, Story


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One injection and the first alert that tells of it; None when there was none.

    ``also`` holds the other alerts that it explains, ``resolved_ms`` the end of the window that ended the
    incident.
    """

    injection: Injection
    start_ms: int
    alert: SeenAlert | None
    also: tuple[SeenAlert, ...]
    resolved_ms: int | None

    @property
    def delay_windows(self) -> int | None:
        """Windows until the alert: 1 = the first window that holds a changed event."""
        return None if self.alert is None else (self.alert.end_ms - self.start_ms) // WINDOW_MS

    def to_dict(self) -> dict[str, Any]:
        """The finding for a machine."""
        return {
            "name": self.injection.name,
            "start": rfc3339(self.start_ms),
            "found": self.alert is not None,
            "delay_windows": self.delay_windows,
            "kind": self.injection.kind,
            "severity": None if self.alert is None else self.alert.severity,
            "also": sorted({alert.kind for alert in self.also}),
            "event_delay_windows": self.injection.delay,
            "resolved": None if self.resolved_ms is None else rfc3339(self.resolved_ms),
        }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the services and the clocks say: titles, events sent by source, wall-clock seconds."""

    sent: Mapping[str, int]
    broker: str
    redis: str
    first_alert_seconds: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The end of the demo."""

    findings: tuple[Finding, ...]
    false_alarms: tuple[SeenAlert, ...]
    counted: Mapping[str, int]
    windows: int
    outcome: Outcome

    @classmethod
    def of(cls, story: Story, seen: Seen, outcome: Outcome) -> Report:
        """Compare what was injected with what was seen."""
        findings = tuple(_finding(story, each, seen) for each in story.injections)
        explained = {id(alert) for f in findings for alert in (f.alert, *f.also)}
        return cls(
            findings=findings,
            false_alarms=tuple(alert for alert in seen.firing if id(alert) not in explained),
            counted={source: seen.counted(source) for source in outcome.sent},
            windows=len(seen.windows),
            outcome=outcome,
        )

    @property
    def shortcomings(self) -> list[str]:
        """What is not as it should be, a line each; none = success."""
        lines = [f"not found: {f.injection.name}" for f in self.findings if f.alert is None]
        lines += [
            f"false alarm: {alert.kind} ({', '.join(sorted(alert.columns)) or 'no column'}) "
            f"in the window that ends at {rfc3339(alert.end_ms)}"
            for alert in self.false_alarms
        ]
        lines += [
            f"{source}: {sent} events sent, {self.counted[source]} counted"
            for source, sent in self.outcome.sent.items()
            if sent != self.counted[source]
        ]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report for a machine."""
        return {
            "ok": not self.shortcomings,
            "events": sum(self.outcome.sent.values()),
            "counted": sum(self.counted.values()),
            "windows": self.windows,
            "first_alert_seconds": self.outcome.first_alert_seconds,
            "injected": [finding.to_dict() for finding in self.findings],
            "false_alarms": len(self.false_alarms),
            "shortcomings": self.shortcomings,
            "broker": self.outcome.broker,
            "redis": self.outcome.redis,
            "seconds": self.outcome.seconds,
        }

    def to_text(self) -> str:
        """The report for a reader."""
        lines = ["", *_table([("injected", "found", "delay", "over"), *map(_row, self.findings)]), ""]
        lines.append(f"{len(self.false_alarms)} false alarms in {self.windows} windows")
        sent, counted = sum(self.outcome.sent.values()), sum(self.counted.values())
        lines.append(f"{sent} events sent, {counted} counted")
        if self.outcome.first_alert_seconds is not None:
            lines.append(f"first alert {self.outcome.first_alert_seconds:.1f} s after the first event")
        lines.append(f"{self.outcome.broker}, {self.outcome.redis}, {self.outcome.seconds:.0f} s in all")
        return "\n".join(lines + [f"MISSING {line}" for line in self.shortcomings])


def _finding(story: Story, injection: Injection, seen: Seen) -> Finding:
    start_ms, end_ms = story.end_ms(injection.first - 1), story.end_ms(injection.last - 1)
    inside = [alert for alert in seen.firing if alert.end_ms > start_ms and alert.start_ms < end_ms]
    told = [a for a in inside if a.kind == injection.kind and a.columns and a.columns <= injection.columns]
    follows = [alert for alert in inside if alert.kind in injection.follows]
    first = told[0] if told else None
    return Finding(
        injection=injection,
        start_ms=start_ms,
        alert=first,
        also=(*told[1:], *follows),
        resolved_ms=None if first is None else seen.resolved_ms(first.incident),
    )


def _row(finding: Finding) -> tuple[str, ...]:
    late = finding.injection.delay
    name = finding.injection.name + (f" (labels come {late} windows late)" if late else "")
    if finding.alert is None or finding.delay_windows is None:
        return name, "NOT FOUND", "-", "-"
    also = "".join(
        f", {kind}" for kind in sorted({alert.kind for alert in finding.also} - {finding.alert.kind})
    )
    columns = ", ".join(sorted(finding.alert.columns))
    over = "no" if finding.resolved_ms is None else "resolved"
    return name, f"{finding.alert.kind} ({columns}){also}", _windows(finding.delay_windows), over


def _windows(count: int) -> str:
    return f"{count} window{'s' * (count != 1)}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]
