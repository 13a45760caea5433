"""Incidents: one change, one incident, firing until resolved. Pure: findings in, alerts out.

An incident of a kind opens with the first window that finds it. It is told again only when it gets worse (the
number of its features or its largest effect has doubled since it was told, or its severity rose) or after
the re-notify interval, and is resolved after ``resolve_after`` windows in a row without it; a column that
still stands out a little keeps it open. A window without
enough data neither confirms nor ends it. All times are event time, so a replay gives the same notifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from stream.alerts import RUNBOOKS, Alert
from stream.findings import Finding, Judged, drift
from stream.records import WindowRecord

_SEVERITIES = ("none", "ticket", "page")


@dataclass(frozen=True, kw_only=True)
class IncidentPolicy:
    """When an incident is told again and when it ends; ``renotify_ms`` of event time."""

    resolve_after: int = 2
    renotify_ms: int = 4 * 3600 * 1000


class Incident(msgspec.Struct, kw_only=True):
    """One open incident: its kind, the columns seen drifting, and what was told."""

    kind: str
    started_ms: int
    severity: str
    features: list[str]
    effect: float
    notified_ms: int
    quiet: int = 0


class IncidentBook:
    """The open incidents of one model version and source.

    Parameters
    ----------
    incidents
        As restored from a snapshot.
    """

    def __init__(self, policy: IncidentPolicy, incidents: Iterable[Incident] = ()) -> None:
        self.policy = policy
        self._open = {incident.kind: incident for incident in incidents}

    def snapshot(self) -> list[Incident]:
        """The open incidents, to be stored."""
        return [self._open[kind] for kind in sorted(self._open)]

    def is_open(self, kind: str) -> bool:
        """Whether an incident of the kind is firing."""
        return kind in self._open

    def update(self, record: WindowRecord) -> list[Alert]:
        """Take in the verdict on the next window; the notifications it causes, in a fixed order."""
        return [] if record.status == "not_enough_data" else self.observe(drift(record))

    def observe(self, judged: Judged) -> list[Alert]:
        """Take in the next look; the notifications it causes, in a fixed order."""
        found = judged.findings
        alerts = [self._found(kind, found[kind], judged) for kind in sorted(found)]
        alerts += [self._calm(kind, judged) for kind in sorted(set(self._open) - set(found))]
        return [alert for alert in alerts if alert is not None]

    def _found(self, kind: str, finding: Finding, judged: Judged) -> Alert | None:
        held = self._open.get(kind)
        if held is None:
            held = self._open[kind] = Incident(
                kind=kind,
                started_ms=judged.window_end_ms,
                severity=finding.severity,
                features=sorted(finding.names),
                effect=finding.effect,
                notified_ms=judged.window_end_ms,
            )
            return _alert(held, judged, finding.names, "firing")
        held.quiet = 0
        known = sorted({*held.features, *finding.names})
        grown = len(known) >= 2 * len(held.features) and len(known) > len(held.features)
        worse = _SEVERITIES.index(finding.severity) > _SEVERITIES.index(held.severity)
        due = judged.window_end_ms - held.notified_ms >= self.policy.renotify_ms
        if not (grown or worse or due or finding.effect >= 2 * held.effect > 0):
            return None
        held.features = known
        held.effect = max(held.effect, finding.effect)
        held.severity = finding.severity if worse else held.severity
        held.notified_ms = judged.window_end_ms
        return _alert(held, judged, finding.names, "firing")

    def _calm(self, kind: str, judged: Judged) -> Alert | None:
        held = self._open[kind]
        if not judged.lingering.get(kind, frozenset()).isdisjoint(held.features):
            held.quiet = 0
            return None
        held.quiet += 1
        if held.quiet < self.policy.resolve_after:
            return None
        del self._open[kind]
        return _alert(held, judged, held.features, "resolved")


def _alert(held: Incident, judged: Judged, names: Sequence[str], status: str) -> Alert:
    what = RUNBOOKS[held.kind]
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    about = f"{what} ({listed})" if names else what
    model = f"{judged.model} {judged.version}".strip()
    return Alert(
        kind=held.kind,
        status=status,
        model=judged.model,
        version=judged.version,
        severity=held.severity,
        summary=f"{model}: {about}" if status == "firing" else f"{model}: over: {about}",
        description=judged.describe(names),
        starts_at_ms=held.started_ms,
        ends_at_ms=judged.window_end_ms if status == "resolved" else None,
        window_end_ms=judged.window_end_ms,
        evidence=judged.evidence(names) | {"incident_features": held.features},
    )
