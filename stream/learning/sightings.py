"""What ingest tells the learners: when and where the versions without a reference were first seen.

Told before the commit of the counts, so a crash loses none; told again every few seconds, so that a Redis
which lost them hears of them again. Twice is harmless: only smaller numbers are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.counting import Delta
from stream.learning.sample import MOST_VERSIONS
from stream.learning.store import LearningStore
from stream.topic_batch import TopicBatch

REPEAT_MS = 10_000
FORGET_MS = 6 * REPEAT_MS
"""What was not seen for so long makes room for other versions: it has its reference, or sends no more."""

_Place = tuple[str, str, int]  # model, version, partition


@dataclass
class _Told:
    first_ms: int
    offset: int
    at_ms: int


class LearningMetrics:
    """What a worker shows of models that learn their references."""

    def __init__(
        self, registry: CollectorRegistry, *, models: tuple[str, ...], topics: tuple[str, ...]
    ) -> None:
        self.events_total = Counter(
            "learning_events",
            "Events of versions that are warming up: counted, not judged.",
            ("topic", "model"),
            namespace="driftstream",
            registry=registry,
        )
        self.model_learning = Gauge(
            "model_learning",
            "Versions of a model that are warming up, by why.",
            ("model", "state"),
            namespace="driftstream",
            registry=registry,
        )
        self._states: dict[str, frozenset[str]] = {}
        for model in models:
            for topic in topics:
                self.events_total.labels(topic, model)

    def learning(self, model: str, states: Mapping[str, int]) -> None:
        """Set how many versions of a model are in each state; states without any are gone."""
        for state in self._states.get(model, frozenset()) - states.keys():
            self.model_learning.remove(model, state)
        for state, versions in states.items():
            self.model_learning.labels(model, state).set(versions)
        self._states[model] = frozenset(states)


class Sightings:
    """Collects sightings of one worker and tells them to the store.

    Parameters
    ----------
    topic
        The inference topic: references are learned from it, and sightings of other topics are only counted.
    """

    def __init__(self, store: LearningStore, topic: str, metrics: LearningMetrics) -> None:
        self._store = store
        self._topic = topic
        self._metrics = metrics
        self._told: dict[_Place, _Told] = {}
        self._new: dict[_Place, tuple[int, int]] = {}

    def take(self, batch: TopicBatch, deltas: list[Delta]) -> None:
        """Take in what a batch counted of versions without a reference."""
        for owned, delta in zip(batch.owned, deltas, strict=True):
            for (model, version), seen in delta.sightings.items():
                self._metrics.events_total.labels(batch.topic, model).inc(seen.events)
                if batch.topic == self._topic:
                    offset = int(batch.offsets[seen.row])
                    self._see((model, version, owned.partition), seen.first_ms, offset)

    def _see(self, place: _Place, first_ms: int, offset: int) -> None:
        held = self._new.get(place)
        if held is not None:
            self._new[place] = (min(first_ms, held[0]), min(offset, held[1]))
        elif len(self._versions(place[0]) | {place[1]}) <= MOST_VERSIONS:
            self._new[place] = (first_ms, offset)

    def _versions(self, model: str) -> set[str]:
        return {version for name, version, _ in (*self._told, *self._new) if name == model}

    def tell(self, now_ms: int) -> None:
        """Tell what is new, or was told a while ago; ``now_ms`` by a monotonic clock.

        Raises
        ------
        redis.RedisError
            Redis does not answer: the same is told again next time.
        """
        self._told = {place: told for place, told in self._told.items() if now_ms - told.at_ms < FORGET_MS}
        due: dict[str, list[tuple[str, int, int, int]]] = {}
        for (model, version, partition), (first_ms, offset) in self._new.items():
            told = self._told.get((model, version, partition))
            if (
                told is None
                or first_ms < told.first_ms
                or offset < told.offset
                or (now_ms - told.at_ms >= REPEAT_MS)
            ):
                due.setdefault(model, []).append((version, partition, first_ms, offset))
        for model, seen in due.items():
            self._store.saw(model, seen)
            for version, partition, first_ms, offset in seen:
                self._told[model, version, partition] = _Told(first_ms, offset, now_ms)
        self._new.clear()
