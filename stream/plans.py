"""From settings and references to what each stage works with: windows, plans and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from detectors import Reference
from stream.codec import Declared, Decoder, JsonInferenceDecoder, JsonLabelDecoder, Limits
from stream.codec.private import PrivateInferenceDecoder
from stream.counting import BatchCounter
from stream.flood import FloodPolicy
from stream.incidents import IncidentPolicy
from stream.ingest import IngestSpec, Source
from stream.outcomes.intake import JoinedModel
from stream.outcomes.plans import declared, label_rules, outcome_intake
from stream.series import ModelPlan, SeriesKey
from stream.settings.configuration import Settings
from stream.windows import WindowSpec

INFERENCE, LABELS = "inference", "labels"
ReferencesByVersion = Mapping[tuple[str, str], Reference]


def windows_of(settings: Settings) -> dict[str, WindowSpec]:
    """Window specs by model."""
    specs = {name: settings.model_spec(name) for name in settings.models}
    return {
        name: WindowSpec(size_ms=spec.window_ms, slide_ms=spec.slide_ms, grace_ms=spec.grace_ms)
        for name, spec in specs.items()
    }


def topics_by_source(settings: Settings) -> dict[str, str]:
    """Input topics by what they carry."""
    topics = {INFERENCE: settings.topics.inference}
    return topics if settings.topics.labels is None else {**topics, LABELS: settings.topics.labels}


def model_plans(settings: Settings, references: ReferencesByVersion) -> dict[str, ModelPlan]:
    """What every configured model is compared with, by name."""
    windows = windows_of(settings)
    policy = IncidentPolicy(
        resolve_after=settings.alerts.resolve_after, renotify_ms=settings.alerts.renotify_ms
    )
    plans, rules = {}, label_rules(settings, references)
    for model in settings.models:
        spec = settings.model_spec(model)
        plans[model] = ModelPlan(
            model=model,
            windows=windows[model],
            references=series_references(model, references, list(topics_by_source(settings))),
            min_samples=spec.min_samples,
            min_effect=spec.min_effect,
            min_effects=spec.min_effects,
            arl=spec.arl,
            compare_with=spec.compare_with,
            labels=rules.get(model),
            restate_ms=settings.time.restate_for_ms,
            incidents=policy,
        )
    return plans


def series_references(
    model: str, references: ReferencesByVersion, sources: list[str]
) -> dict[SeriesKey, Reference]:
    """The references of a model by series, each restricted to the columns of its source."""
    return {
        SeriesKey(source, version): restricted
        for source in sources
        for (name, version), reference in references.items()
        if name == model and (restricted := reference.for_source(source)) is not None
    }


def sources_of(
    settings: Settings, references: ReferencesByVersion, joined: Mapping[str, JoinedModel]
) -> list[Source]:
    """Every input topic with its decoder and counter; the models in ``joined`` number their strata."""
    limits, attributes = limits_of(settings), declared(settings, references)
    outcomes = outcome_intake(settings, references, joined)
    privacy = settings.privacy.field_privacy
    privacy.require(references)
    decoders: dict[str, Callable[[ReferencesByVersion, Limits, Mapping[str, Declared]], Decoder]] = {
        INFERENCE: partial(JsonInferenceDecoder, engine=settings.ingest.decoder),
        LABELS: partial(JsonLabelDecoder, engine=settings.ingest.decoder),
    }
    if privacy.needs_values(references.values()):
        decoders[INFERENCE] = partial(
            PrivateInferenceDecoder, privacy=privacy, engine=settings.ingest.decoder
        )
    return [
        Source(
            topic,
            decoders[source](references, limits, attributes),
            BatchCounter(
                counted_references(references, source),
                windows_of(settings),
                settings.time.restate_for_ms,
                outcomes=outcomes,
                learning=learning_models(settings),
            ),
        )
        for source, topic in topics_by_source(settings).items()
    ]


def limits_of(settings: Settings) -> Limits:
    """Bounds on one record."""
    limits = settings.limits
    return Limits(
        record_bytes=limits.record_bytes,
        features=limits.features,
        string_bytes=limits.string_bytes,
        depth=limits.depth,
    )


def learning_models(settings: Settings) -> frozenset[str]:
    """Models that learn their references from the stream."""
    return frozenset(name for name in settings.models if settings.model_spec(name).learn_ms is not None)


def counted_references(references: ReferencesByVersion, source: str) -> dict[tuple[str, str], Reference]:
    """References restricted to the columns of ``source``, ready to count; those without any are left out."""
    found = {
        key: restricted
        for key, reference in references.items()
        if (restricted := reference.for_source(source)) is not None
    }
    for restricted in found.values():
        restricted.prepare_to_count()
    return found


def flood_policy(settings: Settings) -> FloodPolicy:
    """When rejected records are a flood, and what then."""
    errors = settings.errors
    return FloodPolicy(
        share=errors.flood_share,
        records=errors.flood_records,
        within_ms=errors.flood_within_ms,
        probe_every_ms=errors.probe_every_ms,
        probe_records=errors.probe_records,
        pauses=errors.tolerance == "breaker",
    )


def ingest_spec(settings: Settings) -> IngestSpec:
    """Limits and intervals of the ingest loop."""
    return IngestSpec(
        batch=settings.ingest.batch,
        flush_interval_ms=settings.ingest.flush_interval_ms,
        flush_events=settings.ingest.flush_events,
        out_of_orderness_ms=settings.time.out_of_orderness_ms,
        max_future_skew_ms=settings.time.max_future_skew_ms,
        idle_after_ms=settings.time.idle_after_ms,
        dlq_suffix=settings.topics.dlq_suffix,
        whole_letters=settings.errors.letters == "whole",
    )
