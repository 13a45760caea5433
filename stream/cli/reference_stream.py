"""References made of events on Kafka: built from a range of event time, or learned by the workers."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream.errors import ConfigError, DependencyError
from stream.learning.sample import Span
from stream.row_events import parse_time, rfc3339
from stream.settings.configuration import DEFAULT_SLIDE_MS
from stream.settings.tree import did_you_mean
from stream.settings.units import parse_duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from detectors import Reference
    from stream.learning.sample import EventSample, Harvest
    from stream.learning.store import LearningStore, Sighting
    from stream.settings.configuration import Settings

EVER_MS = 2**53
"""Later than any event."""


def span_of(start: str | None, end: str | None, last: str | None) -> Span:
    """Return the event times that the options ask for; without any, all that Kafka holds.

    Raises
    ------
    ConfigError
        A time or a length cannot be read, the range is empty, or it is given twice.
    """
    if last is not None:
        if start is not None or end is not None:
            raise ConfigError(f"--last {last} and --from or --to both say which events: give one of them")
        now_ms = time.time_ns() // 1_000_000
        try:
            return Span(max(0, now_ms - parse_duration_ms(last)), EVER_MS)
        except ValueError as exc:
            raise ConfigError(f"--last {last!r} {exc}") from exc
    span = Span(
        0 if start is None else parse_time(start, "--from"),
        EVER_MS if end is None else parse_time(end, "--to"),
    )
    if span.start_ms >= span.end_ms:
        raise ConfigError(f"--to {end} is not later than --from {start}: no event lies between them")
    return span


def build_from_kafka(
    settings: Settings, model: str, version: str | None, span: Span, *, categorical: Iterable[str] = ()
) -> Reference:
    """Build a reference from the events of a model in a range of event time, as a worker learns one.

    Nothing is committed, and no consumer group is joined.

    Parameters
    ----------
    categorical
        Columns whose numbers are codes, beside those of the configuration.

    Raises
    ------
    ConfigError
        There are no such events, those of several versions, or none that a reference can be made of.
    DependencyError
        Kafka cannot be read.
    """
    from stream.learning.building import LearnSpec, NotEnough, learn
    from stream.learning.kafka_range import RangeReader
    from stream.learning.sample import Harvest
    from stream.learning.spans import read_range
    from stream.plans import limits_of

    configured = model in settings.models
    rows = settings.model_spec(model).learn_rows if configured else settings.defaults.learn_rows
    codes = settings.model_spec(model).categorical if configured else frozenset()
    harvest = Harvest(
        {model: {None: span}},
        slides_ms={model: _slide_ms(settings, model)},
        rows={model: rows},
        limits=limits_of(settings),
    )
    with RangeReader(settings) as reader:
        stretches = reader.bounds(settings.topics.inference)
        if span.start_ms:  # an event is recorded after it happens, as far as clocks agree
            stretches = reader.since(stretches, span.start_ms - settings.time.max_future_skew_ms)
        labels = read_range(settings, reader, stretches, harvest, since_ms=span.start_ms)
    sample, named = _chosen(harvest, settings, model, version)
    spec = LearnSpec(
        model=model,
        version=named,
        most_features=settings.limits.features,
        categorical=codes | set(categorical),
        privacy=settings.privacy.field_privacy,
    )
    try:
        return learn(sample, spec, labels.get(model))
    except NotEnough as exc:
        raise ConfigError(f"no reference of {model} {named}: {exc}; take a longer range") from exc


def _slide_ms(settings: Settings, model: str) -> int:
    if model in settings.models:
        return settings.model_spec(model).slide_ms
    defaults = settings.defaults
    return defaults.slide_ms or min(DEFAULT_SLIDE_MS, defaults.window_ms)


def _chosen(harvest: Harvest, settings: Settings, model: str, version: str | None) -> tuple[EventSample, str]:
    """Return the events of the version that is meant, and its name."""
    samples = {found: sample for (_, found), sample in harvest.samples.items()}
    if not samples:
        raise ConfigError(f"{settings.topics.inference} has no events of model {model!r} in this range")
    if version is None and len(samples) == 1:
        found = next(iter(samples))
        if not found:
            raise ConfigError(f"the events of {model} name no version: say which with --model-version")
        return samples[found], found
    if version is None:
        named = ", ".join(f"{found or 'no version'} ({sample.total})" for found, sample in samples.items())
        raise ConfigError(
            f"the events of {model} are of several versions: {named}; choose by --model-version"
        )
    if version in samples:
        return samples[version], version
    if "" in samples and len(samples) == 1:
        return samples[""], version
    known = did_you_mean(version, filter(None, samples))
    raise ConfigError(f"no events of {model} are of version {version!r}{known}")


def learned_versions(settings: Settings, model: str) -> dict[str, Reference]:
    """Return the references that workers have learned of a model by version, the newest last.

    Raises
    ------
    ConfigError
        The model learns none, or has none yet.
    DependencyError
        Redis cannot be reached.
    """
    spec = settings.model_spec(model)
    if spec.learn_ms is None:
        raise ConfigError(f"{settings.where('models', model)}: {model} learns no references: it names files")
    with _store(settings) as store:
        learned, waiting = store.references(model), store.sightings([model])[model]
    if not learned:
        raise ConfigError(f"{model} has no reference yet: {_progress(waiting, spec.learn_ms)}")
    return {each.version: each.reference for each in learned}


def forget_learned(settings: Settings, model: str, version: str) -> None:
    """Drop a learned reference; workers let go of it within a second.

    Raises
    ------
    DependencyError
        Redis cannot be reached.
    """
    with _store(settings) as store:
        store.drop(model, version)


@contextmanager
def _store(settings: Settings) -> Iterator[LearningStore]:
    """Open the store; what Redis raises inside becomes a DependencyError."""
    from redis.exceptions import RedisError

    from stream.learning.store import LearningStore
    from stream.preflight import read_facts, redis_client

    with redis_client(settings) as client:
        read_facts(settings, client)
        try:
            yield LearningStore(client, prefix=settings.redis.prefix)
        except RedisError as exc:
            reason = str(exc).partition("\n")[0]
            raise DependencyError(f"Redis stopped answering: {reason}; ask again when it is back") from exc


def one_of(model: str, versions: Mapping[str, Reference], version: str | None) -> Reference:
    """Return the reference of a version, the newest unless one is named."""
    if version is None:
        return list(versions.values())[-1]
    if version not in versions:
        raise ConfigError(
            f"--model-version {version!r} is not one of {model}{did_you_mean(version, versions)}"
        )
    return versions[version]


def _progress(waiting: list[Sighting], learn_ms: int) -> str:
    """Say how far a warm-up is."""
    if not waiting:
        return "no worker has seen an event of it"
    each = waiting[0]
    until = rfc3339(each.first_ms + learn_ms * each.spans)
    why = f" ({each.reason})" if each.reason else ""
    return f"it is warming up until its events reach {until}{why}"
