"""One series: a model version's windows from one source of events, in order. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from detectors import Counts, Monitor, Reference
from stream.alerts import Alert
from stream.incidents import Incident, IncidentBook, IncidentPolicy
from stream.outcomes.labelled_windows import LabelledWindows
from stream.outcomes.records import LEAST_LOSS, LabelRules, WindowOutcomes
from stream.outcomes.series import OutcomeRules, OutcomeSeries, OutcomeState
from stream.periods import PeriodComparison, PeriodState, shown
from stream.records import WindowRecord, features_of, pairs_of
from stream.windows import WindowSpec

INFERENCE, LABELS = "inference", "labels"
POWER_SLICES = (1, 10)
"""After how many slices the smallest visible shift is told."""


@dataclass(frozen=True, order=True)
class SeriesKey:
    """What is evaluated on its own: one version of a model, from one source of events."""

    source: str
    version: str


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """What a model is compared with and how.

    Parameters
    ----------
    references
        Per series, already restricted to the columns of its source.
    min_effects
        Columns with a smallest effect of their own.
    restate_ms
        How long an evaluated window is remembered, so that late events can restate it.
    compare_with
        Earlier periods to compare with beside the reference. They share the budget of false alarms with it.
    labels
        How the labels of its predictions are judged; None where there are none.
    """

    model: str
    windows: WindowSpec
    references: Mapping[SeriesKey, Reference]
    min_samples: int
    min_effect: float
    arl: float
    restate_ms: int
    incidents: IncidentPolicy = field(default_factory=IncidentPolicy)
    min_effects: Mapping[str, float] = field(default_factory=dict)
    compare_with: tuple[str, ...] = ()
    labels: LabelRules | None = None

    def monitor_options(self, key: SeriesKey) -> dict[str, Any]:
        """Options of the monitor of a series; columns of another source or version are left out."""
        names = self.references[key].names
        return {
            "arl": self.arl * (1 + len(self.compare_with)),
            "min_effect": self.min_effect,
            "min_effects": {name: self.min_effects[name] for name in names if name in self.min_effects},
            "min_samples": self.min_samples,
            "window_slices": self.windows.size_ms // self.windows.slide_ms,
        }


@dataclass(frozen=True, kw_only=True)
class ClosedWindow:
    """Counts of one closed window ``[end - size, end)`` and of its newest pane.

    ``incomplete``: records that may have belonged here were lost before they could be counted.
    """

    end_ms: int
    newest: Counts
    whole: Counts
    closed_by: str = "watermark"
    incomplete: bool = False


class Evaluated(msgspec.Struct, array_like=True):
    """What is remembered of an evaluated window: enough to restate it."""

    n: int
    revision: int
    status: str
    severity: str
    drifted: list[str]


class SeriesState(msgspec.Struct, array_like=True):
    """What a series is stored as."""

    source: str
    version: str
    fingerprint: str
    monitor: bytes
    last_end_ms: int
    evaluated: dict[int, Evaluated]
    incidents: list[Incident]
    periods: PeriodState | None = None
    outcomes: OutcomeState | None = None


def smallest_visible(monitor: Monitor, rows: int) -> dict[str, dict[str, float]]:
    """Per column the smallest shift that half of the cases show, by the number of slices of ``rows``."""
    shifts = {slices: monitor.smallest_shifts(rows=rows, slices=slices) for slices in POWER_SLICES}
    return {
        name: {str(slices): shift[name] for slices, shift in shifts.items()}
        for name in monitor.reference.names
    }


class Series:
    """Monitor, remembered windows and incidents of one series."""

    def __init__(self, plan: ModelPlan, key: SeriesKey, memory: Mapping[str, bytes]) -> None:
        self.plan = plan
        self.key = key
        self.reference = plan.references[key]
        self.monitor = Monitor(self.reference, **plan.monitor_options(key))
        self.last_end_ms = 0
        self.evaluated: dict[int, Evaluated] = {}
        self.book = IncidentBook(plan.incidents)
        self.periods = self._comparison(memory) if plan.compare_with else None
        self.outcomes = self._outcomes(memory) if key.source == INFERENCE else None

    def _outcomes(self, memory: Mapping[str, bytes]) -> OutcomeSeries | None:
        entry, plan = self.reference.performance, self.plan
        if entry is None:
            return None
        rules = OutcomeRules(
            windows=plan.windows,
            labels=plan.labels,
            policy=plan.incidents,
            arl=plan.arl,
            min_samples=plan.min_samples,
            min_effect=plan.labels.min_effect if plan.labels is not None else LEAST_LOSS,
        )
        name = (plan.model, self.key.source, self.key.version)
        return OutcomeSeries(name, self.reference, entry, rules, memory)

    def _comparison(self, memory: Mapping[str, bytes]) -> PeriodComparison:
        options = {**self.plan.monitor_options(self.key)}
        del options["window_slices"]
        return PeriodComparison(
            self.reference,
            (self.key.source, self.key.version),
            self.plan.compare_with,
            slide_ms=self.plan.windows.slide_ms,
            policy=self.plan.incidents,
            memory=memory,
            options=options,
        )

    def evaluate(
        self, window: ClosedWindow, outcomes: WindowOutcomes | None = None
    ) -> tuple[WindowRecord, list[Alert]]:
        """Decide on the next window; ``outcomes`` are the labels of its predictions that have come."""
        start_ms = window.end_ms - self.plan.windows.slide_ms
        verdict = self.monitor.update_counts(window.newest, window=window.whole, timestamp_ms=start_ms)
        drifted = list(verdict.drifted_names)
        memory = Evaluated(window.whole.n, 0, verdict.status, verdict.severity, drifted)
        rows = max(window.newest.n, self.plan.min_samples)
        visible = smallest_visible(self.monitor, rows) if drifted else {}
        features = features_of(verdict.features, visible)
        record = self._record(window, memory, features, pairs_of(verdict.pairs))
        self._remember(window.end_ms, memory)
        alerts = self.book.update(record)
        if self.periods is not None:
            earlier = self.periods.judge(window.newest, start_ms=start_ms)
            record = msgspec.structs.replace(record, against=shown(earlier))
            alerts += self.periods.observe(earlier, record)
        if self.outcomes is not None:
            record, more = self.outcomes.evaluate(record, window.whole, window.newest, outcomes)
            alerts += more
        return record, alerts

    def incidents(self) -> list[Incident]:
        """Every open incident."""
        earlier = [] if self.periods is None else self.periods.incidents()
        performance = [] if self.outcomes is None else self.outcomes.incidents()
        return [*self.book.snapshot(), *earlier, *performance]

    def changed_memory(self) -> dict[str, bytes | None]:
        """Entries of the model's memory to write and to forget since the last call."""
        changed = {} if self.periods is None else self.periods.changed()
        return changed if self.labelled is None else changed | self.labelled.changed()

    def relabel(
        self, end_ms: int, outcomes: WindowOutcomes, *, final: bool, age_ms: int | None
    ) -> WindowRecord | None:
        """The record of a window again, with the labels that have come; None: nothing to tell."""
        if self.outcomes is None:
            return None
        record = self.outcomes.relabel(end_ms, outcomes, final=final, age_ms=age_ms)
        memory = self.evaluated.get(end_ms)
        if record is not None and memory is not None:
            memory.revision = record.revision
        return record

    @property
    def labelled(self) -> LabelledWindows | None:
        """The windows that wait for their labels; None where no labels are read."""
        return None if self.outcomes is None else self.outcomes.windows

    def restate(self, window: ClosedWindow) -> WindowRecord | None:
        """The record of a window again, with its late events: new counts, the old decision."""
        if window.end_ms <= self._forgotten_ms:
            return None
        memory = self.evaluated.get(window.end_ms)
        if memory is None:
            memory = Evaluated(0, -1, "not_enough_data", "none", [])
        elif memory.n == window.whole.n:
            return None
        restated = Evaluated(
            window.whole.n, memory.revision + 1, memory.status, memory.severity, memory.drifted
        )
        self.evaluated[window.end_ms] = restated
        if self.labelled is not None:
            self.labelled.revise(
                window.end_ms, n=restated.n, revision=restated.revision, incomplete=window.incomplete
            )
        window = replace(window, closed_by="late")
        return self._record(window, restated, features_of(self.monitor.describe(window.whole)))

    def _remember(self, end_ms: int, memory: Evaluated) -> None:
        self.last_end_ms = max(self.last_end_ms, end_ms)
        self.evaluated[end_ms] = memory
        oldest = self._forgotten_ms
        self.evaluated = {end: each for end, each in self.evaluated.items() if end > oldest}

    @property
    def _forgotten_ms(self) -> int:
        """Windows that end at or before this are not remembered: their panes may have expired."""
        return self.last_end_ms - self.plan.restate_ms - self.plan.windows.size_ms

    def _record(
        self,
        window: ClosedWindow,
        memory: Evaluated,
        features: dict[str, dict[str, object]],
        pairs: Sequence[dict[str, object]] = (),
    ) -> WindowRecord:
        return WindowRecord(
            model=self.plan.model,
            version=self.key.version,
            source=self.key.source,
            window_start_ms=window.end_ms - self.plan.windows.size_ms,
            window_end_ms=window.end_ms,
            n=window.whole.n,
            status=memory.status,
            severity=memory.severity,
            drifted=memory.drifted,
            features=features,
            pairs=list(pairs),
            revision=memory.revision,
            closed_by=window.closed_by,
            reference=self.reference.fingerprint,
            incomplete=True if window.incomplete else msgspec.UNSET,
        )

    def snapshot(self) -> SeriesState:
        """The series as it is stored."""
        return SeriesState(
            self.key.source,
            self.key.version,
            self.reference.fingerprint,
            self.monitor.to_bytes(),
            self.last_end_ms,
            self.evaluated,
            self.book.snapshot(),
            None if self.periods is None else self.periods.snapshot(),
            None if self.outcomes is None else self.outcomes.snapshot(),
        )

    def restore(self, state: SeriesState) -> None:
        """Take up a snapshot; a replaced reference starts the monitor anew and keeps the rest."""
        plan = self.plan
        if state.fingerprint == self.reference.fingerprint:
            options = plan.monitor_options(self.key)
            self.monitor = Monitor.from_bytes(state.monitor, self.reference, **options)
            if self.periods is not None and state.periods is not None:
                self.periods.restore(state.periods)
            if self.outcomes is not None and state.outcomes is not None:
                self.outcomes.restore(state.outcomes)
        self.last_end_ms = state.last_end_ms
        self.evaluated = state.evaluated
        self.book = IncidentBook(plan.incidents, state.incidents)
