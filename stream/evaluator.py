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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.alerts import Alert, AlertRoute
from stream.clock import WALL_CLOCK, Clock
from stream.crash_points import reached
from stream.errors import Conflict
from stream.held_model import HeldModel
from stream.keys import PaneKey
from stream.messages import Notice
from stream.metrics import Metrics
from stream.outcomes.join import OutcomeCommit
from stream.pane_reader import PaneReader, pane_key
from stream.records import WindowRecord
from stream.series import INFERENCE, LABELS, ModelPlan, SeriesKey
from stream.sinks import Sink
from stream.store import ModelStore
from stream.watermarks import GlobalWatermark, WatermarkTracker, slower

log = logging.getLogger(__name__)
WINDOWS_PER_COMMIT = 64
CLOSE_TIMEOUT_S = 5.0
GAP_PANES = 16  # how far back a pane is looked for whose notice is late


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
        wanted = set(models) & set(self.plans)
        for model in set(self._held) - wanted:
            del self._held[model]
            self._metrics.released(model)
        new = sorted(wanted - set(self._held))
        for model in new:
            self._load(model)
        self._discover(new)

    def forget(self) -> None:
        """Drop everything held: the store did not answer, and what it committed must be read again."""
        self._held.clear()
        self._trackers = {source: WatermarkTracker() for source in self.spec.sources}

    def _load(self, model: str) -> None:
        self._held[model] = HeldModel.load(self.plans[model], self._store, self._sink)

    def _discover(self, models: Sequence[str]) -> None:
        """Open the windows of every pane on the index: what a former owner had not evaluated yet."""
        for source in self.spec.sources:
            for key in self._panes.open(source) if models else ():
                if key.model in models:
                    self._open(self._held[key.model], source, key)

    # ---- notices

    def take(self, notice: Notice) -> None:
        """New counts: open their windows, or mark them to be restated."""
        held = self._held.get(notice.model)
        source = next((s for s, topic in self.spec.sources.items() if topic == notice.topic), None)
        if held is None or source is None:
            return
        for key in notice.pane_keys():
            self._open(held, source, key)

    def _open(self, held: HeldModel, source: str, pane: PaneKey) -> None:
        key = SeriesKey(source, pane.version)
        reference = held.plan.references.get(key)
        if reference is None or reference.fingerprint != pane.fingerprint:
            return  # counted against a reference that is no longer configured: expires by itself
        held.panes[key].add(pane.start_ms)
        for end_ms in held.plan.windows.ends_of_pane(pane.start_ms):
            if held.evaluation.is_evaluated(key, end_ms):
                held.restate[key].add(end_ms)
            else:
                held.open[key].add(end_ms)

    # ---- looking

    def look(self, beat: Callable[[], None] = lambda: None) -> int:
        """Evaluate what has closed, at most one commit a series; the number of windows evaluated.

        ``beat`` is called once a model: a long look is not a stuck one.
        """
        evaluated = 0
        watermarks = self._watermarks()
        for model in sorted(self._held):
            beat()
            try:
                evaluated += self._look_at(self._held[model], watermarks)
            except Conflict as exc:
                log.warning('another evaluator was first, reloading reason="%s"', exc)
                self._reload(model)
            except Exception:
                del self._held[model]  # half evaluated: whoever owns it next reads what was committed
                raise
        self.publish()
        return evaluated

    def _reload(self, model: str) -> None:
        self._held.pop(model, None)
        self._load(model)
        self._discover([model])

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

    def _look_at(self, held: HeldModel, watermarks: Mapping[str, GlobalWatermark]) -> int:
        labels = None if LABELS not in watermarks else slower(watermarks[INFERENCE], watermarks[LABELS])
        labels_ms = None if labels is None else labels.ms
        evaluated = self._fold(held, labels_ms)
        for key in held.plan.references:
            watermark = watermarks[key.source]
            ends = held.open[key].closed_by(watermark.ms)
            if ends and self._fill_gaps(held, key, ends[:WINDOWS_PER_COMMIT]):
                ends = held.open[key].closed_by(watermark.ms)
            if ends:
                self._evaluate(held, key, ends[:WINDOWS_PER_COMMIT], watermark)
                evaluated += len(ends[:WINDOWS_PER_COMMIT])
            self._restate(held, key)
            if not (held.open[key].closed_by(watermark.ms) or held.restate[key]):
                # never a pane whose window still waits for its turn
                self._retire(held, key, watermark.data_ms)
        return evaluated + self._finish(held, labels)

    def _fold(self, held: HeldModel, labels_ms: int | None) -> int:
        """Fold labels that were joined since, and state their windows again; the number of windows stated."""
        folded = None if held.labels is None else held.labels.fold(held.evaluation, labels_ms)
        if folded is None:
            return 0
        self._commit(held, folded.records, [], outcomes=folded.commit)
        return len(folded.records) + folded.more

    def _finish(self, held: HeldModel, labels: GlobalWatermark | None) -> int:
        """Judge slices by their labels, and state windows for the last time; the number of both."""
        if held.labels is None:
            return 0
        labels_ms = None if labels is None else labels.ms
        judged, alerts = held.labels.judgements(held.evaluation, labels_ms, WINDOWS_PER_COMMIT)
        records = held.labels.finals(held.evaluation, labels, WINDOWS_PER_COMMIT)
        if judged or records:
            self._commit(held, records, alerts)
        return judged + len(records)

    def _fill_gaps(self, held: HeldModel, key: SeriesKey, ends: Sequence[int]) -> bool:
        """Look for panes before and between these windows whose notice is still under way.

        Clocks are read at once, notices travel through Kafka: without this look a sparse pane could be heard
        of after its window's turn. True when one was found.
        """
        slide, before = held.plan.windows.slide_ms, held.evaluation.last_end_ms(key)
        starts: list[int] = []
        for end in ends:
            newest = end - slide
            starts += range(max(before, newest - GAP_PANES * slide), newest, slide)
            before = end
        unheard = [start for start in starts if start not in held.panes[key]]
        found = [start for start, counts in self._panes.merged(held.plan, key, unheard).items() if counts.n]
        for start in found:
            self._open(held, key.source, pane_key(held.plan, key, start))
        return bool(found)

    def _evaluate(
        self, held: HeldModel, key: SeriesKey, ends: Sequence[int], watermark: GlobalWatermark
    ) -> None:
        started = time.perf_counter()
        reached("read.before")
        windows = self._panes.windows(held.plan, key, ends, data_ms=watermark.data_ms)
        reached("read.after")
        outcomes = {} if held.labels is None or key.source != INFERENCE else held.labels.outcomes(ends)
        records: list[WindowRecord] = []
        alerts: list[Alert] = []
        reached("verdicts.before")
        for window in windows:
            record, caused = held.evaluation.evaluate(key, window, outcomes.get(window.end_ms))
            records.append(record)
            alerts += caused
        reached("verdicts.after")
        self._commit(held, records, alerts)
        held.open[key].discard(ends)
        seconds = (time.perf_counter() - started) / len(ends)
        now_ms = self._clock.now_ms()
        for end_ms in ends:
            delay_ms = now_ms - held.plan.windows.closes_at(end_ms)
            self._metrics.evaluated(seconds=seconds, close_delay_seconds=delay_ms / 1000)

    def _restate(self, held: HeldModel, key: SeriesKey) -> None:
        ends = sorted(held.restate[key])[:WINDOWS_PER_COMMIT]
        if not ends:
            return
        windows = self._panes.windows(held.plan, key, ends, data_ms=None)
        records = [record for window in windows if (record := held.evaluation.restate(key, window))]
        if records:
            self._commit(held, records, [])
        held.restate[key].difference_update(ends)

    def _commit(
        self,
        held: HeldModel,
        records: Sequence[WindowRecord],
        alerts: Sequence[Alert],
        outcomes: OutcomeCommit | None = None,
    ) -> None:
        messages = [record.to_message(self.spec.metrics_topic) for record in records]
        messages += [alert.to_message(self.spec.alerts) for alert in alerts]
        numbered, evaluation = held.numbered(messages), held.evaluation
        reached("decide.before")
        held.revision = self._store.decide(
            held.plan.model,
            held.revision,
            evaluation.to_bytes(),
            numbered,
            evaluation.changed_memory(),
            outcomes=outcomes,
        )
        reached("decide.after")
        reached("publish.before")
        held.drain.send(numbered)
        reached("publish.after")
        for record in records:
            self._metrics.observe_window(record.to_dict())
        for alert in alerts:
            self._metrics.alert(alert.kind, alert.status)
        firing = Counter((each.kind, each.severity) for _, each in held.evaluation.open_incidents())
        self._metrics.incidents(held.plan.model, firing)

    def _retire(self, held: HeldModel, key: SeriesKey, watermark_ms: int | None) -> None:
        """Panes whose windows can no longer be restated expire."""
        if watermark_ms is None:
            return
        horizon = held.plan.restate_ms
        old = {s for s in held.panes[key] if held.plan.windows.too_late_at(s, horizon) <= watermark_ms}
        if not old:
            return
        self._panes.retire(held.plan, key, sorted(old))
        held.panes[key] -= old

    # ---- publishing

    def publish(self) -> int:
        """Serve delivery reports, trim what is acknowledged; how many messages still wait."""
        self._sink.poll()
        waiting = 0
        for model, held in self._held.items():
            held.drain.retry()
            waiting += len(held.drain)
            if held.drain.delivered_to is not None and held.drain.delivered_to != held.trimmed_to:
                reached("trim.before")
                self._store.trim_outbox(model, held.drain.delivered_to)
                reached("trim.after")
                held.trimmed_to = held.drain.delivered_to
        self._metrics.outbox("models", waiting)
        return waiting

    def close(self) -> None:
        """Wait for the messages under way and trim what was acknowledged; the rest stays in its outbox."""
        self._sink.close(timeout_s=CLOSE_TIMEOUT_S)
        self.publish()
