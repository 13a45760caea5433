"""From settings and references to the join of outcomes: what is read, what is joined, how it is judged."""

from __future__ import annotations

from collections.abc import Mapping

from detectors import Reference
from detectors.performance import PerformanceSpec
from stream.codec import Declared
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.intake import JoinedModel, OutcomeIntake
from stream.outcomes.join import DEFAULT_SECRET
from stream.outcomes.records import LabelRules
from stream.settings.configuration import Settings
from stream.settings.label_sections import LabelSettings

ReferencesByVersion = Mapping[tuple[str, str], Reference]


def performance_specs(references: ReferencesByVersion) -> dict[str, PerformanceSpec]:
    """How each model is judged: as its newest reference that knows performance says, for all its versions."""
    return {
        model: reference.performance.spec
        for (model, _), reference in references.items()
        if reference.performance is not None
    }


def outcome_readers(references: ReferencesByVersion) -> dict[str, dict[str, OutcomeReader]]:
    """Readers of the models whose outcomes can be judged, by model and version."""
    specs = performance_specs(references)
    readers: dict[str, dict[str, OutcomeReader]] = {model: {} for model in specs}
    for (model, version), reference in references.items():
        if model in specs:
            readers[model][version] = OutcomeReader(specs[model], reference)
    return readers


def declared(settings: Settings, references: ReferencesByVersion) -> dict[str, Declared]:
    """What is read of each model's attributes, and its answers where its outcomes are joined."""
    judged = performance_specs(references) if settings.topics.labels is not None else {}
    return {name: _declared(settings, name, answers=name in judged) for name in settings.models}


def joined_models(settings: Settings) -> dict[str, JoinedModel]:
    """Every model as its outcomes are joined; none without a topic of labels."""
    if settings.topics.labels is None:
        return {}
    labels = {name: settings.model_spec(name).labels for name in settings.models}
    return {
        name: JoinedModel(
            _declared(settings, name, answers=True), horizon_ms=each.horizon_ms, sample=each.sample
        )
        for name, each in labels.items()
    }


def label_rules(settings: Settings, references: ReferencesByVersion) -> dict[str, LabelRules]:
    """How labels are waited for, of the models whose outcomes are joined."""
    if settings.topics.labels is None:
        return {}
    return {
        name: rules_of(settings.model_spec(name).labels, spec, restate_ms=settings.time.restate_for_ms)
        for name, spec in performance_specs(references).items()
    }


def rules_of(labels: LabelSettings, spec: PerformanceSpec, *, restate_ms: int) -> LabelRules:
    """How the labels of one model are waited for; silence is an answer of binary models only."""
    silent = labels.negative_after_ms is not None and spec.task == "binary"
    return LabelRules(
        restate_ms=restate_ms,
        spec=spec,
        horizon_ms=labels.horizon_ms,
        settle_ms=min(labels.settle_ms, labels.horizon_ms),
        min_effect=labels.min_effect,
        negative=float(1 - spec.positive_code) if silent else None,
        negative_after_ms=labels.negative_after_ms or 0,
    )


def _declared(settings: Settings, model: str, *, answers: bool) -> Declared:
    spec = settings.model_spec(model)
    return Declared(segments=spec.segments, variants=spec.variants, answers=answers)


def outcome_intake(
    settings: Settings, references: ReferencesByVersion, models: Mapping[str, JoinedModel]
) -> OutcomeIntake | None:
    """What takes predictions and labels out of batches; None where no model's outcomes are joined."""
    if not models:
        return None
    key = settings.privacy.id_key
    secret = DEFAULT_SECRET if key is None else key.get_secret_value().encode()
    return OutcomeIntake(models, outcome_readers(references), secret=secret)
