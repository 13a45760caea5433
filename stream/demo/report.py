"""What was injected beside what was found, and whether that is all and nothing else. Pure.

An alert is *explained* by an injection when it is one of its signs: the kind and the columns or metrics are
those that the story lists for it, and the alert's window holds changed events. The story lists what is true
of a change, whether it must come or may. Wrong readings move the answers, and the scores promise less than
the labels then show, for those are as good as before. A changed concept moves the labels and the realized
accuracy, but no reading, answer or estimate. Every other firing alert is a false alarm, whenever it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.alerts import rfc3339
from stream.demo.accuracy import PartAccuracy, accuracy_by_part
from stream.demo.seen import Seen, SeenAlert
from stream.demo.story import WINDOW_MS, Injection, Sign, Story


@dataclass(frozen=True, kw_only=True)
class Found:
    """The first alert of an incident.

    ``delay_windows`` counts from the first window with changed events, which is 1; ``resolved_ms`` is the end
    of the window that ended the incident, None while it lasts.
    """

    alert: SeenAlert
    delay_windows: int
    resolved_ms: int | None

    def to_dict(self) -> dict[str, Any]:
        """The alert for a machine."""
        return {
            "kind": self.alert.kind,
            "names": sorted(self.alert.columns),
            "severity": self.alert.severity,
            "delay_windows": self.delay_windows,
            "resolved": None if self.resolved_ms is None else rfc3339(self.resolved_ms),
        }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One injection and the incidents that it explains; ``found`` is that of its sign, None = not found."""

    injection: Injection
    start_ms: int
    found: Found | None
    also: tuple[Found, ...]
    explained: frozenset[int]

    def to_dict(self) -> dict[str, Any]:
        """The finding for a machine."""
        return {
            "name": self.injection.name,
            "start": rfc3339(self.start_ms),
            "labels_late_windows": self.injection.late,
            "wanted": self.injection.sign.kind,
            "found": None if self.found is None else self.found.to_dict(),
            "also": [each.to_dict() for each in self.also],
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
    """The end of the demo; ``final`` is the number of windows whose labels have all had their time."""

    findings: tuple[Finding, ...]
    false_alarms: tuple[SeenAlert, ...]
    accuracy: tuple[PartAccuracy, ...]
    counted: Mapping[str, int]
    windows: int
    final: int
    outcome: Outcome

    @classmethod
    def of(cls, story: Story, seen: Seen, outcome: Outcome) -> Report:
        """Compare what was injected with what was seen."""
        findings = tuple(_finding(story, each, seen) for each in story.injections)
        explained = frozenset[int]().union(*(finding.explained for finding in findings))
        return cls(
            findings=findings,
            false_alarms=tuple(alert for alert in seen.firing if id(alert) not in explained),
            accuracy=accuracy_by_part(story, seen),
            counted={source: seen.counted(source) for source in outcome.sent},
            windows=len(seen.windows),
            final=seen.final,
            outcome=outcome,
        )

    @property
    def joined(self) -> int:
        """Predictions that were joined with their label."""
        return sum(part.labelled for part in self.accuracy)

    @property
    def shortcomings(self) -> list[str]:
        """What is not as it should be, a line each; none = success."""
        lines = [f"not found: {f.injection.name}" for f in self.findings if f.found is None]
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
        if self.joined != self.outcome.sent.get("labels", 0):
            lines.append(f"labels: {self.outcome.sent.get('labels', 0)} sent, {self.joined} joined")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report for a machine."""
        return {
            "ok": not self.shortcomings,
            "events": sum(self.outcome.sent.values()),
            "counted": sum(self.counted.values()),
            "joined": self.joined,
            "windows": self.windows,
            "final": self.final,
            "first_alert_seconds": self.outcome.first_alert_seconds,
            "injected": [finding.to_dict() for finding in self.findings],
            "accuracy": [part.to_dict() for part in self.accuracy],
            "false_alarms": len(self.false_alarms),
            "shortcomings": self.shortcomings,
            "broker": self.outcome.broker,
            "redis": self.outcome.redis,
            "seconds": self.outcome.seconds,
        }


def _finding(story: Story, injection: Injection, seen: Seen) -> Finding:
    signs = (injection.sign, *injection.also)
    told = {sign: [a for a in seen.firing if _is(sign, a, injection, story)] for sign in signs}
    explained = [alert for alerts in told.values() for alert in alerts]
    first = {sign: _found(alerts, _start_ms(sign, injection, story), seen) for sign, alerts in told.items()}
    incidents = first.pop(injection.sign)
    also = sorted((*incidents[1:], *sum(first.values(), ())), key=lambda found: found.delay_windows)
    return Finding(
        injection=injection,
        start_ms=story.end_ms(injection.first - 1),
        found=incidents[0] if incidents else None,
        also=tuple(also),
        explained=frozenset(map(id, explained)),
    )


def _is(sign: Sign, alert: SeenAlert, injection: Injection, story: Story) -> bool:
    start_ms = _start_ms(sign, injection, story)
    end_ms = start_ms + (injection.last - injection.first) * WINDOW_MS
    named = bool(alert.columns) and alert.columns <= sign.names
    return alert.kind == sign.kind and named and alert.end_ms > start_ms and alert.start_ms < end_ms


def _start_ms(sign: Sign, injection: Injection, story: Story) -> int:
    """Start of the first window that a sign of the injection can be about."""
    return story.end_ms(injection.first + sign.delay - 1)


def _found(alerts: Sequence[SeenAlert], start_ms: int, seen: Seen) -> tuple[Found, ...]:
    """The first alert of each incident."""
    incidents = {alert.incident: alert for alert in reversed(alerts)}
    return tuple(
        Found(
            alert=alert,
            delay_windows=(alert.end_ms - start_ms) // WINDOW_MS,
            resolved_ms=seen.resolved_ms(alert.incident),
        )
        for alert in sorted(incidents.values(), key=lambda alert: alert.end_ms)
    )
