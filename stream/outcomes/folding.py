"""Labels as the evaluator sees them: the journal folded into outcome panes, windows stated again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.alerts import Alert
from stream.errors import CorruptState
from stream.evaluate import ModelEvaluation
from stream.outcomes.fold import Folded, fold
from stream.outcomes.join import OTHER_STRATUM, JoinStore, Journal, OutcomeCommit
from stream.outcomes.panes import OutcomePane
from stream.outcomes.records import LabelRules, WindowOutcomes
from stream.outcomes.stratum import Stratum
from stream.quarantine import quarantined
from stream.records import WindowRecord
from stream.series import INFERENCE, ModelPlan, SeriesKey
from stream.watermarks import GlobalWatermark

SLACK_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Fold:
    """What a piece of the journal changes: panes to commit with its end, records to publish."""

    commit: OutcomeCommit
    records: list[WindowRecord]
    more: bool


@dataclass(frozen=True)
class Changes:
    """A piece of the journal, and what it changes by pane and stratum."""

    journal: Journal
    by_pane: Mapping[tuple[int, int], Folded]

    @property
    def starts(self) -> list[int]:
        """Starts of the panes that it changes, in order."""
        return sorted({start_ms for start_ms, _ in self.by_pane})


class OutcomeFolding:
    """Folds the journal of one model.

    Parameters
    ----------
    rules
        Those of ``plan``.
    """

    def __init__(self, joins: JoinStore, plan: ModelPlan, rules: LabelRules) -> None:
        self.rules = rules
        self._joins = joins
        self._plan = plan
        self._strata: dict[int, Stratum] = {}
        self._held: dict[int, bytes | None] = {}
        self._versions = [key for key in plan.references if key.source == INFERENCE]

    def changes(self, journal: Journal) -> Changes:
        """What a piece of the journal changes."""
        return Changes(journal, fold(journal.transitions, self._plan.windows.slide_ms))

    def panes_to_fold(self, evaluation: ModelEvaluation, changes: Changes) -> set[int]:
        """Starts of the panes that :meth:`fold` needs."""
        ends = (end for _, end in self._awaited(evaluation, self._ends(changes), self._versions))
        return {start for end in ends for start in self._plan.windows.panes_of_window(end)}.union(
            changes.starts
        )

    def panes_to_judge(self, evaluation: ModelEvaluation, labels_ms: int | None) -> set[int]:
        """Starts of the panes that :meth:`judgements` needs first."""
        ends = (end for key in self._versions for end in evaluation.ripe(key, labels_ms)[:1])
        return {end - self._plan.windows.slide_ms for end in ends}

    def hold(self, starts_ms: Iterable[int], stored: Mapping[int, bytes]) -> None:
        """Use these panes, as they are stored, until :meth:`let_go`; those not among ``stored`` are not."""
        self._held = {start: stored.get(start) for start in starts_ms}

    def let_go(self) -> None:
        """Read panes from the store again."""
        self._held = {}

    def _ends(self, changes: Changes) -> list[int]:
        return sorted({end for start in changes.starts for end in self._plan.windows.ends_of_pane(start)})

    def fold(self, evaluation: ModelEvaluation, changes: Changes, labels_ms: int | None) -> Fold:
        """Fold the oldest piece of the journal; ``labels_ms`` is the watermark of the labels."""
        journal, starts = changes.journal, changes.starts
        panes = self._read(starts)
        for (start_ms, stratum), change in changes.by_pane.items():
            panes[start_ms].apply(stratum, change, negative=self.rules.negative)
        self._check(panes)
        records = self._restated(evaluation, self._ends(changes), labels_ms, final=False, fresh=panes)
        commit = OutcomeCommit(
            base=journal.base,
            upto=journal.upto,
            panes={start_ms: panes[start_ms].to_bytes() for start_ms in starts},
            ttl_ms=self.rules.horizon_ms + self.rules.horizon_ms // 4 + self._plan.windows.size_ms + SLACK_MS,
        )
        return Fold(commit, records, journal.more)

    def _check(self, panes: dict[int, OutcomePane]) -> None:
        """Give up panes whose labels were taken out before they came: their journal had been damaged."""
        for start_ms in [start_ms for start_ms, pane in panes.items() if not pane.is_possible]:
            reason = CorruptState(f"outcomes from {start_ms} ms on: more was taken out than had been counted")
            panes[start_ms] = self._damaged(reason)

    def _damaged(self, reason: CorruptState) -> OutcomePane:
        quarantined("outcomes", "their windows lack them", reason, of=self._plan.model)
        return OutcomePane(self.rules.spec, damaged=True)

    def finals(
        self, evaluation: ModelEvaluation, labels: GlobalWatermark | None, limit: int
    ) -> list[WindowRecord]:
        """Records of windows whose labels can no longer come, at most ``limit`` of each version."""
        records: list[WindowRecord] = []
        labels_ms = None if labels is None else labels.ms
        for key in self._versions:
            evaluation.forget_labelled(key, None if labels is None else labels.data_ms)
            due = evaluation.due(key, labels_ms)[:limit]
            records += self._restated(evaluation, due, labels_ms, final=True, fresh={}, versions=[key])
        return records

    def judgements(
        self, evaluation: ModelEvaluation, labels_ms: int | None, limit: int
    ) -> tuple[int, list[Alert]]:
        """Judge the slices that have enough labels, in order, at most ``limit`` of each version.

        Returns how many were judged, and the notifications that they cause.
        """
        judged = 0
        alerts: list[Alert] = []
        for key in self._versions:
            ends = evaluation.ripe(key, labels_ms)[:limit]
            for some in (ends[:1], ends[1:]):  # mostly the first one has to wait, and all behind it
                told = self._judge(evaluation, key, some, labels_ms or 0)
                judged += len(told)
                alerts += [alert for each in told for alert in each]
                if len(told) < len(some):
                    break
        return judged, alerts

    def _judge(
        self, evaluation: ModelEvaluation, key: SeriesKey, ends_ms: Sequence[int], labels_ms: int
    ) -> list[list[Alert]]:
        """The notifications of each slice, up to the first that waits for more labels."""
        slide_ms = self._plan.windows.slide_ms
        panes = self._read([end - slide_ms for end in ends_ms])
        strata = self._known({number for pane in panes.values() for number in pane.strata})
        told = []
        for end in ends_ms:
            outcomes = WindowOutcomes((panes[end - slide_ms],), strata, self.rules)
            alerts = evaluation.judge(key, end, outcomes, labels_ms=labels_ms)
            if alerts is None:
                break
            told.append(alerts)
        return told

    def outcomes(
        self, ends_ms: Sequence[int], fresh: Mapping[int, OutcomePane] | None = None
    ) -> dict[int, WindowOutcomes]:
        """The outcomes of windows by their ends; panes in ``fresh`` are newer than those in the store."""
        held = dict(fresh or {})
        windows = self._plan.windows
        needed = {start for end in ends_ms for start in windows.panes_of_window(end)} - held.keys()
        held |= self._read(sorted(needed))
        strata = self._known({number for pane in held.values() for number in pane.strata})
        return {
            end: WindowOutcomes(
                tuple(held[start] for start in windows.panes_of_window(end)), strata, self.rules
            )
            for end in ends_ms
        }

    @staticmethod
    def _awaited(
        evaluation: ModelEvaluation, ends_ms: Iterable[int], versions: Iterable[SeriesKey]
    ) -> list[tuple[SeriesKey, int]]:
        ends = list(ends_ms)
        return [(key, end) for key in versions for end in ends if evaluation.awaits_labels(key, end)]

    def _restated(
        self,
        evaluation: ModelEvaluation,
        ends_ms: Sequence[int],
        labels_ms: int | None,
        *,
        final: bool,
        fresh: Mapping[int, OutcomePane],
        versions: Iterable[SeriesKey] | None = None,
    ) -> list[WindowRecord]:
        wanted = self._awaited(evaluation, ends_ms, versions or self._versions)
        outcomes = self.outcomes(sorted({end for _, end in wanted}), fresh)
        records = []
        for key, end in wanted:
            age_ms = None if labels_ms is None else labels_ms - end
            record = evaluation.relabel(key, end, outcomes[end], final=final, age_ms=age_ms)
            if record is not None:
                records.append(record)
        return records

    def _read(self, starts_ms: Sequence[int]) -> dict[int, OutcomePane]:
        """Panes by start; those not stored are empty."""
        missing = [start for start in starts_ms if start not in self._held]
        stored = self._joins.outcome_panes(self._plan.model, missing) if missing else {}
        stored |= {start: data for start, data in self._held.items() if data is not None}
        panes = {}
        for start_ms in starts_ms:
            panes[start_ms] = OutcomePane(self.rules.spec)
            if start_ms in stored:
                try:
                    panes[start_ms] = OutcomePane.from_bytes(stored[start_ms], self.rules.spec)
                except CorruptState as exc:
                    panes[start_ms] = self._damaged(exc)
        return panes

    def _known(self, numbers: set[int]) -> Mapping[int, Stratum]:
        if not (numbers - {OTHER_STRATUM}) <= self._strata.keys():
            names = self._joins.strata_names(self._plan.model)
            self._strata = {number: Stratum.of(name) for number, name in names.items()}
        return self._strata
