"""Judging the labels of a model version: is it worse than it was, do labels contradict what was estimated.

Slices of event time are judged once each, in order, some time after they ended, by the labels of their
predictions that have come; later labels restate the numbers and not the verdict. Slices with few labels are
judged together with the next ones. Pure and deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from detectors.estimation.degradation import Degradation, PerformanceMonitor
from detectors.estimation.disagreement_monitor import DisagreementMonitor
from detectors.estimation.estimator import Estimate
from detectors.estimation.table import PerformanceEntry
from detectors.estimation.track_record import TrackRecord
from detectors.performance import PerformanceCounts
from stream.alerts import Alert
from stream.findings import Finding, Judged
from stream.incidents import Incident, IncidentBook, IncidentPolicy
from stream.outcomes.coverage import Coverage, CoverageState
from stream.outcomes.panes import StratumOutcomes
from stream.outcomes.records import LabelRules, PastEstimate

LASTING = 0.5
PERFORMANCE_DROP, CONCEPT_DRIFT = OF_PERFORMANCE = "performance_drop", "concept_drift"


class JudgeState(msgspec.Struct, array_like=True):
    """What a judge is stored as."""

    judged_ms: int
    monitor: bytes
    track_record: bytes
    pending: bytes
    estimates: list[PastEstimate]
    contradiction: bytes
    coverage: CoverageState
    incidents: list[Incident]


class OutcomeJudge:
    """Follows the realized performance of one model version.

    Parameters
    ----------
    name
        Model and version.
    entry
        What the reference knows of performance.
    arl
        Slices between two false alarms, for each kind of finding.
    min_labels
        Labels that a verdict needs.
    """

    def __init__(
        self,
        name: tuple[str, str],
        entry: PerformanceEntry,
        rules: LabelRules,
        *,
        policy: IncidentPolicy,
        arl: float,
        min_labels: int,
    ) -> None:
        self.rules = rules
        self._name = name
        self._entry = entry
        self._arl = arl
        self._min_labels = min_labels
        self._monitor = PerformanceMonitor(entry, arl=arl, min_effect=rules.min_effect)
        self._track_record = TrackRecord()
        self._pending = PerformanceCounts.empty(rules.spec)
        self._estimates: list[PastEstimate] = []
        self._contradiction = DisagreementMonitor(self.metric, arl=arl, min_effect=rules.min_effect)
        self._coverage = Coverage(arl=arl, min_predictions=min_labels)
        self._book = IncidentBook(policy)
        self.judged_ms = 0

    @property
    def metric(self) -> str:
        """The metric that is judged."""
        return self._monitor.metric

    def judge(
        self, start_ms: int, end_ms: int, outcomes: StratumOutcomes, estimate: PastEstimate | None
    ) -> list[Alert]:
        """Judge the next slice ``[start_ms, end_ms)``; the notifications that it causes."""
        self.judged_ms = end_ms
        findings, evidence = self._coverage.observe(outcomes.predictions, outcomes.labelled)
        silent = self.rules.negative is not None  # an answer by now
        performance = outcomes.with_silence() if silent else outcomes.performance
        self._pending.merge(performance)
        if estimate is not None and performance.n:
            self._estimates.append(estimate)
        value = self._pending.metrics().get(self.metric)
        is_judged = self._pending.n >= self._min_labels and value is not None
        if is_judged and value is not None:
            realized = self._realized(value)
            findings |= realized[0]
            evidence |= realized[1]
        elif not findings:
            return []
        return self._book.observe(self._judged(start_ms, end_ms, findings, evidence, is_judged=is_judged))

    def _realized(self, value: float) -> tuple[dict[str, Finding], dict[str, Any]]:
        """Judge the metric of the slices that wait."""
        labels, estimates = self._pending.n, self._estimates
        errors = None if self.metric == "mae" else round((1.0 - value) * labels)
        self._pending, self._estimates = PerformanceCounts.empty(self.rules.spec), []
        degradation = self._monitor.update(value, labels, errors=errors)
        evidence: dict[str, Any] = {
            "metric": self.metric,
            "realized": value,
            "reference": self._entry.metrics[self.metric],
            "labels": labels,
        }
        findings: dict[str, Finding] = {}
        if degradation.degraded or self._lasts(PERFORMANCE_DROP, degradation.surprise):
            findings[PERFORMANCE_DROP] = _drop(self.metric, degradation)
            evidence |= {"how": list(degradation.looks), "loss": degradation.loss, "slope": degradation.slope}
        expected = _together(estimates)
        if expected is not None:
            self._track_record.add(self.metric, expected, value, labels=labels)
            evidence |= {"estimated": expected.value, "track_record": self.trust()}
            verdict = self._contradiction.update(expected, value, labels)
            if verdict.disagrees or self._lasts(CONCEPT_DRIFT, abs(verdict.z) / verdict.critical):
                severity = "page" if verdict.worse else "ticket"
                findings[CONCEPT_DRIFT] = Finding(
                    names=[self.metric], effect=abs(value - expected.value), severity=severity
                )
        return findings, evidence

    def _lasts(self, kind: str, surprise: float) -> bool:
        """Whether an incident goes on: half of what it takes to begin one, so that noise does not end it."""
        return surprise > LASTING and self._book.is_open(kind)

    def trust(self) -> dict[str, Any] | None:
        """How far estimates were from the truth so far; None before the first window with labels."""
        score = self._track_record.score(self.metric)
        return None if score is None else score._asdict()

    def _judged(
        self,
        start_ms: int,
        end_ms: int,
        findings: Mapping[str, Finding],
        evidence: Mapping[str, Any],
        *,
        is_judged: bool,
    ) -> Judged:
        """What was found; slices that wait for more labels say nothing of the performance."""
        told = {"window_start_ms": start_ms, "window_end_ms": end_ms, **evidence}
        return Judged(
            model=self._name[0],
            version=self._name[1],
            window_start_ms=start_ms,
            window_end_ms=end_ms,
            findings=findings,
            lingering={} if is_judged else dict.fromkeys(OF_PERFORMANCE, frozenset([self.metric])),
            describe=lambda _: _description(told),
            evidence=lambda _: dict(told),
        )

    def incidents(self) -> list[Incident]:
        """The open incidents."""
        return self._book.snapshot()

    def snapshot(self) -> JudgeState:
        """The judge as it is stored."""
        return JudgeState(
            self.judged_ms,
            self._monitor.to_bytes(),
            self._track_record.to_bytes(),
            self._pending.to_bytes(),
            self._estimates,
            self._contradiction.to_bytes(),
            self._coverage.state,
            self._book.snapshot(),
        )

    def restore(self, state: JudgeState) -> None:
        """Take up a snapshot. Raises :class:`detectors.DetectorError` when its bytes fail a check."""
        options: dict[str, Any] = {"arl": self._arl, "min_effect": self.rules.min_effect}
        self._monitor = PerformanceMonitor.from_bytes(state.monitor, self._entry, **options)
        self._track_record = TrackRecord.from_bytes(state.track_record)
        self._pending = PerformanceCounts.from_bytes(state.pending, self.rules.spec)
        self._contradiction = DisagreementMonitor.from_bytes(state.contradiction, self.metric, **options)
        self._estimates = state.estimates
        self._coverage.state = state.coverage
        self._book = IncidentBook(self._book.policy, state.incidents)
        self.judged_ms = state.judged_ms


def _together(estimates: Sequence[PastEstimate]) -> Estimate | None:
    """The estimate of several slices as one, each with the weight of its rows."""
    rows = sum(each.n for each in estimates)
    if not rows:
        return None

    def mean(values: Sequence[float]) -> float:
        return sum(v * each.n for v, each in zip(values, estimates, strict=True)) / rows

    error = mean([each.model_error for each in estimates])  # of one reference: it does not average out
    return Estimate(
        value=mean([each.value for each in estimates]),
        standard_error=error,
        row_variance=mean([each.row_variance for each in estimates]),
        model_error=error,
        n=rows,
    )


def _drop(metric: str, degradation: Degradation) -> Finding:
    return Finding(names=[metric], effect=abs(degradation.loss), severity="page")


def _description(evidence: Mapping[str, Any]) -> str:
    parts = []
    if "realized" in evidence:
        metric = evidence["metric"]
        parts.append(f"{metric} {evidence['realized']:.4f} of {evidence['labels']} labels")
        parts.append(f"reference {evidence['reference']:.4f}")
        if "estimated" in evidence:
            parts.append(f"estimated {evidence['estimated']:.4f}")
    parts.append(f"{evidence['labelled']} of {evidence['predictions']} predictions labelled")
    return "; ".join(parts)
