"""The evaluator: looks whether windows have closed, evaluates them, commits, publishes.

A notice or a timer triggers a look; the watermark alone decides what is closed. Per model, in order:

1. The panes of every closed window are read and merged.
2. The windows are evaluated, oldest first.
3. State, records and alerts commit in one compare-and-set on the model's revision: of two owners during a
   rebalance only one can act.
4. The outbox is published and trimmed once Kafka has acknowledged it.

A crash before 3 evaluates again; after it the outbox is published by the next owner, with the same ids.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from detectors import Counts
from stream.alerts import Alert, AlertRoute
from stream.clock import WALL_CLOCK, Clock
from stream.errors import Conflict, CorruptState
from stream.evaluate import ModelEvaluation
from stream.keys import PaneKey
from stream.messages import Message, Notice
from stream.metrics import Metrics
from stream.panes import Pane
from stream.records import WindowRecord
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.sinks import OutboxDrain, Sink
from stream.store import ModelStore
from stream.watermarks import GlobalWatermark, WatermarkTracker
from stream.windows import OpenWindows

log = logging.getLogger(__name__)
WINDOWS_PER_COMMIT = 64
GAP_PANES = 16  # how far back a pane is looked for whose notice is late


@dataclass(frozen=True, kw_only=True)
class EvaluatorSpec:
    """Topics the evaluator reads the clocks of (by source) and writes to."""

    sources: Mapping[str, str]
    metrics_topic: str
    alerts: AlertRoute


@dataclass
class _Held:
    """One owned model: its evaluation, the windows that wait, the panes not retired."""

    plan: ModelPlan
    evaluation: ModelEvaluation
    revision: int
    drain: OutboxDrain
    open: dict[SeriesKey, OpenWindows] = field(default_factory=dict)
    restate: dict[SeriesKey, set[int]] = field(default_factory=dict)
    panes: dict[SeriesKey, set[int]] = field(default_factory=dict)
    trimmed_to: int | None = None


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
        self._held: dict[str, _Held] = {}
        self._trackers = {source: WatermarkTracker() for source in spec.sources}
        self._partitions: dict[str, int] = {}

    # ---- ownership

    def own(self, models: Iterable[str]) -> None:
        """Take up exactly these models: load the state and open windows of new ones, drop the others."""
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

    def _load(self, model: str) -> _Held:
        plan = self.plans[model]
        revision, stored = self._store.load_model(model)
        evaluation = ModelEvaluation(plan)
        if stored is not None:
            try:
                evaluation = ModelEvaluation.from_bytes(stored, plan)
            except CorruptState as exc:
                log.error('state quarantined, the monitor starts anew model="%s" reason="%s"', model, exc)
        held = _Held(plan, evaluation, revision, OutboxDrain(self._sink))
        held.open = {key: OpenWindows(plan.windows) for key in plan.references}
        held.restate = {key: set() for key in plan.references}
        held.panes = {key: set() for key in plan.references}
        held.drain.send(self._store.outbox(model))
        self._held[model] = held
        return held

    def _discover(self, models: Sequence[str]) -> None:
        """Open the windows of every pane on the index: what a former owner had not evaluated yet."""
        for source in self.spec.sources:
            partitions = self._partitions_of(source)
            if not models:
                continue
            for key in self._store.open_panes(self.spec.sources[source], partitions):
                if key.model in models:
                    self._open(self._held[key.model], source, key)

    def _partitions_of(self, source: str) -> int:
        known = self._store.partitions(self.spec.sources[source]) or 0
        self._partitions[source] = known
        return known

    # ---- notices

    def take(self, notice: Notice) -> None:
        """New counts: open their windows, or mark them to be restated."""
        held = self._held.get(notice.model)
        source = next((s for s, topic in self.spec.sources.items() if topic == notice.topic), None)
        if held is None or source is None:
            return
        for key in notice.pane_keys():
            self._open(held, source, key)

    def _open(self, held: _Held, source: str, pane: PaneKey) -> None:
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

    def look(self) -> int:
        """Evaluate what has closed; the number of windows evaluated."""
        evaluated = 0
        watermarks = {source: self._watermark(source) for source in self.spec.sources}
        for model in sorted(self._held):
            try:
                evaluated += self._look_at(self._held[model], watermarks)
            except Conflict as exc:
                log.warning('another evaluator was first, reloading reason="%s"', exc)
                self._reload(model)
            except Exception:
                self._reload(model)
                raise
        self.publish()
        return evaluated

    def _reload(self, model: str) -> None:
        self._held.pop(model, None)
        self._load(model)
        self._discover([model])

    def _watermark(self, source: str) -> GlobalWatermark:
        partitions = self._partitions_of(source)
        return self._trackers[source].observe(
            self._store.clocks(self.spec.sources[source], partitions),
            monotonic_ms=self._clock.monotonic_ms(),
            now_ms=self._clock.now_ms(),
        )

    def _look_at(self, held: _Held, watermarks: Mapping[str, GlobalWatermark]) -> int:
        evaluated = 0
        for key in held.plan.references:
            watermark = watermarks[key.source]
            while ends := held.open[key].closed_by(watermark.ms)[:WINDOWS_PER_COMMIT]:
                if self._fill_gap(held, key, ends[0]):
                    continue
                self._evaluate(held, key, ends, watermark)
                evaluated += len(ends)
            self._restate(held, key)
            self._retire(held, key, watermark.ms)
        return evaluated

    def _fill_gap(self, held: _Held, key: SeriesKey, end_ms: int) -> bool:
        """Look for panes between the last evaluated window and this one whose notice is still under way.

        Clocks are read at once, notices travel through Kafka: without this look a sparse pane could be heard
        of after its window's turn. True when one was found.
        """
        slide, newest = held.plan.windows.slide_ms, end_ms - held.plan.windows.slide_ms
        since = max(held.evaluation.last_end_ms(key), newest - GAP_PANES * slide)
        starts = [start for start in range(since, newest, slide) if start not in held.panes[key]]
        found = [start for start, counts in self._pane_counts(held, key, starts).items() if counts.n]
        for start in found:
            self._open(held, key.source, self._pane_key(held, key, start))
        return bool(found)

    def _evaluate(self, held: _Held, key: SeriesKey, ends: Sequence[int], watermark: GlobalWatermark) -> None:
        started = time.perf_counter()
        merged = self._merged(held, key, ends)
        records: list[WindowRecord] = []
        alerts: list[Alert] = []
        for end_ms in ends:
            window = _window(held.plan, key, end_ms, merged, watermark)
            record, caused = held.evaluation.evaluate(key, window)
            records.append(record)
            alerts += caused
        self._commit(held, records, alerts)
        held.open[key].discard(ends)
        seconds = (time.perf_counter() - started) / len(ends)
        now_ms = self._clock.now_ms()
        for end_ms in ends:
            delay_ms = now_ms - held.plan.windows.closes_at(end_ms)
            self._metrics.evaluated(seconds=seconds, close_delay_seconds=delay_ms / 1000)

    def _restate(self, held: _Held, key: SeriesKey) -> None:
        ends = sorted(held.restate[key])[:WINDOWS_PER_COMMIT]
        if not ends:
            return
        merged = self._merged(held, key, ends)
        windows = [_window(held.plan, key, end_ms, merged, None) for end_ms in ends]
        records = [record for window in windows if (record := held.evaluation.restate(key, window))]
        if records:
            self._commit(held, records, [])
        held.restate[key].difference_update(ends)

    def _merged(self, held: _Held, key: SeriesKey, ends: Sequence[int]) -> dict[int, Counts]:
        """Counts of every pane of the windows."""
        starts = {start for end in ends for start in held.plan.windows.panes_of_window(end)}
        return self._pane_counts(held, key, sorted(starts))

    def _pane_key(self, held: _Held, key: SeriesKey, start_ms: int) -> PaneKey:
        return PaneKey(held.plan.model, key.version, start_ms, held.plan.references[key].fingerprint)

    def _pane_counts(self, held: _Held, key: SeriesKey, starts: Sequence[int]) -> dict[int, Counts]:
        """Counts of panes, merged over the partitions."""
        if not starts:
            return {}
        reference = held.plan.references[key]
        keys = [self._pane_key(held, key, start) for start in starts]
        topic, partitions = self.spec.sources[key.source], self._partitions[key.source]
        panes = self._store.read_panes(topic, partitions, keys)
        return {pane.start_ms: _merge(panes[pane], Counts.empty(reference.binning)) for pane in keys}

    def _commit(self, held: _Held, records: Sequence[WindowRecord], alerts: Sequence[Alert]) -> None:
        messages = [record.to_message(self.spec.metrics_topic) for record in records]
        messages += [alert.to_message(self.spec.alerts) for alert in alerts]
        first = held.evaluation.sequence + 1
        held.evaluation.sequence += len(messages)
        numbered: list[tuple[int, Message]] = [(first + i, message) for i, message in enumerate(messages)]
        held.revision = self._store.decide(
            held.plan.model, held.revision, held.evaluation.to_bytes(), numbered
        )
        held.drain.send(numbered)
        for record in records:
            self._metrics.observe_window(record.to_dict())
        for alert in alerts:
            self._metrics.alert(alert.kind, alert.status)
        firing = Counter((each.kind, each.severity) for _, each in held.evaluation.open_incidents())
        self._metrics.incidents(held.plan.model, firing)

    def _retire(self, held: _Held, key: SeriesKey, watermark_ms: int | None) -> None:
        """Panes whose windows can no longer be restated expire."""
        if watermark_ms is None:
            return
        horizon = held.plan.restate_ms
        old = {s for s in held.panes[key] if held.plan.windows.too_late_at(s, horizon) <= watermark_ms}
        if not old:
            return
        keys = [self._pane_key(held, key, start) for start in sorted(old)]
        self._store.retire_panes(self.spec.sources[key.source], self._partitions[key.source], keys)
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
                self._store.trim_outbox(model, held.drain.delivered_to)
                held.trimmed_to = held.drain.delivered_to
        self._metrics.outbox("models", waiting)
        return waiting


def _merge(panes: Iterable[Pane], empty: Counts) -> Counts:
    for pane in panes:
        empty.merge(pane.counts)
    return empty


def _window(
    plan: ModelPlan,
    key: SeriesKey,
    end_ms: int,
    merged: Mapping[int, Counts],
    watermark: GlobalWatermark | None,
) -> ClosedWindow:
    starts = plan.windows.panes_of_window(end_ms)
    whole = Counts.empty(plan.references[key].binning)
    for start in starts:
        whole.merge(merged[start])
    data_ms = None if watermark is None else watermark.data_ms
    idle = watermark is not None and (data_ms is None or plan.windows.closes_at(end_ms) > data_ms)
    return ClosedWindow(
        end_ms=end_ms, newest=merged[starts[-1]], whole=whole, closed_by="idle" if idle else "watermark"
    )
