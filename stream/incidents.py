"""Incidents: one change, one incident, firing until resolved. Pure: records in, alerts out.

An incident of a kind opens with the first drifted window. It is told again only when it gets worse (the
number of its features or its largest effect has doubled since it was told, or its severity rose) or after
the re-notify interval, and is resolved after ``resolve_after`` windows in a row without it. A window without
enough data neither confirms nor ends it. All times are event time, so a replay gives the same notifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.alerts import RUNBOOKS, Alert
from stream.records import WindowRecord

_SEVERITIES = ("none", "ticket", "page")
_KIND_OF_ROLE = {"prediction": "prediction_drift", "score": "prediction_drift", "label": "label_drift"}


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


def kind_of(feature: Mapping[str, Any]) -> str:
    """Alert kind of a drifted column, from its role and from which cells moved."""
    if feature.get("integrity"):
        return "data_quality"
    return _KIND_OF_ROLE.get(str(feature["role"]), "data_drift")


def by_kind(record: WindowRecord) -> dict[str, list[str]]:
    """Drifted columns of the window by alert kind."""
    kinds: dict[str, list[str]] = {}
    for name in record.drifted:
        kinds.setdefault(kind_of(record.features[name]), []).append(name)
    return kinds


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

    def update(self, record: WindowRecord) -> list[Alert]:
        """Take in the next window; the notifications it causes, in a fixed order."""
        if record.status == "not_enough_data":
            return []
        drifted = by_kind(record)
        alerts = [self._drifted(kind, drifted[kind], record) for kind in sorted(drifted)]
        alerts += [self._calm(kind, record) for kind in sorted(set(self._open) - set(drifted))]
        return [alert for alert in alerts if alert is not None]

    def _drifted(self, kind: str, names: list[str], record: WindowRecord) -> Alert | None:
        effect = max(abs(record.features[name].get("effect") or 0.0) for name in names)
        held = self._open.get(kind)
        severity = _severity(kind, record)
        if held is None:
            held = self._open[kind] = Incident(
                kind=kind,
                started_ms=record.window_end_ms,
                severity=severity,
                features=sorted(names),
                effect=effect,
                notified_ms=record.window_end_ms,
            )
            return _alert(held, record, names, "firing")
        held.quiet = 0
        known = sorted({*held.features, *names})
        grown = len(known) >= 2 * len(held.features)
        worse = _SEVERITIES.index(severity) > _SEVERITIES.index(held.severity)
        due = record.window_end_ms - held.notified_ms >= self.policy.renotify_ms
        if not (grown or worse or due or effect >= 2 * held.effect):
            return None
        held.features = known
        held.effect = max(held.effect, effect)
        held.severity = severity if worse else held.severity
        held.notified_ms = record.window_end_ms
        return _alert(held, record, names, "firing")

    def _calm(self, kind: str, record: WindowRecord) -> Alert | None:
        held = self._open[kind]
        held.quiet += 1
        if held.quiet < self.policy.resolve_after:
            return None
        del self._open[kind]
        return _alert(held, record, held.features, "resolved")


def _severity(kind: str, record: WindowRecord) -> str:
    if kind in ("prediction_drift", "data_quality"):
        return "page"
    return "ticket" if kind == "data_drift" else record.severity


def _alert(held: Incident, record: WindowRecord, names: list[str], status: str) -> Alert:
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    what = RUNBOOKS[held.kind]
    model = f"{record.model} {record.version}".strip()
    summary = f"{model}: {what} ({listed})" if status == "firing" else f"{model}: over: {what} ({listed})"
    return Alert(
        kind=held.kind,
        status=status,
        model=record.model,
        version=record.version,
        severity=held.severity,
        summary=summary,
        description=_description(record, names),
        starts_at_ms=held.started_ms,
        ends_at_ms=record.window_end_ms if status == "resolved" else None,
        window_end_ms=record.window_end_ms,
        evidence=_evidence(held, record, names),
    )


def _description(record: WindowRecord, names: list[str]) -> str:
    lines = []
    for name in names[:5]:
        feature = record.features.get(name, {})
        effect, threshold, psi = (feature.get(key) for key in ("effect", "threshold", "psi"))
        if effect is None or threshold is None or psi is None:
            continue
        lines.append(f"{name}: effect {effect:.3f} (threshold {threshold:.3f}), PSI {psi:.3f}")
    span = f"{record.n} events in the window of {(record.window_end_ms - record.window_start_ms) / 1000:g} s"
    return "; ".join([span, *lines])


def _evidence(held: Incident, record: WindowRecord, names: list[str]) -> dict[str, Any]:
    pairs = [pair for pair in record.pairs if not set(names).isdisjoint(pair["names"])]
    return {
        "window_start_ms": record.window_start_ms,
        "window_end_ms": record.window_end_ms,
        "n": record.n,
        "reference": record.reference,
        "source": record.source,
        "incident_features": held.features,
        "features": [{"name": name, **record.features[name]} for name in names if name in record.features],
        **({"pairs": pairs} if pairs else {}),
    }
