"""Alert events: CloudEvents 1.0 in Kafka binary mode, the body in the words of Alertmanager.

Every field derives from event time and content, never from a clock, so a replay repeats an alert bit for bit
and with the same ``ce_id``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from stream.messages import Message

EVENT_TYPE = "driftstream.alert.v1"
RUNBOOKS = {
    "data_drift": "the distribution of input features moved",
    "prediction_drift": "the distribution of the model's outputs moved",
    "label_drift": "the distribution of labels moved",
    "period_drift": "the distribution moved against the same hour of an earlier day",
    "performance_drop": "performance, as labels show it, fell below that of the reference",
    "estimated_performance_drop": "performance is estimated below that of the reference; no labels yet",
    "concept_drift": "labels contradict what the scores promised",
    "label_drought": "predictions come, and their labels do not",
    "coverage_drop": "far fewer predictions have their label than usual",
    "data_quality": "missing, invalid or never-seen values moved",
    "data_loss": "records were lost before they could be counted",
    "dead_letter_flood": "most records of a topic are no events",
}
KINDS = tuple(RUNBOOKS)
_JSON = msgspec.json.Encoder(order="deterministic")


def rfc3339(ms: int) -> str:
    """Epoch ms as an RFC 3339 instant in UTC.

    >>> rfc3339(1_760_000_000_123)
    '2025-10-09T08:53:20.123Z'
    """
    instant = datetime.fromtimestamp(ms // 1000, tz=UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def digest(*parts: object) -> str:
    """Deterministic id of ``parts``: 32 hex digits of SHA-256."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class AlertRoute:
    """Where alerts go, and where the runbook pages are that they link."""

    topic: str
    runbook_base_url: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One notification of an incident.

    ``window_end_ms`` is the window that caused it, ``revision`` tells apart the notifications of one window,
    ``labels`` say what it is about when that is no model.
    """

    kind: str
    status: str
    model: str
    version: str
    severity: str
    summary: str
    description: str
    starts_at_ms: int
    ends_at_ms: int | None
    window_end_ms: int
    revision: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def _about(self) -> dict[str, str]:
        return self.labels or {"model": self.model, "version": self.version}

    @property
    def fingerprint(self) -> str:
        """Identity of the incident: the same from firing to resolved."""
        return digest(*self._about.values(), self.kind, self.starts_at_ms)[:16]

    @property
    def id(self) -> str:
        """Identity of this notification."""
        about = self._about.values()
        return digest(*about, self.kind, self.status, self.window_end_ms, self.revision)

    def body(self, runbook_base_url: str) -> dict[str, Any]:
        """The JSON body."""
        return {
            "status": self.status,
            "labels": {"alertname": self.kind, "severity": self.severity, **self._about},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbook_base_url.rstrip('/')}/{self.kind}.md",
            },
            "startsAt": rfc3339(self.starts_at_ms),
            "endsAt": None if self.ends_at_ms is None else rfc3339(self.ends_at_ms),
            "fingerprint": self.fingerprint,
            "evidence": self.evidence,
        }

    def to_message(self, route: AlertRoute) -> Message:
        """The Kafka record: ``ce_*`` headers, key = model."""
        headers = {
            "ce_specversion": "1.0",
            "ce_id": self.id,
            "ce_type": EVENT_TYPE,
            "ce_source": f"/driftstream/models/{self.model}" if self.model else "/driftstream/ingest",
            "ce_subject": self.kind,
            "ce_time": rfc3339(self.window_end_ms),
            "content-type": "application/json",
        }
        return Message(
            route.topic,
            (self.model or self.kind).encode(),
            _JSON.encode(self.body(route.runbook_base_url)),
            [(name, value.encode()) for name, value in headers.items()],
        )


def dead_letter_flood(
    *,
    topic: str,
    status: str,
    since_ms: int,
    ended_ms: int | None,
    records: int,
    rejected: Mapping[str, int],
    is_paused: bool,
) -> Alert:
    """The alert of a flood of rejected records: ``rejected`` by reason, of ``records`` in all.

    ``since_ms`` is its identity; all workers that see one flood share it.
    """
    bad = sum(rejected.values())
    intake = "Its intake is paused and probed" if is_paused else "They drain into the dead-letter topic"
    if status == "resolved":
        summary = f"records of {topic} are events again"
    else:
        summary = f"{bad} of the last {records} records of {topic} are no events"
    return Alert(
        kind="dead_letter_flood",
        status=status,
        model="",
        version="",
        severity="page",
        summary=summary,
        description=f"{intake}; events of {topic} are not watched meanwhile. None is lost.",
        starts_at_ms=since_ms,
        ends_at_ms=ended_ms,
        window_end_ms=since_ms,
        labels={"topic": topic},
        evidence={"topic": topic, "records": records, "rejected": dict(rejected), "paused": is_paused},
    )


def data_loss(*, topic: str, partition: int, first: int, lost: int, at_ms: int) -> Alert:
    """The blind-monitor alert of a retention gap: offsets ``[first, first + lost)`` are gone."""
    where = f"{topic}[{partition}]"
    return Alert(
        kind="data_loss",
        status="firing",
        model="",
        version="",
        severity="page",
        summary=f"{lost} records of {where} were deleted by retention before they were counted",
        description=f"Offsets {first} to {first + lost - 1} of {where} are gone; their windows lack them.",
        starts_at_ms=at_ms,
        ends_at_ms=None,
        window_end_ms=at_ms,
        revision=first,
        labels={"topic": topic, "partition": str(partition)},
        evidence={"topic": topic, "partition": partition, "first_offset": first, "lost": lost},
    )
