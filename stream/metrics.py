"""What driftstream tells Prometheus, on a registry that the caller owns.

Names follow the Prometheus conventions: prefix ``driftstream_``, base units (seconds, ratios), ``_total`` on
counters. Four rules keep the series honest and bounded:

* a ``model`` label is a configured model or ``__other__``;
* per model version the ``top_features`` features that matter most have series of their own, the
  others share one series ``__other__`` that carries the worst value of each number;
* a number that is not known is absent, never 0 (:meth:`Metrics.lag`, :meth:`Metrics.watermark`);
* a series goes when its subject goes: a feature that left the top, a revoked partition, a released model.

No label ever holds a prediction id, a raw category or any other text taken from an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from stream.feature_metrics import OTHER, FeatureMetrics, SeriesLabels, set_known
from stream.performance_metrics import PerformanceMetrics
from stream.quarantine import QuarantineCollector

STATUSES: Final = ("ok", "drift", "not_enough_data")
APART: Final = ("errors", "other_variant")
COMMIT_RESULTS: Final = ("ok", "fenced", "mismatch", "error")
DEFAULT_TOP_FEATURES: Final = 50

_COMMIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_EVALUATION_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_CLOSE_DELAY_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)


class Metrics:
    """One worker's metrics: the shells call the methods, :mod:`stream.web` serves the registry.

    Parameters
    ----------
    registry
        Where the metrics are registered; a new one by default, so that two workers in one process stay apart.
    models
        The configured models: every other model is counted under ``__other__``.
    topics
        The input topics. Their counters, and those of the models, start at 0 rather than appear with the
        first increment: ``increase()`` does not see a counter that is born at 1.
    reasons
        The words that a record can be rejected for; they start at 0 too.
    top_features
        Feature series per (model, version, source), at least 1.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry | None = None,
        models: Iterable[str] = (),
        topics: Iterable[str] = (),
        reasons: Iterable[str] = (),
        top_features: int = DEFAULT_TOP_FEATURES,
    ) -> None:
        if top_features < 1:
            raise ValueError(f"top_features is {top_features}, it must be at least 1")
        self.registry = registry if registry is not None else CollectorRegistry()
        self.models = frozenset(models)
        self._add_events: dict[tuple[str, str], Callable[[float], None]] = {}
        self._ends_ms: dict[SeriesLabels, int] = {}
        self._firing: dict[str, set[tuple[str, str]]] = {}
        counter = partial(Counter, namespace="driftstream", registry=self.registry)
        gauge = partial(Gauge, namespace="driftstream", registry=self.registry)
        histogram = partial(Histogram, namespace="driftstream", registry=self.registry)
        self._declare_ingest(counter)
        self._declare_partitions(gauge)
        self._declare_windows(counter, gauge)
        self.series_dropped_total = counter("series_dropped", "Updates folded into __other__.")
        self.features = FeatureMetrics(self.registry, top=top_features)
        self.performance = PerformanceMetrics(self.registry, self.models)
        self._declare_durations(histogram)
        self._declare_process(counter, gauge)
        self._start_at_zero(tuple(topics), tuple(reasons))

    def _declare_ingest(self, counter: Callable[..., Counter]) -> None:
        topic = ("topic",)
        self.events_total = counter("events", "Events decoded and counted.", ("topic", "model"))
        self.events_rejected_total = counter("events_rejected", "Dead-lettered records.", ("topic", "reason"))
        self.events_late_total = counter("events_late", "Events too late to restate their window.", topic)
        self.events_apart_total = counter(
            "events_apart", "Events in no drift window: errors, other variants.", ("topic", "reason")
        )
        self.timestamp_fallbacks_total = counter("timestamp_fallbacks", "Events given record time.", topic)
        self.decoder_faults_total = counter("decoder_faults", "Batches the native decoder failed.", topic)
        self.unknown_model_events_total = counter("unknown_model_events", "Events without reference.", topic)
        self.records_lost_total = counter("records_lost", "Records deleted before they were read.", topic)
        self.state_rewinds_total = counter("state_rewinds", "Seeks back to an older stored offset.", topic)
        self.commits_total = counter("commits", "Commits of counts and offsets.", ("topic", "result"))

    def _declare_partitions(self, gauge: Callable[..., Gauge]) -> None:
        topic, partition = ("topic",), ("topic", "partition")
        self.last_commit_timestamp_seconds = gauge(
            "last_commit_timestamp_seconds", "Unix time of the last successful commit.", topic
        )
        self.consumer_lag_events = gauge(
            "consumer_lag_events", "Records not yet committed; absent while unknown.", partition
        )
        self.watermark_timestamp_seconds = gauge(
            "watermark_timestamp_seconds", "No event of an earlier event time is expected.", partition
        )
        self.partitions_assigned = gauge("partitions_assigned", "Partitions this worker owns.", topic)
        self.partitions_paused = gauge("partitions_paused", "Owned partitions held back.", topic)
        self.dead_letter_flood = gauge(
            "dead_letter_flood", "1 while most records of the topic are rejected.", topic
        )

    def _declare_windows(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        version = ("model", "version", "source")
        self.windows_evaluated_total = counter(
            "windows_evaluated", "Windows by verdict.", ("model", "status")
        )
        self.window_samples = gauge("window_samples", "Events in the last window.", version)
        self.window_end_timestamp_seconds = gauge(
            "window_end_timestamp_seconds", "Event time at which the last window ended.", version
        )
        self.model_drifted = gauge(
            "model_drifted", "1 when the last window drifted; absent without enough data.", version
        )
        self.features_drifted = gauge(
            "features_drifted", "Features drifted in the last window; absent without enough data.", version
        )
        incident = ("model", "kind", "severity")
        self.incidents_firing = gauge("incidents_firing", "Incidents that are firing now.", incident)

    def _declare_durations(self, histogram: Callable[..., Histogram]) -> None:
        self.commit_duration_seconds = histogram(
            "commit_duration_seconds", "Seconds that one commit took.", buckets=_COMMIT_SECONDS
        )
        self.evaluation_duration_seconds = histogram(
            "evaluation_duration_seconds", "Seconds that one evaluation took.", buckets=_EVALUATION_SECONDS
        )
        self.window_close_delay_seconds = histogram(
            "window_close_delay_seconds", "Seconds from end + grace to verdict.", buckets=_CLOSE_DELAY_SECONDS
        )

    def _declare_process(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        self.alerts_published_total = counter("alerts_published", "Alerts to deliver.", ("kind", "status"))
        self.outbox_size = gauge("outbox_size", "Messages committed and not yet delivered.", ("outbox",))
        self.readiness = gauge("ready", "1 when the worker is ready, as /readyz says.")
        self.build_info = gauge("build_info", "1, labelled with the running version.", ("version",))
        self.topic_info = gauge("topic_info", "1, labelled with what a topic carries.", ("topic", "source"))
        ProcessCollector(registry=self.registry)
        self.registry.register(QuarantineCollector())

    def _start_at_zero(self, topics: tuple[str, ...], reasons: tuple[str, ...]) -> None:
        for topic in topics:
            for counter in (
                self.events_late_total,
                self.timestamp_fallbacks_total,
                self.decoder_faults_total,
                self.unknown_model_events_total,
                self.records_lost_total,
                self.state_rewinds_total,
            ):
                counter.labels(topic)
            for model in self.models:
                self.events_total.labels(topic, model)
            for reason in APART:
                self.events_apart_total.labels(topic, reason)
            for reason in reasons:
                self.events_rejected_total.labels(topic, reason)
            for result in COMMIT_RESULTS:
                self.commits_total.labels(topic, result)
        for model in self.models:
            for status in STATUSES:
                self.windows_evaluated_total.labels(model, status)

    def _model(self, model: str) -> str:
        if model in self.models:
            return model
        self.series_dropped_total.inc()
        return OTHER

    # Ingest

    def events(self, topic: str, model: str, count: int) -> None:
        """Count decoded events of a model; one that nobody configured counts as ``__other__``."""
        add = self._add_events.get((topic, model))  # for a thousand models a thousand times a batch
        if add is None:
            add = self.events_total.labels(topic, self._model(model)).inc
            if model in self.models:
                self._add_events[topic, model] = add
        add(count)

    def rejected(self, topic: str, reason: str, count: int = 1) -> None:
        """Count records sent to the dead-letter topic; ``reason`` is one of the codec's fixed words."""
        self.events_rejected_total.labels(topic, reason).inc(count)

    def late(self, topic: str, count: int) -> None:
        """Count events that came after their window had closed."""
        self.events_late_total.labels(topic).inc(count)

    def apart(self, topic: str, totals: Mapping[str, int]) -> None:
        """Count events that are no traffic of their model, by the words of :data:`APART`."""
        for reason in APART:
            self.events_apart_total.labels(topic, reason).inc(totals.get(reason, 0))

    def decoder_fault(self, topic: str) -> None:
        """A fault of the compiled decoder: its batch was decoded in Python."""
        self.decoder_faults_total.labels(topic).inc()

    def timestamp_fallbacks(self, topic: str, count: int) -> None:
        """Count events that had to use the time of their Kafka record."""
        self.timestamp_fallbacks_total.labels(topic).inc(count)

    def unknown_model(self, topic: str, count: int) -> None:
        """Count events of a model or version without a reference; the model's name is not a label."""
        self.unknown_model_events_total.labels(topic).inc(count)

    def lost(self, topic: str, count: int) -> None:
        """Count records that retention deleted before they were read."""
        self.records_lost_total.labels(topic).inc(count)

    def rewound(self, topic: str) -> None:
        """Count one seek back to the offset that Redis holds."""
        self.state_rewinds_total.labels(topic).inc()

    def commit(self, topic: str, result: str, *, seconds: float, now_ms: int) -> None:
        """Record one commit; of the :data:`COMMIT_RESULTS` only ``ok`` moves the last commit."""
        self.commits_total.labels(topic, result).inc()
        self.commit_duration_seconds.observe(seconds)
        if result == "ok":
            self.last_commit_timestamp_seconds.labels(topic).set(now_ms / 1000)

    def lag(self, topic: str, partition: int, events: int | None) -> None:
        """Set the lag of a partition; ``None`` (not known) removes the series."""
        set_known(self.consumer_lag_events, (topic, str(partition)), events)

    def watermark(self, topic: str, partition: int, timestamp_ms: int | None) -> None:
        """Set the watermark of a partition; ``None`` (none yet) removes the series."""
        seconds = None if timestamp_ms is None else timestamp_ms / 1000
        set_known(self.watermark_timestamp_seconds, (topic, str(partition)), seconds)

    def partitions(self, topic: str, *, assigned: int, paused: int) -> None:
        """Set how many partitions of the topic this worker owns, and how many of them are paused."""
        self.partitions_assigned.labels(topic).set(assigned)
        self.partitions_paused.labels(topic).set(paused)

    def flooded(self, topic: str, *, is_flooded: bool) -> None:
        """Set whether most records of a topic are rejected."""
        self.dead_letter_flood.labels(topic).set(is_flooded)

    def revoked(self, topic: str, partition: int) -> None:
        """Remove the series of a partition that another worker owns now."""
        self.lag(topic, partition, None)
        self.watermark(topic, partition, None)

    # Evaluate

    def observe_window(self, record: Mapping[str, Any]) -> None:
        """Show one evaluated window: ``record`` is the record published on the metrics topic.

        A window without enough data sets its size and end, and removes the verdict of the window before it.
        """
        model = self._model(record["model"])
        self.windows_evaluated_total.labels(model, record["status"]).inc()
        if model == OTHER:  # several models would write over one another
            return
        self.performance.observe(record)
        key = (model, str(record["version"]), str(record["source"]))
        if record["window_end_ms"] < self._ends_ms.get(key, record["window_end_ms"]):
            return  # an older window, stated again after late events: the newer one stays shown
        self._ends_ms[key] = record["window_end_ms"]
        self.window_samples.labels(*key).set(record["n"])
        self.window_end_timestamp_seconds.labels(*key).set(record["window_end_ms"] / 1000)
        known = record["status"] != "not_enough_data"
        set_known(self.model_drifted, key, float(record["status"] == "drift") if known else None)
        set_known(self.features_drifted, key, len(record["drifted"]) if known else None)
        folded = self.features.observe(key, record["features"] if known else {})
        self.series_dropped_total.inc(folded)

    def evaluated(self, *, seconds: float, close_delay_seconds: float) -> None:
        """Record how long one evaluation took, and how long after end + grace its verdict was published."""
        self.evaluation_duration_seconds.observe(seconds)
        self.window_close_delay_seconds.observe(max(close_delay_seconds, 0.0))

    def incidents(self, model: str, firing: Mapping[tuple[str, str], int]) -> None:
        """Set the firing incidents of a model, ``(kind, severity) -> count``; all others of it go to 0."""
        label = self._model(model)
        shown = self._firing.setdefault(label, set())
        for kind, severity in shown - firing.keys():
            self.incidents_firing.labels(label, kind, severity).set(0)
        for (kind, severity), count in firing.items():
            self.incidents_firing.labels(label, kind, severity).set(count)
        shown.update(firing)

    def released(self, model: str) -> None:
        """Remove what was shown of a model that another worker evaluates now; counters stay."""
        shown = (
            self.window_samples,
            self.window_end_timestamp_seconds,
            self.model_drifted,
            self.features_drifted,
            self.incidents_firing,
        )
        for gauge in shown:
            gauge.remove_by_labels({"model": model})
        self._firing.pop(model, None)
        for key in [key for key in self._ends_ms if key[0] == model]:
            del self._ends_ms[key]
        self.features.released(model)
        self.performance.released(model)

    # Publish, process

    def alert(self, kind: str, status: str) -> None:
        """Count one alert that is committed, to be delivered: ``firing`` or ``resolved``."""
        self.alerts_published_total.labels(kind, status).inc()

    def outbox(self, name: str, size: int) -> None:
        """Set how many messages of an outbox wait for delivery."""
        self.outbox_size.labels(name).set(size)

    def ready(self, *, is_ready: bool) -> None:
        """Mirror what ``/readyz`` answers."""
        self.readiness.set(is_ready)

    def build(self, version: str) -> None:
        """Tell which version runs."""
        self.build_info.labels(version).set(1)

    def carries(self, topic: str, source: str) -> None:
        """Tell what an input topic carries, ``inference`` or ``labels``: rules select topics by it."""
        self.topic_info.labels(topic, source).set(1)
