"""Replay: the pipeline without services, for back-tests.

Decoder, counts, commits, windows, verdicts and alerts are the classes of the worker on
:class:`~stream.store_memory.MemoryStore` and :class:`~stream.sinks_memory.ListSink`: what a replay says of a
file is what a worker says of the same events on Kafka.

No clock is read, and how many records are decoded at a time changes nothing: counts are committed and looked
at exactly where the watermark passes the close of a window. The memory held is that of the windows that late
events may still restate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from detectors import Reference
from stream.alerts import AlertRoute
from stream.codec import Declared, Decoder, JsonInferenceDecoder, JsonLabelDecoder
from stream.codec.private import PrivateInferenceDecoder
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.errors import ConfigError
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.messages import Message, read_notices
from stream.metrics import Metrics
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.intake import JoinedModel, OutcomeIntake
from stream.outcomes.plans import outcome_readers, rules_of
from stream.outcomes.sending import OutcomeJoin
from stream.ownership import Start, take_over
from stream.plans import INFERENCE, LABELS, counted_references, series_references
from stream.replay_intake import ReplayIntake, ReplaySpec, Totals, commit
from stream.row_events import Record, Source
from stream.series import ModelPlan
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from stream.watermarks import BEATS_TO_SETTLE

METRICS, ALERTS, PANES = "metrics", "alerts", "panes"
"""Topics of the messages a replay gives back: window records and alerts; notices stay inside."""
_DECODERS: Mapping[str, type[JsonInferenceDecoder | JsonLabelDecoder]] = {
    INFERENCE: JsonInferenceDecoder,
    LABELS: JsonLabelDecoder,
}


@dataclass
class _EventTime:
    """The wall clock of a replay: the close of the last window, asked for once the stream has ended."""

    ms: int = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return 0


class Replay:
    """The pipeline of one model version.

    Parameters
    ----------
    reference
        Built for a named model and version.
    sources
        Which kinds of event come: ``inference``, ``labels`` or both.

    Raises
    ------
    ConfigError
        The reference names no model or version, or has no column of a source.
    """

    def __init__(
        self, spec: ReplaySpec, reference: Reference, *, sources: Iterable[Source] = ("inference",)
    ) -> None:
        if not reference.model or not reference.version:
            raise ConfigError("the reference names no model or no version: build it with both")
        self.spec = spec
        self.model, self.version = reference.model, str(reference.version)
        self._references = {(self.model, self.version): reference}
        self._store = MemoryStore()
        self._sink = ListSink()
        self._clock = _EventTime()
        self._metrics = Metrics(registry=CollectorRegistry(), models=(self.model,))
        asked = list(dict.fromkeys(sources))
        self._rules = None
        if reference.performance is not None and {INFERENCE, LABELS} <= set(asked):
            self._rules = rules_of(spec.labels, reference.performance.spec, restate_ms=spec.restate_ms)
        self._declared = Declared(
            segments=spec.segments, variants=spec.variants, answers=self._rules is not None
        )
        joined = JoinedModel(self._declared, horizon_ms=spec.labels.horizon_ms, sample=spec.labels.sample)
        self._outcomes = OutcomeIntake({self.model: joined}, self._readers())
        self._committer = Committer(
            store=self._store,
            sink=self._sink,
            metrics=self._metrics,
            windows={self.model: spec.windows},
            panes_topic=PANES,
            panes_partitions=1,
            join=OutcomeJoin(
                self._store.joins, {self.model: joined}, joined=self._metrics.performance.joined
            ),
        )
        self._intakes = {source: self._intake(source) for source in asked}
        self._evaluator = self._build_evaluator()
        self._evaluator.own([self.model])

    def _readers(self) -> dict[str, dict[str, OutcomeReader]]:
        return {} if self._rules is None else outcome_readers(self._references)

    def _intake(self, source: Source) -> ReplayIntake:
        counted = counted_references(self._references, source)
        if not counted:
            raise ConfigError(f"the reference of {self.model} {self.version} has no {source} columns")
        self._store.declare_topic(source, 1)
        counter = BatchCounter(
            counted, {self.model: self.spec.windows}, self.spec.restate_ms, outcomes=self._outcomes
        )
        claim = self._store.claim(source, 0)
        owned = take_over(claim, Start(0, 0), topic=source, partition=0, sink=self._sink)
        return ReplayIntake(self.spec, self._decoder(source), counter, owned)

    def _decoder(self, source: Source) -> Decoder:
        self.spec.privacy.require(self._references)
        parts = self._references, self.spec.limits, {self.model: self._declared}
        if source == INFERENCE and self.spec.privacy.needs_values(self._references.values()):
            return PrivateInferenceDecoder(*parts, privacy=self.spec.privacy)
        return _DECODERS[source](*parts)

    def _build_evaluator(self) -> Evaluator:
        spec = self.spec
        plan = ModelPlan(
            model=self.model,
            windows=spec.windows,
            references=series_references(self.model, self._references, list(self._intakes)),
            min_samples=spec.min_samples,
            min_effect=spec.min_effect,
            min_effects=spec.min_effects,
            arl=spec.arl,
            compare_with=spec.compare_with,
            labels=self._rules,
            restate_ms=spec.restate_ms,
            incidents=spec.incidents,
        )
        return Evaluator(
            EvaluatorSpec(
                sources={source: source for source in self._intakes},
                metrics_topic=METRICS,
                alerts=AlertRoute(ALERTS, spec.runbook_base_url),
            ),
            {self.model: plan},
            store=self._store,
            sink=self._sink,
            metrics=self._metrics,
            clock=self._clock,
        )

    @property
    def totals(self) -> Totals:
        """What became of the events so far, of all sources together."""
        total = Totals()
        for each in (intake.totals for intake in self._intakes.values()):
            total.counted += each.counted
            total.late += each.late
            total.unknown += each.unknown
            total.rejected += each.rejected
        return total

    @property
    def has_unjoined(self) -> bool:
        """Whether labels lay beyond the horizon of their prediction, or met none."""
        counts = self._store.joins.join_counts(self.model)
        return counts.after_horizon > 0 or counts.early > counts.early_joined

    def run(self, events: Iterable[tuple[Source, Record]]) -> Iterator[Message]:
        """Give back the messages of every window as soon as it closes, in the order of their commits.

        When the events end, every partition is idle, and so every window closes; labels that have not come by
        then never do. Events of a source that was
        not asked for are passed over.
        """
        for source, record in events:
            intake = self._intakes.get(source)
            if intake is None:
                continue
            if intake.add(record):
                yield from self._look()
            elif intake.is_full:
                intake.flush(self._committer)
        yield from self._look()
        yield from self._end()

    def _look(self) -> Iterator[Message]:
        for intake in self._intakes.values():
            intake.flush(self._committer)
        for message in self._sink.take():
            for notice in read_notices(message.value or b""):
                self._evaluator.take(notice)
        while True:  # one look evaluates a bounded number of windows
            evaluated = self._evaluator.look()
            messages = self._sink.take()
            yield from messages
            if not evaluated and not messages:
                return

    def _end(self) -> Iterator[Message]:
        """Every partition says that it is idle until nothing comes of it any more."""
        windows = self.spec.windows
        newest_ms = max(intake.newest_ms for intake in self._intakes.values())
        settled_ms = 0 if self._rules is None else self._rules.horizon_ms
        self._clock.ms = windows.closes_at(newest_ms + windows.size_ms + settled_ms)
        quiet = 0
        while quiet <= BEATS_TO_SETTLE:
            for intake in self._intakes.values():
                intake.owned.idle_beat += 1
                commit(self._committer, intake.owned)
            quiet += 1
            for message in self._look():
                quiet = 0
                yield message
