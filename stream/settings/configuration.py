"""The configuration of driftstream: one frozen tree, from one YAML file and the environment.

Example
-------
>>> settings = parse_settings({
...     "kafka": {"bootstrap.servers": "127.0.0.1:9092"},
...     "redis": {"url": "redis://127.0.0.1:6379/0"},
...     "models": {"loan-approval": {"references": ["loan-approval-v2.json"], "window": "10s"}},
... })
>>> spec = settings.model_spec("loan-approval")
>>> spec.window_ms, spec.slide_ms, spec.min_samples
(10000, 10000, 50)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError
from pydantic_core import PydanticCustomError

from stream.errors import ConfigError
from stream.settings.budget import AlarmBudget
from stream.settings.config_errors import Origins, dotted, explain, listed
from stream.settings.config_file import ConfigDocument, read_config
from stream.settings.environment import INSECURE, Override, read_environment, read_overrides
from stream.settings.error_section import ErrorSettings
from stream.settings.kafka_properties import KafkaProperties
from stream.settings.label_sections import LabelSettings
from stream.settings.privacy_section import PrivacySettings
from stream.settings.section import Section
from stream.settings.sections import (
    AlertSettings,
    ConsumerSettings,
    IngestSettings,
    LimitSettings,
    MetricsSettings,
    ModelDefaults,
    ModelSettings,
    RedisSettings,
    TimeSettings,
    TopicSettings,
)
from stream.settings.security_section import LINKS, SecuritySettings, links_of
from stream.settings.tree import did_you_mean, setting_tree
from stream.settings.units import format_duration

if TYPE_CHECKING:
    from detectors import Reference

DEFAULT_FILE = Path("driftstream.yaml")
DEFAULT_SLIDE_MS = 60_000
LEAST_LEARNED = 20  # slides: with fewer nothing is known of how they differ by themselves
MOST_PANES = 1024  # of one window: a monitor looks back over no more


def _model_name(value: str) -> str:
    if not value or len(value.encode()) > 128 or not value.isprintable() or set(value) & set("{}"):
        raise PydanticCustomError("name", "must be 1 to 128 bytes of printable text without braces")
    return value


@dataclass(frozen=True)
class ModelSpec:
    """What holds for one model, the defaults merged in."""

    name: str
    references: tuple[Path, ...]
    window_ms: int
    slide_ms: int
    grace_ms: int
    min_samples: int
    min_effect: float
    arl: int
    false_alarms: AlarmBudget | None = None
    """What ``arl`` was made of, where it was said so."""
    min_effects: Mapping[str, float] = field(default_factory=dict)
    """Columns with a smallest effect of their own."""
    compare_with: tuple[str, ...] = ()
    """Earlier periods to compare with beside the reference."""
    learn_ms: int | None = None
    """How much of the live stream the references are learned from; None where they are files."""
    learn_rows: int = 100_000
    categorical: frozenset[str] = frozenset()
    """Columns whose numbers are codes, where references are learned."""
    labels: LabelSettings = field(default_factory=LabelSettings)
    """How labels are joined."""
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()

    @property
    def pane_ms(self) -> int:
        """Length of a pane: gcd(window, slide), which is slide because slide divides window."""
        return self.slide_ms


class Settings(Section):
    """The whole configuration; ``load_settings`` makes it from a file, ``parse_settings`` from a mapping."""

    kafka: KafkaProperties = Field(description="librdkafka properties under their own names")
    redis: RedisSettings = Field(description="where the state is kept")
    topics: TopicSettings = Field(default=TopicSettings(), description="topic names")
    consumer: ConsumerSettings = Field(default=ConsumerSettings(), description="consumer group")
    ingest: IngestSettings = Field(default=IngestSettings(), description="batches and commits")
    time: TimeSettings = Field(default=TimeSettings(), description="event time")
    limits: LimitSettings = Field(default=LimitSettings(), description="bounds on events")
    errors: ErrorSettings = Field(default=ErrorSettings(), description="records that are no events")
    metrics: MetricsSettings = Field(default=MetricsSettings(), description="Prometheus endpoint")
    alerts: AlertSettings = Field(default=AlertSettings(), description="incidents")
    security: SecuritySettings = Field(
        default=SecuritySettings(), description="what may travel in clear to another machine"
    )
    privacy: PrivacySettings = Field(default=PrivacySettings(), description="what stands for ids")
    defaults: ModelDefaults = Field(default=ModelDefaults(), description="what holds for every model")
    models: dict[Annotated[str, AfterValidator(_model_name)], ModelSettings] = Field(
        default={}, description="the monitored models by name"
    )

    _origins: Origins = PrivateAttr(default=Origins())

    def model_post_init(self, context: Any) -> None:
        """Keep the origins that validation was given, for messages that come later."""
        if isinstance(context, dict) and "origins" in context:
            self._origins = context["origins"]

    def where(self, *path: str | int) -> str:
        """Return where a setting was given, such as ``driftstream.yaml:12``, to begin a message with."""
        return self._origins.where(*path)

    def model_spec(self, name: str) -> ModelSpec:
        """Return the specification of one model.

        Raises
        ------
        ConfigError
            The model is not configured, its slide does not divide its window, or its budget allows more
            than one false alarm a slide.
        """
        if name not in self.models:
            raise ConfigError(f"{self.where()}: no model {name!r}{did_you_mean(name, self.models)}")
        model = self.models[name]
        values = dict(self.defaults) | {key: value for key, value in model if value is not None}
        values["slide_ms"] = values["slide_ms"] or min(DEFAULT_SLIDE_MS, values["window_ms"])
        values["labels"] = self._labels(name)
        columns = values.pop("features")
        effects = {key: own.min_effect for key, own in columns.items()}
        values["min_effects"] = {key: effect for key, effect in effects.items() if effect is not None}
        values["categorical"] = frozenset(key for key, own in columns.items() if own.categorical)
        spec = self._budgeted(ModelSpec(name=name, **values))
        if spec.slide_ms > spec.window_ms or spec.window_ms % spec.slide_ms:
            raise ConfigError(self._uneven(spec))
        if spec.window_ms > MOST_PANES * spec.slide_ms:
            raise ConfigError(self._too_fine(spec))
        return self._taught(spec)

    def reached_at(self, servers: str) -> Settings:
        """The same with other ``bootstrap.servers``."""
        kafka = KafkaProperties.model_validate({**self.kafka.reveal(), "bootstrap.servers": servers})
        return self.model_copy(update={"kafka": kafka})

    def references(self) -> dict[tuple[str, str], Reference]:
        """Load every reference file: (model, version) -> Reference, in the order of the configuration.

        Raises
        ------
        ConfigError
            No model is configured, or a file is missing, bad, another model's or a version given twice.
        """
        from stream.settings.references import load_references

        return load_references(self)

    def _labels(self, name: str) -> LabelSettings:
        """Lay what the model says of labels over the defaults."""
        own = {key: value for key, value in self.models[name].labels if value is not None}
        labels = self.defaults.labels.model_copy(update=own)
        if (labels.negative_after_ms or 0) <= labels.horizon_ms:
            return labels
        path = ("models", name, "labels") if own else ("defaults", "labels")
        silence, horizon = format_duration(labels.negative_after_ms or 0), format_duration(labels.horizon_ms)
        raise ConfigError(
            f"{self.where(*path)}: negative_after {silence} of {name} is beyond its horizon of {horizon}; "
            f"raise {dotted((*path, 'horizon'))}"
        )

    def _taught(self, spec: ModelSpec) -> ModelSpec:
        """Check that there is one source of references: files, or enough of the live stream."""
        own_ms = self.models[spec.name].learn_ms
        learn = "" if spec.learn_ms is None else format_duration(spec.learn_ms)
        if spec.references and spec.categorical:
            column = min(spec.categorical)
            path = ("models", spec.name, "features", column, "categorical")
            raise ConfigError(
                f"{self.where(*path)}: {dotted(path)} is for references that are learned; "
                f"build the files with --categorical {column}"
            )
        if spec.references and own_ms is None:
            return replace(spec, learn_ms=None)
        if spec.references:
            place = self.where("models", spec.name, "learn")
            raise ConfigError(
                f"{place}: models.{spec.name}.learn is {learn} beside references; keep one of the two"
            )
        if spec.learn_ms is None:
            raise ConfigError(
                f"{self.where('models', spec.name)}: models.{spec.name}.references is missing: "
                "reference files, one per model version; or learn them from the stream, such as learn: 24h"
            )
        if spec.learn_ms < LEAST_LEARNED * spec.slide_ms:
            place = self.where(*(("defaults", "learn") if own_ms is None else ("models", spec.name, "learn")))
            raise ConfigError(
                f"{place}: learn {learn} of {spec.name} is less than {LEAST_LEARNED} slides of "
                f"{format_duration(spec.slide_ms)}; learn at least "
                f"{format_duration(LEAST_LEARNED * spec.slide_ms)}, better a day or a week"
            )
        return spec

    def _budgeted(self, spec: ModelSpec) -> ModelSpec:
        """Turn the budget of false alarms into a run length; what the model says goes before the defaults."""
        model = self.models[spec.name]
        if spec.false_alarms is None or (model.arl is not None and model.false_alarms is None):
            return replace(spec, false_alarms=None)
        arl = spec.false_alarms.arl(spec.slide_ms)
        if arl >= 1:
            return replace(spec, arl=arl)
        path = ("defaults",) if model.false_alarms is None else ("models", spec.name)
        fault = f"{dotted((*path, 'false_alarms'))} is '{spec.false_alarms}'"
        slide = format_duration(spec.slide_ms)
        raise ConfigError(
            f"{self.where(*path, 'false_alarms')}: {fault}: more than one in a slide of {slide}; "
            "allow fewer, such as 1 per 30d"
        )

    def _uneven(self, spec: ModelSpec) -> str:
        """Say that windows do not tile, at the key that can mend it."""
        slide, window = format_duration(spec.slide_ms), format_duration(spec.window_ms)
        remedy = f"set slide in models.{spec.name} to {window} or a whole fraction of it"
        fault = f"window {window} of {spec.name} is not a multiple of slide {slide}"
        return f"{self._where_windows(spec)}: {fault}; {remedy}"

    def _too_fine(self, spec: ModelSpec) -> str:
        """Say that a window has more panes than a monitor looks back over."""
        slide, window = format_duration(spec.slide_ms), format_duration(spec.window_ms)
        fault = f"window {window} of {spec.name} is more than {MOST_PANES} slides of {slide}"
        remedy = f"set slide in models.{spec.name} to a longer fraction of {window}"
        return f"{self._where_windows(spec)}: {fault}; {remedy}"

    def _where_windows(self, spec: ModelSpec) -> str:
        model = self.models[spec.name]
        own = next((key for key in ("slide", "window") if getattr(model, f"{key}_ms") is not None), None)
        if own:
            return self.where("models", spec.name, own)
        return self.where("defaults", "slide" if self.defaults.slide_ms else "window")


SETTING_TREE = setting_tree(Settings)


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, *, insecure: bool = False
) -> Settings:
    """Return the configuration of a file (``driftstream.yaml`` unless given) and the environment.

    Parameters
    ----------
    path
        The file; paths in it are relative to its directory.
    environ
        Variables to use instead of those of this process.
    insecure
        Take ``security.insecure`` as ``true``: the option ``--insecure``; ``DRIFTSTREAM_INSECURE`` adds to
        what the file says too.

    Raises
    ------
    ConfigError
        Anything is wrong; the message has one line per finding, each with its file and line.
    """
    if path is None and not DEFAULT_FILE.exists():
        raise ConfigError(
            f"no {DEFAULT_FILE} in the working directory; pass the configuration with --config FILE"
        )
    document = read_config(path or DEFAULT_FILE)
    variables = read_environment() if environ is None else environ
    overrides = read_overrides(variables, SETTING_TREE, document.values)
    origins = Origins(document.path, document.lines, {item.path: item.name for item in overrides})
    settings = _settings(_overlaid(document, overrides), document.path.parent, origins)
    allowed = LINKS if insecure else links_of(INSECURE, variables.get(INSECURE, ""))
    return settings.model_copy(
        update={"security": SecuritySettings(insecure=(*settings.security.insecure, *allowed))}
    )


def parse_settings(values: Mapping[str, Any], directory: Path = Path()) -> Settings:
    """Return the configuration of a mapping shaped as the file is; the environment is not read."""
    return _settings(values, directory, Origins())


def _settings(values: Mapping[str, Any], directory: Path, origins: Origins) -> Settings:
    """Validate, keep the origins for later messages, and check every model's windows."""
    context = {"directory": directory.absolute(), "origins": origins}
    try:
        settings = Settings.model_validate(values, context=context)
    except ValidationError as exc:
        raise explain(exc, origins, SETTING_TREE) from None
    findings = []
    for name in settings.models:
        try:
            settings.model_spec(name)
        except ConfigError as exc:
            findings.append(str(exc))
    if findings:
        raise listed(findings, origins)
    return settings


def _overlaid(document: ConfigDocument, overrides: tuple[Override, ...]) -> dict[str, Any]:
    """Return the values of the file with those of the environment laid over them."""
    values: dict[str, Any] = dict(document.values)
    for override in overrides:
        level = values
        for key in override.path[:-1]:
            below = level.get(str(key))
            level[str(key)] = dict(below) if isinstance(below, Mapping) else {}
            level = level[str(key)]
        level[str(override.path[-1])] = override.value
    return values
