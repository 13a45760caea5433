"""Versions whose time to be learned has come: which events are theirs, and where on Kafka those lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stream.codec import Limits
from stream.learning.building import UNNAMED_VERSION
from stream.learning.kafka_range import Stretch
from stream.learning.sample import Harvest, Span
from stream.learning.store import Sighting
from stream.settings.configuration import ModelSpec
from stream.settings.units import format_duration


def span_of(spec: ModelSpec, sighting: Sighting) -> Span:
    """Return the event times that a version is learned from."""
    assert spec.learn_ms is not None
    return Span(sighting.first_ms, sighting.first_ms + spec.learn_ms * sighting.spans)


def name_of(sighting: Sighting) -> str:
    """Return the version of the reference; events that name none get a name."""
    return sighting.version or UNNAMED_VERSION


def origin(spec: ModelSpec, sighting: Sighting) -> str:
    """Say from when on, and for how long, a reference was learned."""
    span = span_of(spec, sighting)
    start = datetime.fromtimestamp(span.start_ms / 1000, UTC).isoformat(timespec="seconds")
    length = format_duration(span.end_ms - span.start_ms)
    return f"learned from {length} of the live stream from {start}: what was wrong then counts as normal"


@dataclass(frozen=True)
class DueVersions:
    """Versions that are learned in one reading of the topic, by model."""

    specs: Mapping[str, ModelSpec]
    sightings: Mapping[str, Sequence[Sighting]]

    def __iter__(self) -> Iterator[tuple[str, Sighting]]:
        return ((model, each) for model, sightings in self.sightings.items() for each in sightings)

    @property
    def oldest_ms(self) -> int:
        """The first event time of all."""
        return min(each.first_ms for _, each in self)

    def first_offset(self, partition: int) -> int | None:
        """Where a partition's first event of any of them lies; None: it has had none."""
        offsets = [each.offsets.get(partition) for _, each in self]
        return min((offset for offset in offsets if offset is not None), default=None)

    def stretches(self, bounds: Iterable[Stretch], counted: Mapping[int, int]) -> list[Stretch]:
        """From where they were first seen to where the partitions are counted, as far as Kafka holds it."""
        found = []
        for each in bounds:
            first = self.first_offset(each.partition)
            if first is not None:
                end = min(each.end, counted.get(each.partition, each.end))
                found.append(Stretch(each.topic, each.partition, max(each.begin, first), end))
        return found

    def lost(self, stretches: Iterable[Stretch]) -> bool:
        """Tell whether Kafka no longer holds the first of their events."""
        firsts = [(each.begin, self.first_offset(each.partition)) for each in stretches]
        return any(first is not None and begin > first for begin, first in firsts)

    def harvest(self, limits: Limits) -> Harvest:
        """Return what collects their events."""
        specs = {model: self.specs[model] for model in self.sightings}
        return Harvest(
            {
                model: {each.version: span_of(specs[model], each) for each in sightings}
                for model, sightings in self.sightings.items()
            },
            slides_ms={model: spec.slide_ms for model, spec in specs.items()},
            rows={model: spec.learn_rows for model, spec in specs.items()},
            limits=limits,
        )
