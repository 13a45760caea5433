"""What came out: the windows on ``drift.metrics`` and the alerts on ``drift.alerts``, each once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class SeriesWindow(NamedTuple):
    """A window of one source; ``source`` is ``inference`` or ``labels``."""

    source: str
    end_ms: int


class SeenAccuracy(NamedTuple):
    """Accuracy of a window's predictions; None = not known.

    ``estimated`` without labels, ``realized`` by the ``labelled`` ones; ``final`` when no label can come.
    """

    estimated: float | None
    realized: float | None
    labelled: int
    final: bool

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SeenAccuracy | None:
        """Read the performance of a window's record; None where it has none."""
        told = record.get("performance")
        if not told:
            return None
        realized = told.get("realized", {})
        return cls(
            estimated=told.get("estimated", {}).get("accuracy"),
            realized=realized.get("accuracy"),
            labelled=realized.get("n", 0),
            final=realized.get("final", False),
        )


@dataclass(frozen=True)
class SeenWindow:
    """The newest revision of an evaluated window."""

    n: int
    revision: int
    status: str
    drifted: tuple[str, ...]
    accuracy: SeenAccuracy | None = None


@dataclass(frozen=True, kw_only=True)
class SeenAlert:
    """One notification. ``start_ms`` and ``end_ms`` are its window's; 0 where it is about no window."""

    kind: str
    status: str
    severity: str
    columns: frozenset[str]
    start_ms: int
    end_ms: int
    incident: str

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> SeenAlert:
        """Read the body of an alert event."""
        evidence, labels = body["evidence"], body["labels"]
        return cls(
            kind=labels["alertname"],
            status=body["status"],
            severity=labels["severity"],
            columns=frozenset(evidence.get("incident_features", ())),
            start_ms=evidence.get("window_start_ms", 0),
            end_ms=evidence.get("window_end_ms", 0),
            incident=body["fingerprint"],
        )


@dataclass
class Seen:
    """Everything seen so far; a record that comes twice is the same record."""

    windows: dict[SeriesWindow, SeenWindow] = field(default_factory=dict)
    alerts: dict[str, SeenAlert] = field(default_factory=dict)

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Take in a window; a later revision replaces an earlier one."""
        at = SeriesWindow(record["source"], record["window_end_ms"])
        known = self.windows.get(at)
        if known is None or known.revision <= record["revision"]:
            self.windows[at] = SeenWindow(
                record["n"],
                record["revision"],
                record["status"],
                tuple(record["drifted"]),
                SeenAccuracy.from_record(record),
            )

    def add_alert(self, ce_id: str, body: Mapping[str, Any]) -> bool:
        """Take in a notification; False when it was known."""
        if ce_id in self.alerts:
            return False
        self.alerts[ce_id] = SeenAlert.from_body(body)
        return True

    @property
    def firing(self) -> list[SeenAlert]:
        """Notifications of something wrong, oldest window first."""
        alerts = [alert for alert in self.alerts.values() if alert.status == "firing"]
        return sorted(alerts, key=lambda alert: alert.end_ms)

    def resolved_ms(self, incident: str) -> int | None:
        """End of the window that ended an incident; None while it lasts."""
        ends = [a.end_ms for a in self.alerts.values() if a.incident == incident and a.status == "resolved"]
        return min(ends, default=None)

    def counted(self, source: str) -> int:
        """Events of a source in all its windows."""
        return sum(window.n for at, window in self.windows.items() if at.source == source)

    @property
    def final(self) -> int:
        """Windows whose performance no label can change any more."""
        known = (window.accuracy for window in self.windows.values())
        return sum(accuracy is not None and accuracy.final for accuracy in known)

    def latest(self, source: str) -> int:
        """End of the newest window of a source, 0 before the first."""
        return max((at.end_ms for at in self.windows if at.source == source), default=0)
