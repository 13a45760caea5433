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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from stream.ahead import MOST_WASTED, is_due, is_sound, soon
from stream.alerts import AlertRoute
from stream.clock import WALL_CLOCK, Clock
from stream.crash_points import reached
from stream.due import NEVER_MS, WINDOWS_PER_TURN, due, over, to_fold, until_close
from stream.held_model import HeldModel
from stream.keys import PaneKey
from stream.label_reads import MODELS_PER_FOLD, LabelReads
from stream.messages import Notice
from stream.metrics import Metrics
from stream.model_commits import ModelCommits
from stream.pane_reader import PaneReader
from stream.series import INFERENCE, LABELS, ModelPlan, SeriesKey
from stream.sinks import Sink
from stream.source_watermarks import SourceWatermarks
from stream.store import ModelStore
from stream.turn import Turn, batched, grouped
from stream.watermarks import GlobalWatermark, slower

log = logging.getLogger(__name__)
WINDOWS_PER_GROUP, PANES_PER_GROUP = 64, 1_024
MODELS_PER_READ = MODELS_PER_COMMIT = 64
MODELS_AHEAD = 16
LOOK_MS, SHORT_LOOK_MS, STILL_MS = 250, 20, 2_000
CLOSING_MS = 500
"""A window that closes so soon shall find a free evaluator: until then it only looks at the clocks."""
BY_EVENTS_MS = 1 << 62
"""The watermark of windows that are evaluated ahead: only one that events have carried commits them."""


@dataclass(frozen=True, kw_only=True)
class EvaluatorSpec:
    """Topics the evaluator reads the clocks of (by source) and writes to; how long it waits for what.

    Parameters
    ----------
    out_of_orderness_ms
        How long after the end of a window its events may come without being late.
    fold_every_ms
        How often at most the labels of a model are looked at while no window of it is due, and panes that
        are over; 0 = always.
    """

    sources: Mapping[str, str]
    metrics_topic: str
    alerts: AlertRoute
    out_of_orderness_ms: int = 0
    fold_every_ms: int = 0


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
        self._commits = ModelCommits(
            spec.metrics_topic, spec.alerts, store=store, sink=sink, metrics=metrics, clock=clock
        )
        self._held: dict[str, HeldModel] = {}
        self._owned: set[str] = set()
        self._looked_ms = self._retired_ms = 0
        self._replacement: Mapping[str, ModelPlan] | None = None
        self._panes = PaneReader(store, spec.sources)
        self._clocks = SourceWatermarks(store, self._panes, spec.sources, clock=clock)
        self._labels = LabelReads(store.joins)

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
        self._owned = set(models) & self.plans.keys()
        for model in self._held.keys() - self._owned:
            del self._held[model]
            self._metrics.released(model)
        self._load_missing()

    def forget(self) -> None:
        """Drop everything held: the store did not answer, and what it committed must be read again."""
        self._held.clear()
        self._panes.forget()
        self._clocks.forget()

    def _load_missing(self) -> None:
        """Read what is stored of owned models, and open windows that a former owner had not evaluated yet.

        Always before the clocks that they are judged by: where the store is emptied in between, the clocks of
        before never meet models of after, whose events have to be counted again first.
        """
        new = self._owned - self._held.keys()
        for some in batched(sorted(new), MODELS_PER_READ):
            for model, stored in self._store.load_models(some).items():
                self._held[model] = HeldModel.of(self.plans[model], stored, self._store.joins, self._sink)
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

        ``beat`` is called once a group of models: a long look is not a stuck one. When a window is about to
        close, nothing is done but to wait for it.
        """
        started_ms = self._clock.monotonic_ms()
        self._load_missing()
        now = self._watermarks()
        if 0 < self._until_close() <= CLOSING_MS:
            return 0
        try:
            evaluated = self._commit_ahead(now)
            for group in grouped(self._due(now), windows=WINDOWS_PER_GROUP, panes=PANES_PER_GROUP):
                beat()
                evaluated += self._run(group, now)
        except Exception:
            self._held.clear()  # some are half evaluated: whoever owns them next reads what was committed
            raise
        self._retire(now)
        self._commits.publish(self._held.values())
        if not evaluated:
            self._looked_ms = self._clock.monotonic_ms() - started_ms
        return evaluated

    def next_look_ms(self) -> int:
        """How long the next look may wait: shortly, while events move a watermark towards a close.

        Looks take a fifth of the time at most.
        """
        if self._until_close() <= CLOSING_MS:
            return min(LOOK_MS, max(SHORT_LOOK_MS, 4 * self._looked_ms))
        return LOOK_MS

    def _until_close(self) -> int:
        """By how many ms a watermark has to move until a window closes, while events move it."""
        seen = self._clocks.seen
        is_moving = self._clock.monotonic_ms() - self._clocks.moved_ms < STILL_MS
        return until_close(self._held.values(), seen) if is_moving and seen else NEVER_MS

    def look_ahead(self) -> int:
        """Evaluate some of the windows that close soon (:mod:`stream.ahead`), while none is due; how many.

        One at a time when a close is near, so that it does not wait for this.
        """
        wait_ms, models, seen = self.spec.out_of_orderness_ms, len(self._held), self._clocks.seen
        turns = (soon(held, seen, out_of_orderness_ms=wait_ms, models=models) for held in self._held.values())
        limit = MODELS_AHEAD if self._until_close() > CLOSING_MS else 1
        group = list(islice((turn for turn in turns if turn is not None), limit))
        try:
            with self._labels.of_windows(group, None):
                self._evaluate(group, seen, dict.fromkeys(seen, BY_EVENTS_MS))
            self._commits.prepare(group)
        except Exception:
            self._held.clear()
            raise
        for turn in group:
            turn.held.ahead = turn
        return len(group)

    def _watermarks(self) -> Mapping[str, GlobalWatermark]:
        if not self._clocks.look():
            log.warning("the store has lost commits, every model is read again")
            self.forget()
            self._load_missing()
            self._clocks.look()
        return self._clocks.seen

    def _commit_ahead(self, now: Mapping[str, GlobalWatermark]) -> int:
        """Commit the windows evaluated ahead that have closed; how many. Those that changed are let go of."""
        ahead = [held.ahead for held in self._held.values() if held.ahead is not None]
        closed = sorted((turn for turn in ahead if is_due(turn, now)), key=lambda turn: not turn.has_alerts)
        committed: list[Turn] = []
        for some in batched(closed, MODELS_PER_COMMIT):
            sound = [turn for turn in some if is_sound(turn, now)]
            same = self._panes.unchanged([turn.read for turn in sound])
            kept = [turn for turn, is_same in zip(sound, same, strict=True) if is_same]
            self._commit(kept)
            committed += kept
        for turn in committed:  # whoever waits for an alert has it
            self._panes.confirm(turn.read)
            turn.held.wasted = max(0, turn.held.wasted - 1)
        for some in batched([turn for turn in closed if self._is_ahead(turn)], MODELS_PER_READ):
            self._rewind(some)
        return sum(turn.windows for turn in committed)

    def _is_ahead(self, turn: Turn) -> bool:
        return self._held.get(turn.model) is turn.held and turn.held.ahead is turn

    def _rewind(self, turns: Sequence[Turn]) -> None:
        """Let go of what was evaluated ahead: the evaluation is again the one that was committed last."""
        stored = self._store.load_models([turn.model for turn in turns]) if turns else {}
        for turn in turns:
            self._panes.drop(turn.read)
            turn.held.wasted = min(MOST_WASTED, turn.held.wasted + 1)
            if not turn.held.rewind(stored[turn.model]):
                del self._held[turn.model]

    def _due(self, now: Mapping[str, GlobalWatermark]) -> list[Turn]:
        turns, labelled = due(self._held.values(), now)
        now_ms, every_ms = self._clock.monotonic_ms(), self.spec.fold_every_ms
        return turns + to_fold(labelled, now_ms=now_ms, every_ms=every_ms)

    def _run(self, group: Sequence[Turn], now: Mapping[str, GlobalWatermark]) -> int:
        """Evaluate and commit a group; how many windows were evaluated, judged or stated with labels."""
        labels = None if LABELS not in now else slower(now[INFERENCE], now[LABELS])
        done = self._fold(group, None if labels is None else labels.ms)
        group = [turn for turn in group if self._held.get(turn.model) is turn.held]
        with self._labels.of_windows(group, None if labels is None else labels.ms):
            self._evaluate(group, now, {source: each.data_ms for source, each in now.items()})
            for turn in group:
                done += turn.windows + turn.finish(labels, WINDOWS_PER_TURN)
        self._commit([turn for turn in group if turn.changed])
        return done

    def _fold(self, group: Sequence[Turn], labels_ms: int | None) -> int:
        """Fold labels that were joined since, and state their windows again; the number of windows stated."""
        labelled = [turn.held for turn in group if turn.held.labels is not None]
        stated = 0
        for some in batched(labelled, MODELS_PER_FOLD):
            for held in some:
                held.folded_ms = self._clock.monotonic_ms()
            turns, of_some = self._labels.folded(some, labels_ms)
            self._commit(turns)
            stated += of_some
        return stated

    def _evaluate(
        self,
        group: Sequence[Turn],
        now: Mapping[str, GlobalWatermark],
        data_ms: Mapping[str, int | None],
    ) -> None:
        """Steps 1 and 2: read the panes of a group of models, evaluate their windows."""
        closed_ms = {source: each.ms for source, each in now.items()}
        self._fill_gaps(group, closed_ms)
        reached("read.before")
        self._panes.read([request for turn in group for request in turn.needs()], closed_ms)
        reached("read.after")
        reached("verdicts.before")
        for turn in group:
            started = time.perf_counter()
            turn.evaluate(data_ms)
            turn.seconds = time.perf_counter() - started
        reached("verdicts.after")

    def _fill_gaps(self, group: Sequence[Turn], closed_ms: Mapping[str, int | None]) -> None:
        """Look for panes before and between closed windows whose notice is still under way.

        Clocks are read at once, notices travel through Kafka: without this look a sparse pane could be heard
        of after its window's turn.
        """
        gaps = [(turn, request) for turn in group for request in turn.gaps()]
        self._panes.read([request for _, request in gaps], closed_ms)
        for turn, request in gaps:
            turn.take_gap(request, WINDOWS_PER_TURN)

    def _commit(self, turns: Sequence[Turn]) -> None:
        """Commit turns; models whose commits are refused are read again at the next look."""
        for model in self._commits.commit(turns):
            del self._held[model]

    def _retire(self, now: Mapping[str, GlobalWatermark]) -> None:
        """Panes that are over expire."""
        if self._clock.monotonic_ms() < self._retired_ms + self.spec.fold_every_ms:
            return
        self._retired_ms = self._clock.monotonic_ms()
        self._panes.retire(over(self._held.values(), now))

    def close(self) -> None:
        """Wait for the messages under way; what is not acknowledged stays in its outbox."""
        self._commits.close(self._held.values())
