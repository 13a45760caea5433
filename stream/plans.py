"""From settings and references to what each stage works with: windows, plans and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from detectors import Reference
from stream.codec import Decoder, JsonInferenceDecoder, JsonLabelDecoder, Limits
from stream.counting import BatchCounter
from stream.incidents import IncidentPolicy
from stream.ingest import IngestSpec, Source
from stream.series import ModelPlan, SeriesKey
from stream.settings import Settings
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
    plans = {}
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


def sources_of(settings: Settings, references: ReferencesByVersion) -> list[Source]:
    """Every input topic with its decoder and counter."""
    limits = Limits(
        record_bytes=settings.limits.record_bytes,
        features=settings.limits.features,
        string_bytes=settings.limits.string_bytes,
        depth=settings.limits.depth,
    )
    decoders: dict[str, Callable[[ReferencesByVersion, Limits], Decoder]] = {
        INFERENCE: JsonInferenceDecoder,
        LABELS: JsonLabelDecoder,
    }
    return [
        Source(
            topic,
            decoders[source](references, limits),
            BatchCounter(
                counted_references(references, source), windows_of(settings), settings.time.restate_for_ms
            ),
        )
        for source, topic in topics_by_source(settings).items()
    ]


def counted_references(references: ReferencesByVersion, source: str) -> dict[tuple[str, str], Reference]:
    """References restricted to the columns of ``source``; those without any are left out."""
    return {
        key: restricted
        for key, reference in references.items()
        if (restricted := reference.for_source(source)) is not None
    }


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
    )
