"""The sections of the configuration file, one frozen model each.

Field names inside the program carry their unit (``flush_interval_ms``); the key in the file is the alias
without it (``flush_interval: 250ms``). Descriptions here become the JSON schema and docs/configuration.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from stream.settings.budget import Budget
from stream.settings.label_sections import LabelSettings, ModelLabelSettings, Segments, Values, check_strata
from stream.settings.section import Section
from stream.settings.units import ByteSize, DurationMs, SpanMs
from stream.settings.value_types import (
    Count,
    EmptyIsNone,
    FilePath,
    KeyPrefix,
    Port,
    RedisUrl,
    ReferencePaths,
    Topic,
)

EarlierPeriod = Literal["yesterday", "last_week"]
_SECOND, _MINUTE, _HOUR, _MIB = 1000, 60_000, 3_600_000, 2**20


class RedisSettings(Section):
    """Where the counts, cursors and verdicts are kept."""

    url: RedisUrl = Field(description="redis://, rediss:// (TLS) or unix:// address; its password is masked")
    password: Annotated[SecretStr | None, EmptyIsNone] = Field(
        default=None,
        description="password, when it is not in the URL; best given by DRIFTSTREAM_REDIS__PASSWORD_FILE",
    )
    ca: FilePath = Field(
        default=None, description="certificates of the authority that signed Redis's, for rediss://; PEM"
    )
    certificate: FilePath = Field(
        default=None, description="our own certificate, where Redis asks for one; PEM"
    )
    key: FilePath = Field(default=None, description="private key of our certificate; PEM")
    prefix: KeyPrefix = Field(default="ds", description="first part of every key")


class TopicSettings(Section):
    """Names of the topics that are read and written; all must differ."""

    inference: Topic = Field(default="inference", description="inference events, read")
    labels: Annotated[Topic | None, EmptyIsNone] = Field(
        default="labels", description="label events, read; null when there are none"
    )
    alerts: Topic = Field(default="drift.alerts", description="alerts for on-call, written")
    metrics: Topic = Field(default="drift.metrics", description="one record per evaluated window, written")
    actions: Topic = Field(
        default="drift.actions",
        description="reserved for retrain and rollback requests; nothing is written yet",
    )
    panes: Topic = Field(default="drift.panes", description="notices between ingest and evaluation")
    dlq_suffix: Topic = Field(
        default=".dlq", description="an undecodable record of topic T goes to T plus this"
    )

    @model_validator(mode="after")
    def _distinct(self) -> TopicSettings:
        names = self.all
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError(
                "distinct", "uses {name} twice; every topic needs its own name", {"name": twice[0]}
            )
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The topics that are read for events."""
        return (self.inference,) if self.labels is None else (self.inference, self.labels)

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic driftstream reads or writes, dead-letter topics included."""
        outputs = (self.panes, self.alerts, self.metrics, self.actions)
        return (*self.inputs, *(self.dlq(topic) for topic in self.inputs), *outputs)

    @property
    def needed(self) -> tuple[str, ...]:
        """The topics without which a worker cannot do its work; nothing is written to ``actions`` yet."""
        return tuple(name for name in self.all if name != self.actions)

    def dlq(self, topic: str) -> str:
        """Return the dead-letter topic of an input topic."""
        return topic + self.dlq_suffix


class ConsumerSettings(Section):
    """The consumer group that reads the input topics."""

    group: str = Field(default="driftstream", min_length=1, max_length=255, description="consumer group name")
    protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="classic: cooperative-sticky, any broker; consumer: KIP-848, Kafka 4.0 or newer",
    )
    session_timeout_ms: SpanMs = Field(
        default=10 * _SECOND,
        alias="session_timeout",
        description="a silent worker loses its partitions after this; protocol consumer: the broker decides",
    )
    max_poll_interval_ms: SpanMs = Field(
        default=5 * _MINUTE,
        alias="max_poll_interval",
        description="a stuck worker loses its partitions after this",
    )
    instance_id: Annotated[str | None, EmptyIsNone] = Field(
        default=None,
        description="static membership: a stable name per worker, such as the StatefulSet ordinal",
    )

    @model_validator(mode="after")
    def _poll_covers_session(self) -> ConsumerSettings:
        if self.max_poll_interval_ms < self.session_timeout_ms:
            raise PydanticCustomError("poll", "needs max_poll_interval to be at least session_timeout")
        return self


class IngestSettings(Section):
    """How events are batched and counts committed."""

    flush_interval_ms: SpanMs = Field(
        default=250, alias="flush_interval", description="counts and offsets commit at least this often"
    )
    flush_events: Count = Field(default=250_000, description="... or after this many events")
    batch: Count = Field(
        default=5_000, description="records decoded at a time; up to ten times as many of many models"
    )
    buffer_bytes: ByteSize = Field(
        default=16 * _MIB, ge=1024, description="bound on records fetched and not yet counted"
    )
    decoder: Literal["auto", "native", "python"] = Field(
        default="auto",
        description="what decodes records: auto is native where driftstream-native is installed",
    )


class TimeSettings(Section):
    """Event time: when a window is complete."""

    out_of_orderness_ms: DurationMs = Field(
        default=5 * _SECOND,
        alias="out_of_orderness",
        description="how far events of one partition may be out of order",
    )
    idle_after_ms: DurationMs = Field(
        default=10 * _SECOND,
        alias="idle_after",
        description="a partition read to its end and quiet for this long holds nothing back",
    )
    max_future_skew_ms: DurationMs = Field(
        default=5 * _MINUTE,
        alias="max_future_skew",
        description="events further ahead of the clock are quarantined",
    )
    restate_for_ms: DurationMs = Field(
        default=_HOUR,
        alias="restate_for",
        description="late events can restate a closed window for this long",
    )


class LimitSettings(Section):
    """Bounds on what one event, or one stream, may hold; what exceeds them goes to the dead-letter topic."""

    record_bytes: ByteSize = Field(default=_MIB, ge=1, description="bytes of one record")
    features: Count = Field(default=2_000, description="features of one event")
    string_bytes: Count = Field(default=1_024, description="bytes of one text value")
    depth: Count = Field(default=32, description="nesting of one event")
    models: Count = Field(default=1_000, description="models counted by name; the others as `__other__`")


class MetricsSettings(Section):
    """The Prometheus endpoint."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="address to bind; 0.0.0.0 to be scraped from outside"
    )
    port: Port = Field(default=9464, description="port; 0 takes a free one")
    top_features: Count = Field(
        default=50, description="features with series of their own per model, the rest is `__other__`"
    )
    token: Annotated[SecretStr | None, EmptyIsNone] = Field(
        default=None,
        min_length=16,
        description="bearer token that /metrics asks for; needed where host is not loopback; "
        "best given by DRIFTSTREAM_METRICS__TOKEN_FILE",
    )


class AlertSettings(Section):
    """When an incident ends, and when on-call hears of it again."""

    resolve_after: Count = Field(
        default=2, description="windows without the change before an incident is resolved"
    )
    renotify_ms: SpanMs = Field(
        default=4 * _HOUR, alias="renotify", description="repeat a firing alert this often"
    )
    runbook_base_url: str = Field(default="docs/runbooks/", description="runbook_url is this plus KIND.md")


def _one_budget(section: ModelDefaults | ModelSettings) -> ModelDefaults | ModelSettings:
    """Refuse a level that says twice how often it may alarm for nothing."""
    if section.false_alarms is not None and section.arl is not None and "arl" in section.model_fields_set:
        raise PydanticCustomError(
            "twice",
            "is '{budget}' beside arl {arl}: both say how often it may alarm for nothing; keep one of them",
            {"budget": str(section.false_alarms), "arl": section.arl},
        )
    return section


class ModelDefaults(Section):
    """What holds for every model unless the model says otherwise."""

    window_ms: SpanMs = Field(default=5 * _MINUTE, alias="window", description="length of a window")
    slide_ms: SpanMs | None = Field(
        default=None,
        alias="slide",
        description="distance of windows; divides window; unset: 1m, or window if shorter",
    )
    grace_ms: DurationMs = Field(
        default=30 * _SECOND, alias="grace", description="how long after its end a window accepts events"
    )
    min_samples: Count = Field(
        default=50, description="a slide with fewer events is judged together with the next ones"
    )
    min_effect: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="smallest change that matters, in standard deviations; of model outputs 0.02 at most",
    )
    arl: Count = Field(default=10_000, description="slides between two false alarms, on average")
    false_alarms: Budget = Field(
        default=None, description="the same in words, instead of `arl`: such as `1 per 30d`"
    )
    compare_with: tuple[EarlierPeriod, ...] = Field(
        default=(),
        description="earlier periods to compare with too, hour by hour: `yesterday`, `last_week`",
    )
    learn_ms: SpanMs | None = Field(
        default=None,
        alias="learn",
        description="models without references learn theirs from so much of the live stream: such as `24h`",
    )
    learn_rows: Annotated[int, Field(ge=1_000)] = Field(
        default=100_000, description="events of that time that a reference is made of, at most"
    )
    labels: LabelSettings = Field(default=LabelSettings(), description="the join of labels to predictions")

    _once = model_validator(mode="after")(_one_budget)


class FeatureSettings(Section):
    """One column of a model's references: a feature, or `prediction`, `score` or `label`."""

    min_effect: float | None = Field(
        default=None, ge=0, le=1, description="smallest change of this column that matters"
    )
    categorical: bool = Field(
        default=False, description="its numbers are codes, not amounts: for references that are learned"
    )


class ModelSettings(Section):
    """One monitored model: its references or ``learn``, and anything that stands under ``defaults``."""

    references: ReferencePaths = Field(
        default=(),
        description="reference files, one per model version, relative to this file; the newest last",
    )
    window_ms: SpanMs | None = Field(default=None, alias="window", description="as in defaults")
    slide_ms: SpanMs | None = Field(default=None, alias="slide", description="as in defaults")
    grace_ms: DurationMs | None = Field(default=None, alias="grace", description="as in defaults")
    min_samples: Count | None = Field(default=None, description="as in defaults")
    min_effect: float | None = Field(default=None, ge=0, le=1, description="as in defaults")
    arl: Count | None = Field(default=None, description="as in defaults")
    false_alarms: Budget = Field(default=None, description="as in defaults")
    compare_with: tuple[EarlierPeriod, ...] | None = Field(default=None, description="as in defaults")
    learn_ms: SpanMs | None = Field(
        default=None, alias="learn", description="as in defaults; instead of `references`"
    )
    learn_rows: Annotated[int, Field(ge=1_000)] | None = Field(default=None, description="as in defaults")
    labels: ModelLabelSettings = Field(
        default=ModelLabelSettings(), description="the join of labels to predictions"
    )
    segments: Segments = Field(
        default={}, description="segments to tell performance apart by: each name with its values"
    )
    variants: Values = Field(
        default=(),
        description="variants to tell performance apart by beside `live`, which alone counts as traffic",
    )
    features: dict[str, FeatureSettings] = Field(
        default={}, description="columns with settings of their own, by name"
    )

    _once = model_validator(mode="after")(_one_budget)

    @model_validator(mode="after")
    def _few_strata(self) -> ModelSettings:
        check_strata(self.segments, self.variants)
        return self
