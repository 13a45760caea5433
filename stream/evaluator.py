"""The evaluator: looks whether windows have closed, evaluates them, commits, publishes.

A notice or a timer triggers a look; the watermark alone decides what is closed. Per model, in order:

1. The panes of every closed window are read and merged; so are the labels joined since, from the journal.
2. The windows are evaluated, oldest first; those with new labels are stated again.
3. State, records, alerts and the end of the journal read commit in one compare-and-set on the model's
   revision: of two owners during a rebalance only one can act.
4. The outbox is published and trimmed once Kafka has acknowledged it.

A crash before 3 evaluates again; after it the outbox is published by the next owner, with the same ids.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from stream.alerts import AlertRoute
from stream.clock import WALL_CLOCK, Clock
from stream.crash_points import reached
from stream.errors import Conflict
from stream.held_model import HeldModel
from stream.keys import PaneKey
from stream.messages import Notice
from stream.metrics import Metrics
from stream.pane_reader import PaneReader, pane_key
from stream.series import INFERENCE, LABELS, ModelPlan, SeriesKey
from stream.sinks import Sink
from stream.store import ModelStore
from stream.turn import Turn, grouped
from stream.watermarks import GlobalWatermark, WatermarkTracker, slower

log = logging.getLogger(__name__)
Item = TypeVar("Item")
WINDOWS_PER_TURN = 64
WINDOWS_PER_LOOK = 1_024
WINDOWS_PER_GROUP, PANES_PER_GROUP = 64, 1_024
MODELS_PER_READ, MODELS_PER_FOLD = 64, 16
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class EvaluatorSpec:
    """Topics the evaluator reads the clocks of (by source) and writes to."""

    sources: Mapping[str, str]
    metrics_topic: str
    alerts: AlertRoute


class Evaluator:
    """Evaluates the models it owns. One thread at a time may call it.

    Parameters
    ----------
    plans
        Every configured model, by name.
    clock
        Tells when idle partitions let a window close; a replay has its own.
    """

    def __init__(
        self,
        spec: EvaluatorSpec,
        plans: Mapping[str, ModelPlan],
        *,
        store: ModelStore,
        sink: Sink,
        metrics: Metrics,
        clock: Clock = WALL_CLOCK,
    ) -> None:
        self.spec = spec
        self.plans = plans
        self._store = store
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._held: dict[str, HeldModel] = {}
        self._replacement: Mapping[str, ModelPlan] | None = None
        self._trackers = {source: WatermarkTracker() for source in spec.sources}
        self._panes = PaneReader(store, spec.sources)

    # ---- ownership

    def replace(self, plans: Mapping[str, ModelPlan]) -> None:
        """Evaluate by these plans of the same models from the next :meth:`own` on; safe from any thread."""
        self._replacement = plans

    def _replaced(self) -> None:
        """Let go of models whose references are others now: their states are loaded into the new plans."""
        replacement, self._replacement = self._replacement, None
        if replacement is None:
            return
        for model in list(self._held):
            if self._held[model].plan.references != replacement[model].references:
                del self._held[model]
        self.plans = replacement

    def own(self, models: Iterable[str]) -> None:
        """Take up exactly these models: load the state and open windows of new ones, drop the others."""
        self._replaced()
        wanted = set(models) & self.plans.keys()
        for model in self._held.keys() - wanted:
            del self._held[model]
            self._metrics.released(model)
        self._load(sorted(wanted - self._held.keys()))

    def forget(self) -> None:
        """Drop everything held: the store did not answer, and what it committed must be read again."""
        self._held.clear()
        self._panes.forget()
        self._trackers = {source: WatermarkTracker() for source in self.spec.sources}

    def _load(self, models: Sequence[str]) -> None:
        """Read what is stored of models, and open the windows that a former owner had not evaluated yet."""
        for some in batched(models, MODELS_PER_READ):
            for model, stored in self._store.load_models(some).items():
                self._held[model] = HeldModel.of(self.plans[model], stored, self._store.joins, self._sink)
        new = frozenset(models)
        for source in self.spec.sources:
            for key in self._panes.open(source) if new else ():
                if key.model in new:
                    self._open(self._held[key.model], source, key)

    # ---- notices

    def take(self, notice: Notice) -> None:
        """New counts: open their windows, or mark them to be restated."""
        held = self._held.get(notice.model)
        source = next((s for s, topic in self.spec.sources.items() if topic == notice.topic), None)
        if held is None or source is None:
            return
        for key in notice.pane_keys():
            self._panes.changed(source, key)
            self._open(held, source, key)

    def _open(self, held: HeldModel, source: str, pane: PaneKey) -> None:
        key = SeriesKey(source, pane.version)
        reference = held.plan.references.get(key)
        if reference is not None and reference.fingerprint == pane.fingerprint:
            held.take(key, pane.start_ms)
        # else counted against a reference that is no longer configured: expires by itself

    # ---- looking

    def look(self, beat: Callable[[], None] = lambda: None) -> int:
        """Evaluate what has closed, a bounded number of windows; how many were evaluated.

        ``beat`` is called once a group of models: a long look is not a stuck one.
        """
        watermarks = self._watermarks()
        labels = None if LABELS not in watermarks else slower(watermarks[INFERENCE], watermarks[LABELS])
        try:
            evaluated = self._fold(labels, beat)
            due = sorted(self._due(watermarks, labels), key=lambda turn: (turn.due_ms, turn.model))
            for group in grouped(due, windows=WINDOWS_PER_GROUP, panes=PANES_PER_GROUP):
                beat()
                evaluated += self._run(group, watermarks, labels)
        except Exception:
            self._held.clear()  # some are half evaluated: whoever owns them next reads what was committed
            raise
        self._retire(watermarks)
        self.publish()
        return evaluated

    def _watermarks(self) -> dict[str, GlobalWatermark]:
        clocks = {source: self._panes.clocks(source) for source in self.spec.sources}
        if any(self._trackers[source].went_back(clocks[source]) for source in clocks):
            log.warning("the store has lost commits, every model is read again")
            models = list(self._held)
            self.forget()
            self.own(models)
        monotonic_ms, now_ms = self._clock.monotonic_ms(), self._clock.now_ms()
        return {
            source: self._trackers[source].observe(each, monotonic_ms=monotonic_ms, now_ms=now_ms)
            for source, each in clocks.items()
        }

    def _due(self, watermarks: Mapping[str, GlobalWatermark], labels: GlobalWatermark | None) -> list[Turn]:
        """What is to be done now; where many models wait, each has a few of its windows at a time."""
        turns = []
        for held in self._held.values():
            turn = Turn(held)
            for key, windows in held.open.items():
                if ends := windows.closed_by(watermarks[key.source].ms):
                    turn.closed[key] = ends
            for key, late in held.restate.items():
                if late:
                    turn.restated[key] = sorted(late)[:WINDOWS_PER_TURN]
            if turn.closed or turn.restated or (held.labels is not None and labels is not None):
                turns.append(turn)
        share = max(1, min(WINDOWS_PER_TURN, WINDOWS_PER_LOOK // max(1, len(turns))))
        for turn in turns:
            turn.closed = {key: ends[:share] for key, ends in turn.closed.items()}
        return turns

    def _run(
        self,
        group: Sequence[Turn],
        watermarks: Mapping[str, GlobalWatermark],
        labels: GlobalWatermark | None,
    ) -> int:
        """Evaluate and commit a group; how many windows were evaluated, judged or stated for good."""
        started = time.perf_counter()
        self._fill_gaps(group, watermarks)
        reached("read.before")
        self._panes.read([request for turn in group for request in turn.needs()])
        reached("read.after")
        data_ms = {source: each.data_ms for source, each in watermarks.items()}
        done = 0
        reached("verdicts.before")
        for turn in group:
            turn.evaluate(data_ms)
            done += turn.windows + self._finish(turn, labels)
        reached("verdicts.after")
        self._commit([turn for turn in group if turn.changed])
        self._measured(group, time.perf_counter() - started)
        return done

    def _fill_gaps(self, group: Sequence[Turn], watermarks: Mapping[str, GlobalWatermark]) -> None:
        """Look for panes before and between closed windows whose notice is still under way.

        Clocks are read at once, notices travel through Kafka: without this look a sparse pane could be heard
        of after its window's turn.
        """
        gaps = [(turn, request) for turn in group for request in turn.gaps()]
        self._panes.read([request for _, request in gaps])
        for turn, request in gaps:
            found = [start for start, counts in request.counts.items() if counts.n]
            for start in found:
                turn.held.take(request.key, start)
            if found:
                ends = turn.held.open[request.key].closed_by(watermarks[request.key.source].ms)
                turn.closed[request.key] = ends[:WINDOWS_PER_TURN]

    def _fold(self, labels: GlobalWatermark | None, beat: Callable[[], None]) -> int:
        """Fold labels that were joined since, and state their windows again; the number of windows stated."""
        labels_ms = None if labels is None else labels.ms
        joined = [held for held in self._held.values() if held.labels is not None]
        waiting = self._store.joins.waiting([held.plan.model for held in joined])
        stated = 0
        for some in batched([held for held in joined if held.plan.model in waiting], MODELS_PER_FOLD):
            beat()
            turns = []
            for held in some:
                folded = None if held.labels is None else held.labels.fold(held.evaluation, labels_ms)
                if folded is not None:
                    turn = Turn(held, outcomes=folded.commit)
                    turn.add(folded.records, [])
                    turns.append(turn)
                    stated += len(folded.records) + folded.more
            self._commit(turns)
        return stated

    def _finish(self, turn: Turn, labels: GlobalWatermark | None) -> int:
        """Judge slices by their labels, and state windows for the last time; the number of both."""
        held = turn.held
        if held.labels is None:
            return 0
        labels_ms = None if labels is None else labels.ms
        judged, alerts = held.labels.judgements(held.evaluation, labels_ms, WINDOWS_PER_TURN)
        records = held.labels.finals(held.evaluation, labels, WINDOWS_PER_TURN)
        if judged or records:
            turn.add(records, alerts)
        return judged + len(records)

    def _commit(self, turns: Sequence[Turn]) -> None:
        """One script a model, one round trip; models that another evaluator has committed are read again."""
        commits = [turn.commit(self.spec.metrics_topic, self.spec.alerts) for turn in turns]
        if not commits:
            return
        refused = []
        reached("decide.before")
        outcomes = self._store.decide_all(commits)
        reached("decide.after")
        reached("publish.before")
        for turn, commit, outcome in zip(turns, commits, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                log.warning('another evaluator was first, reloading reason="%s"', outcome)
                refused.append(turn.model)
                continue
            turn.held.revision = outcome
            turn.held.drain.send(commit.messages)
            turn.landed()
            self._show(turn)
        reached("publish.after")
        self._sink.poll()
        for model in refused:
            del self._held[model]
        self._load(refused)

    def _show(self, turn: Turn) -> None:
        for record in turn.records:
            self._metrics.observe_window(msgspec.structs.asdict(record))
        for alert in turn.alerts:
            self._metrics.alert(alert.kind, alert.status)
        incidents = turn.held.evaluation.open_incidents()
        self._metrics.incidents(turn.model, Counter((each.kind, each.severity) for _, each in incidents))

    def _measured(self, group: Sequence[Turn], seconds: float) -> None:
        now_ms, windows = self._clock.now_ms(), sum(turn.windows for turn in group)
        for turn in group:
            for end_ms in (end for ends in turn.closed.values() for end in ends):
                delay_ms = now_ms - turn.held.plan.windows.closes_at(end_ms)
                self._metrics.evaluated(seconds=seconds / windows, close_delay_seconds=delay_ms / 1000)

    def _retire(self, watermarks: Mapping[str, GlobalWatermark]) -> None:
        """Panes whose windows can no longer be restated expire; never one whose window waits for its turn."""
        over: dict[str, list[PaneKey]] = {}
        for held in self._held.values():
            for key, panes in held.panes.items():
                watermark = watermarks[key.source]
                starts = panes.over_by(watermark.data_ms)
                if not starts or held.restate[key] or held.open[key].closed_by(watermark.ms):
                    continue
                over.setdefault(key.source, []).extend(pane_key(held.plan, key, start) for start in starts)
                panes.discard(starts)
        self._panes.retire(over)

    # ---- publishing

    def publish(self) -> int:
        """Serve delivery reports, trim what is acknowledged; how many messages still wait."""
        self._sink.poll()
        waiting = 0
        delivered: dict[str, int] = {}
        for model, held in self._held.items():
            held.drain.retry()
            waiting += len(held.drain)
            if held.drain.delivered_to is not None and held.drain.delivered_to != held.trimmed_to:
                delivered[model] = held.trimmed_to = held.drain.delivered_to
        if delivered:
            reached("trim.before")
            self._store.trim_outboxes(delivered)
            reached("trim.after")
        self._metrics.outbox("models", waiting)
        return waiting

    def close(self) -> None:
        """Wait for the messages under way and trim what was acknowledged; the rest stays in its outbox."""
        self._sink.close(timeout_s=CLOSE_TIMEOUT_S)
        self.publish()


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """``items`` in order, at most ``size`` at a time."""
    return (items[at : at + size] for at in range(0, len(items), size))
