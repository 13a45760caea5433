"""The step of a worker that learns references: looks which are due, reads their events again, stores them.

Every worker looks once a second; a lease in Redis lets one of them learn a model. The events come from
Kafka itself, read by a consumer of its own, so nothing is kept of the events that warm a model up. Whatever
crashes, the next owner of the lease starts anew from the stored sightings, and who finishes first has said
it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from stream.learning.building import LearnSpec, NotEnough, learn
from stream.learning.due import DueVersions, name_of, origin, span_of
from stream.learning.kafka_range import RangeReader
from stream.learning.sample import EventSample
from stream.learning.sightings import LearningMetrics
from stream.learning.spans import read_range
from stream.learning.store import Learned, LearningStore, Sighting
from stream.pane_reader import PaneReader
from stream.plans import INFERENCE, ReferencesByVersion, learning_models, limits_of
from stream.settings.configuration import Settings
from stream.watermarks import WatermarkTracker

log = logging.getLogger(__name__)
LEASE_MS = 30_000
MODELS_AT_ONCE = 4
LEAST_SLICES = 20
"""A reference needs as many events as so many slices of ``min_samples``."""
MOST_SPANS = 10
"""A version with too few events for so long is forgotten, and learned from when it is seen again."""
STRAYS = 0.01
"""Share of the events that may lie far before the others: a few old ones that were sent again."""
LATE_START = 0.25
"""Of the time: a version with next to no events in its first quarter is learned from when they begin."""
MOST_REFERENCES = 20
"""Versions of a model that are kept; the one seen first goes."""

_Sightings = Mapping[str, list[Sighting]]


class Learner:
    """Learns references of the models that declare ``learn``. One thread may call it.

    Parameters
    ----------
    name
        Of this worker, for the lease.
    take_up
        Called with all learned references when one of them is new, the newest version of a model last.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        store: LearningStore,
        clocks: PaneReader,
        metrics: LearningMetrics,
        take_up: Callable[[ReferencesByVersion], None],
    ) -> None:
        self.specs = {model: settings.model_spec(model) for model in sorted(learning_models(settings))}
        self._settings = settings
        self._name = name
        self._store = store
        self._clocks = clocks
        self._metrics = metrics
        self._take_up = take_up
        self._tracker = WatermarkTracker()
        self._revisions = dict.fromkeys(self.specs, 0)
        self._learned: dict[str, list[Learned]] = {model: [] for model in self.specs}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask a reading under way to end."""
        self._stopping.set()

    # ---- taking up

    def refresh(self) -> bool:
        """Read the references that are new in Redis; whether there were any."""
        revisions = self._store.revisions(self.specs)
        changed = [model for model, revision in revisions.items() if revision != self._revisions[model]]
        for model in changed:
            if revisions[model] < self._revisions[model]:
                self._restore(model)
            self._learned[model] = self._store.references(model)
            self._revisions[model] = self._store.revisions([model])[model]
        return bool(changed)

    def _restore(self, model: str) -> None:
        """Redis has lost references that we hold: store them again, so that bins and baselines stay."""
        log.warning('the store has lost learned references, they are stored again model="%s"', model)
        for each in self._learned[model]:
            self._store.publish(model, each, Sighting(version=each.version, first_ms=each.first_ms))

    def references(self) -> ReferencesByVersion:
        """All learned references, the newest version of a model last."""
        return {
            (model, each.version): each.reference for model, held in self._learned.items() for each in held
        }

    # ---- learning

    def turn(self) -> None:
        """Take up what is new, and learn what is due.

        Raises
        ------
        redis.RedisError, DependencyError
            Redis or Kafka does not answer: the next turn tries again.
        """
        if self.refresh():
            self._take_up(self.references())
        pending = self._pending()
        self._show(pending)
        due = self._due(pending)
        mine = {model: due[model] for model in due if self._lease(model)}
        try:
            if mine:
                self._learn(DueVersions(self.specs, mine))
        finally:
            for model in mine:
                self._store.release(model, self._name)
        if mine and self.refresh():
            self._take_up(self.references())

    def _pending(self) -> dict[str, list[Sighting]]:
        """Versions without a reference; what another worker had seen of one that is learned now goes."""
        pending = self._store.sightings(self.specs)
        for model, sightings in pending.items():
            known = {each.version for each in self._learned[model]}
            for each in sightings:
                if name_of(each) in known:
                    self._store.forget(model, each)
            pending[model] = [each for each in sightings if name_of(each) not in known]
        return pending

    def _show(self, pending: _Sightings) -> None:
        for model, sightings in pending.items():
            states = Counter(each.reason or "warming_up" for each in sightings)
            if not sightings and not self._learned[model]:
                states["no_events"] = 1
            self._metrics.learning(model, states)

    def _due(self, pending: _Sightings) -> dict[str, list[Sighting]]:
        """Versions whose time has passed on the clock of all partitions; of a few models at a time."""
        if not any(pending.values()):
            return {}
        passed_ms = self._passed_ms()
        if passed_ms is None:
            return {}
        due: dict[str, list[Sighting]] = {}
        for model, sightings in pending.items():
            ended = [each for each in sightings if span_of(self.specs[model], each).end_ms <= passed_ms]
            if ended and len(due) < MODELS_AT_ONCE:
                due[model] = ended
        return due

    def _passed_ms(self) -> int | None:
        """The event time that all partitions have passed; idle ones wait for the others, not for a clock."""
        clocks = self._clocks.clocks(INFERENCE)
        if self._tracker.went_back(clocks):
            self._tracker = WatermarkTracker()
        watermark = self._tracker.observe(
            clocks, monotonic_ms=time.monotonic_ns() // 1_000_000, now_ms=time.time_ns() // 1_000_000
        )
        newest = max((c.watermark_ms for c in clocks.values() if c.watermark_ms is not None), default=None)
        return None if watermark.ms is None or newest is None else min(watermark.ms, newest)

    def _lease(self, model: str) -> bool:
        return self._store.lease(model, self._name, ttl_ms=LEASE_MS)

    def _renew(self, models: Iterable[str]) -> None:
        for model in models:
            self._lease(model)

    def _learn(self, due: DueVersions) -> None:
        started, topic = time.monotonic(), self._settings.topics.inference
        harvest = due.harvest(limits_of(self._settings))
        with RangeReader(self._settings) as reader:
            bounds = reader.bounds(topic)
            stretches = due.stretches(bounds, self._store.offsets(topic, [at.partition for at in bounds]))
            labels = read_range(
                self._settings,
                reader,
                stretches,
                harvest,
                since_ms=due.oldest_ms,
                unless=self._stopping.is_set,
                beat=lambda: self._renew(due.sightings),
            )
        if self._stopping.is_set():
            return
        seconds = time.monotonic() - started
        log.info('read again to learn models="%s" seconds="%.1f"', ",".join(due.sightings), seconds)
        lost = due.lost(stretches)
        for model, each in due:
            sample = harvest.samples.get((model, each.version))
            self._conclude(model, each, sample, labels.get(model), lost=lost)
            self._renew(due.sightings)

    def _conclude(
        self,
        model: str,
        sighting: Sighting,
        sample: EventSample | None,
        labels: dict[str, object] | None,
        *,
        lost: bool,
    ) -> None:
        spec = self.specs[model]
        least = LEAST_SLICES * spec.min_samples
        caveats = [origin(spec, sighting)]
        caveats += ["the oldest events had left the topic before they could be read"] if lost else []
        wanted = LearnSpec(
            model=model,
            version=sighting.version,
            least_rows=least,
            most_features=self._settings.limits.features,
            categorical=spec.categorical,
            privacy=self._settings.privacy.field_privacy,
            caveats=caveats,
        )
        if sample is not None and self._starts_late(model, sighting, sample):
            return
        try:
            if sample is None:
                raise NotEnough("too_few_rows", f"no events, at least {least} are needed")
            reference = learn(sample, wanted, labels)
        except NotEnough as exc:
            self._postpone(model, sighting, exc)
            return
        learned = Learned(name_of(sighting), sighting.first_ms, reference)
        if self._store.publish(model, learned, sighting):
            log.info(
                'reference learned model="%s" version="%s" rows="%s" columns="%s" fingerprint="%s"',
                model, learned.version, reference.counts.n, len(reference.names), reference.fingerprint,
            )  # fmt: skip
            held = self._store.references(model)
            for each in held[: max(len(held) - MOST_REFERENCES, 0)]:
                self._store.drop(model, each.version)

    def _starts_late(self, model: str, sighting: Sighting, sample: EventSample) -> bool:
        """Learn from later on where nearly all events came late: else the time would hold little of them."""
        start_ms, span = sample.start_ms(STRAYS), span_of(self.specs[model], sighting)
        if start_ms <= span.start_ms + LATE_START * (span.end_ms - span.start_ms):
            return False
        log.info(
            'warm-up begins later model="%s" version="%s" from_ms="%s"', model, sighting.version, start_ms
        )
        self._store.begin_at(model, sighting.version, first_ms=start_ms, reason="late_start")
        return True

    def _postpone(self, model: str, sighting: Sighting, reason: NotEnough) -> None:
        log.warning(
            'still warming up model="%s" version="%s" reason="%s" spans="%s"',
            model, sighting.version, reason, sighting.spans,
        )  # fmt: skip
        if sighting.spans >= MOST_SPANS:
            self._store.forget(model, sighting)
            return
        self._store.postpone(model, sighting.version, spans=sighting.spans + 1, reason=reason.reason)
