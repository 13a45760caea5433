"""Performance of one series: what was estimated of its windows, what their labels show, what is wrong.

Pure and deterministic; :class:`stream.series.Series` has one where the reference knows labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors import Counts, Reference
from detectors.estimation.estimator import Estimator
from detectors.estimation.table import PerformanceEntry
from stream.alerts import Alert
from stream.incidents import Incident, IncidentPolicy
from stream.outcomes.estimated_drop import EstimatedDrop
from stream.outcomes.judge import JudgeState, OutcomeJudge
from stream.outcomes.labelled_windows import LabelledWindows, NewestLabelled
from stream.outcomes.patience import Patience, PatienceState
from stream.outcomes.records import LabelRules, PastEstimate, WindowOutcomes, estimated_of
from stream.records import WindowRecord
from stream.windows import WindowSpec

KINDS_JUDGED = 5
"""Kinds of finding about performance and labels: each has this part of a budget as large as that of drift."""


class OutcomeState(msgspec.Struct, array_like=True):
    """What the performance of a series is stored as, beside the windows in the model's memory."""

    judge: JudgeState | None
    estimated: list[Incident]
    newest: NewestLabelled | None = None
    patience: PatienceState | None = None


@dataclass(frozen=True, kw_only=True)
class OutcomeRules:
    """How performance is judged; ``labels`` None where no labels are read."""

    windows: WindowSpec
    labels: LabelRules | None
    policy: IncidentPolicy
    arl: float
    min_samples: int
    min_effect: float


class OutcomeSeries:
    """Estimates, windows that wait for labels, and the judge of one model version.

    Parameters
    ----------
    name
        Model, source and version.
    memory
        The entries of the model's memory.
    """

    def __init__(
        self,
        name: tuple[str, str, str],
        reference: Reference,
        entry: PerformanceEntry,
        rules: OutcomeRules,
        memory: Mapping[str, bytes],
    ) -> None:
        self.rules = rules
        self._estimator = Estimator(reference)
        self.windows: LabelledWindows | None = None
        self._judge: OutcomeJudge | None = None
        self._patience: Patience | None = None
        arl = rules.arl * KINDS_JUDGED
        self._drop = EstimatedDrop(
            entry,
            entry.main_metric,
            policy=rules.policy,
            arl=arl,
            min_effect=rules.min_effect,
            min_rows=rules.min_samples,
        )
        if rules.labels is not None:
            self.windows = LabelledWindows(name, rules.labels, rules.windows, memory)
            self._patience = Patience(rules.labels)
            self._judge = OutcomeJudge(
                (name[0], name[2]),
                entry,
                rules.labels,
                policy=rules.policy,
                arl=arl,
                min_labels=rules.min_samples,
            )

    def evaluate(
        self, record: WindowRecord, whole: Counts, newest: Counts, outcomes: WindowOutcomes | None
    ) -> tuple[WindowRecord, list[Alert]]:
        """Add its performance to the record of a window that has just closed; the notifications it causes."""
        estimates = self._estimator.estimate(whole) if self._estimator.possible else {}
        judged = self._drop.metric
        of_slice = self._estimator.estimate(newest, only=judged) if self._estimator.possible else {}
        estimate = of_slice.get(judged)
        estimated = estimated_of(estimates)
        performance: dict[str, Any] = {"estimated": estimated}
        if self.windows is not None:
            known = outcomes or WindowOutcomes((), {}, self.windows.rules)
            performance = self.windows.performance(known, estimated, final=False, age_ms=None)
            record = msgspec.structs.replace(record, performance=performance)
            if known.incomplete:
                record = msgspec.structs.replace(record, incomplete=True)
            past = None if estimate is None else PastEstimate.of(estimate)
            self.windows.remember(record, estimated, known.labelled, past)
        trust = None if self._judge is None else self._judge.trust()
        record = msgspec.structs.replace(record, performance=performance)
        return record, self._drop.observe(record, estimate, trust)

    def ripe(self, labels_ms: int | None) -> list[int]:
        """Ends of the slices to judge now, in order, by the watermark of the labels."""
        if self.windows is None or self._judge is None or labels_ms is None:
            return []
        latest_ms = labels_ms - self.windows.rules.settle_ms
        return self.windows.between(self._judge.judged_ms, latest_ms)

    def judge(
        self, end_ms: int, outcomes: WindowOutcomes, version: str, *, labels_ms: int
    ) -> list[Alert] | None:
        """Judge a slice by the labels that have come; the notifications it causes, None = wait for more."""
        if self.windows is None or self._judge is None or self._patience is None:
            return []
        live = outcomes.live(version)
        if not self._patience.is_enough(live, waited_ms=labels_ms - end_ms):
            return None
        self._patience.judged(live)
        start_ms = end_ms - self.rules.windows.slide_ms
        return self._judge.judge(start_ms, end_ms, live, self.windows.past_estimate(end_ms))

    def relabel(
        self, end_ms: int, outcomes: WindowOutcomes, *, final: bool, age_ms: int | None
    ) -> WindowRecord | None:
        """The record of a window again, with the labels that have come; None: nothing to tell."""
        if self.windows is None or self._patience is None:
            return None
        record = self.windows.restated(end_ms, outcomes, final=final, age_ms=age_ms)
        if final and record is not None and record.performance:
            realized = record.performance["realized"]
            self._patience.final(realized["predictions"], realized["n"])
        return record

    def incidents(self) -> list[Incident]:
        """The open incidents."""
        return [*self._drop.incidents(), *(self._judge.incidents() if self._judge is not None else ())]

    def snapshot(self) -> OutcomeState:
        """The performance of the series as it is stored."""
        judge = None if self._judge is None else self._judge.snapshot()
        newest = None if self.windows is None else self.windows.newest
        patience = None if self._patience is None else self._patience.snapshot()
        return OutcomeState(judge, self._drop.incidents(), newest, patience)

    def restore(self, state: OutcomeState) -> None:
        """Take up a snapshot. Raises :class:`detectors.DetectorError` when its bytes fail a check."""
        self._drop.restore(state.estimated)
        if self.windows is not None:
            self.windows.newest = state.newest
        if self._judge is not None and state.judge is not None:
            self._judge.restore(state.judge)
        if self._patience is not None and state.patience is not None:
            self._patience.restore(state.patience)
