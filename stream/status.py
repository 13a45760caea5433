"""What a fleet has done so far: workers, partitions, verdicts, and how they read from what Redis holds.

Pure; :mod:`stream.status_reader` asks Redis. References are not needed: a status can be asked for wherever
the configuration is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stream.errors import CorruptState, NewerState
from stream.evaluate import ModelState
from stream.incidents import Incident
from stream.series import SeriesState

if TYPE_CHECKING:
    from stream.end_offsets import Bounds

TOTALS = ("events", "rejected", "late", "lost", "unknown", "unmonitored", "learning")
NEVER = "not_evaluated"
NO_JOINS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that refreshed its entry in the last seconds."""

    name: str
    stage: str
    metrics: str
    started_ms: int | None


@dataclass(frozen=True, kw_only=True)
class PartitionStatus:
    """One input partition.

    ``offset`` is the next one to count, None before the first commit; ``lag`` and ``end`` None = Kafka did
    not say; ``epoch`` tells how often the partition changed hands; ``outbox`` counts notices under way.
    """

    partition: int
    epoch: int
    offset: int | None
    end: int | None
    lag: int | None
    watermark_ms: int | None
    idle: bool
    totals: Mapping[str, int]
    open_panes: int
    outbox: int


@dataclass(frozen=True, kw_only=True)
class TopicStatus:
    """One input topic; no partitions = no worker has read it yet.

    ``flood_since_ms`` is when most of its records began to be rejected; None = they are not.
    """

    topic: str
    partitions: list[PartitionStatus]
    flood_since_ms: int | None = None

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the partitions."""
        return {name: sum(each.totals[name] for each in self.partitions) for name in TOTALS}

    @property
    def lag(self) -> int | None:
        """Sum over the partitions; None when it is unknown of one of them."""
        lags = [each.lag for each in self.partitions]
        return None if not lags or None in lags else sum(lag for lag in lags if lag is not None)


@dataclass(frozen=True, kw_only=True)
class SeriesStatus:
    """The last evaluated window of one model version and source, and its open incidents.

    ``performance`` is that of the newest window with labels, as of its record on the metrics topic.
    """

    version: str
    source: str
    reference: str
    window_end_ms: int | None
    n: int | None
    status: str
    drifted: list[str]
    incidents: list[dict[str, Any]]
    performance: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One configured model; ``error`` when its stored state cannot be read.

    ``joins`` counts what became of its predictions and labels, by the words of
    :class:`stream.outcomes.join.JoinCounts`; ``journal`` is the number of pieces in which what they have
    changed waits for an evaluation.
    """

    model: str
    revision: int
    outbox: int
    series: list[SeriesStatus]
    error: str | None = None
    joins: Mapping[str, int] = field(default_factory=dict)
    journal: int = 0


@dataclass(frozen=True)
class UnknownModel:
    """A model, or a version of one, that sends events and that nobody configured; ``version`` '' = none."""

    topic: str
    model: str
    version: str
    events: int


@dataclass(frozen=True, kw_only=True)
class LearningStatus:
    """A version that is warming up; ``version`` '' = its events name none.

    ``until_ms`` is the event time at which its reference is learned, ``reason`` why it was not before.
    """

    model: str
    version: str
    since_ms: int
    until_ms: int
    reason: str


@dataclass(kw_only=True)
class Status:
    """Everything; ``kafka`` says why lags are unknown, None when Kafka answered."""

    workers: list[WorkerStatus]
    topics: list[TopicStatus]
    models: list[ModelStatus]
    unknown_models: list[UnknownModel]
    learning: list[LearningStatus] = field(default_factory=list)
    kafka: str | None = field(default=None)


def partition_status(
    partition: int, cursor: Mapping[str, str], bounds: Bounds | None, open_panes: int, outbox: int
) -> PartitionStatus:
    """A partition from its cursor; records that Kafka no longer holds are not lag."""
    offset = number(cursor.get("offset"))
    lag = None
    if bounds is not None:
        lag = max(bounds.end - max(bounds.begin, offset or 0), 0)
    return PartitionStatus(
        partition=partition,
        epoch=number(cursor.get("epoch")) or 0,
        offset=offset,
        end=None if bounds is None else bounds.end,
        lag=lag,
        watermark_ms=number(cursor.get("watermark")),
        idle=(number(cursor.get("idle")) or 0) > 0,
        totals={name: number(cursor.get(name)) or 0 for name in TOTALS},
        open_panes=open_panes,
        outbox=outbox,
    )


def model_status(
    model: str, revision: int, stored: bytes | None, outbox: int, joins: Mapping[str, int] = NO_JOINS
) -> ModelStatus:
    """A model from its packed state; a damaged one is told in ``error``."""
    series: list[SeriesStatus] = []
    error = None
    try:
        if stored is not None:
            series = [_series(each) for each in ModelState.from_bytes(stored, model).series]
    except (CorruptState, NewerState) as exc:
        error = str(exc)
    return ModelStatus(
        model=model, revision=revision, outbox=outbox, series=series, error=error, joins=dict(joins)
    )


def _series(state: SeriesState) -> SeriesStatus:
    last = state.evaluated.get(state.last_end_ms)
    return SeriesStatus(
        version=state.version,
        source=state.source,
        reference=state.fingerprint,
        window_end_ms=state.last_end_ms or None,
        n=None if last is None else last.n,
        status=NEVER if last is None else last.status,
        drifted=[] if last is None else last.drifted,
        incidents=[_incident(each) for each in _incidents(state)],
        performance=_performance(state),
    )


def _performance(state: SeriesState) -> dict[str, Any] | None:
    newest = None if state.outcomes is None else state.outcomes.newest
    if newest is None:
        return None
    return {
        "window_end_ms": newest.end_ms,
        "final": newest.final,
        "realized": newest.realized,
        "estimated": newest.estimated,
    }


def _incidents(state: SeriesState) -> list[Incident]:
    found = list(state.incidents)
    if state.periods is not None:
        found += state.periods.incidents
    if state.outcomes is not None:
        found += state.outcomes.estimated
        found += [] if state.outcomes.judge is None else state.outcomes.judge.incidents
    return found


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "kind": incident.kind,
        "severity": incident.severity,
        "since_ms": incident.started_ms,
        "features": incident.features,
        "effect": incident.effect,
    }


def texts(entry: Mapping[bytes, bytes]) -> dict[str, str]:
    """A stored hash as text."""
    return {key.decode(): value.decode() for key, value in entry.items()}


def number(text: str | None) -> int | None:
    """A stored number; None when it is absent."""
    return int(text) if text else None
