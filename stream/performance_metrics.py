"""What Prometheus sees of performance: how good the predictions were, how good they seem, what labels came.

Shown is the newest window that has a number; a window whose labels come later than those of a newer one is
found in its record on the metrics topic. No label is text of an event: metrics are named in the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.feature_metrics import set_known

REALIZED: Final = "realized"
ESTIMATED: Final = "estimated"
JOINS: Final = (
    "predictions",
    "joined",
    "corrected",
    "early",
    "early_joined",
    "early_expired",
    "conflicting",
    "after_horizon",
    "reused",
    "refused",
    "damaged",
)
"""What became of the rows of the label join; the words of :class:`stream.outcomes.join.JoinCounts`."""
_ABOUT_LABELS: Final = ("n", "predictions", "coverage", "final", "delay_p50_ms", "delay_p95_ms")


class PerformanceMetrics:
    """Gauges of realized and estimated performance, and counters of the label join.

    Parameters
    ----------
    registry
        Where they are registered.
    models
        The configured models; the counters of each start at 0.
    """

    def __init__(self, registry: CollectorRegistry, models: Iterable[str] = ()) -> None:
        gauge = partial(Gauge, namespace="driftstream", registry=registry)
        version = ("model", "version")
        self.performance = gauge(
            "performance", "Performance of the newest window that has it.", (*version, "metric", "kind")
        )
        self.labels_coverage_ratio = gauge(
            "labels_coverage_ratio", "Share of the window's predictions that have their label.", version
        )
        self.label_delay_seconds = gauge(
            "label_delay_seconds", "How long after its prediction a label is from.", (*version, "quantile")
        )
        self.joins_total = Counter(
            "label_joins",
            "Rows of the label join, by what became of them.",
            ("model", "result"),
            namespace="driftstream",
            registry=registry,
        )
        self.join_journal_pieces = gauge(
            "join_journal_pieces", "Pieces of the longest journal of a label join: not evaluated yet."
        )
        self._newest_ms: dict[tuple[str, str, str], int] = {}
        self._joins: dict[tuple[str, str], Counter] = {}
        for model in models:
            for result in JOINS:
                self._joins_of(model, result)

    def joined(self, model: str, counts: Mapping[str, int]) -> None:
        """Count what a join has done, by the words of :data:`JOINS`."""
        for result, number in counts.items():
            if number:
                self._joins_of(model, result).inc(number)

    def _joins_of(self, model: str, result: str) -> Counter:
        series = self._joins.get((model, result))
        if series is None:
            series = self._joins[model, result] = self.joins_total.labels(model, result)
        return series

    def waiting(self, pieces: int) -> None:
        """Set how long the longest journal is, of the models of all workers."""
        self.join_journal_pieces.set(pieces)

    def observe(self, record: Mapping[str, Any]) -> None:
        """Show the performance of one window: ``record`` is the record published on the metrics topic."""
        performance = record.get("performance") or {}
        model, version, end_ms = record["model"], str(record["version"]), record["window_end_ms"]
        estimated = performance.get(ESTIMATED)
        if estimated and self._is_newest((model, version, ESTIMATED), end_ms):
            self._show(model, version, ESTIMATED, estimated)
        realized = performance.get(REALIZED)
        if realized and realized.get("n") and self._is_newest((model, version, REALIZED), end_ms):
            self._show(model, version, REALIZED, realized)
            set_known(self.labels_coverage_ratio, (model, version), realized.get("coverage"))
            for quantile, key in (("0.5", "delay_p50_ms"), ("0.95", "delay_p95_ms")):
                delay_ms = realized.get(key)
                seconds = None if delay_ms is None else delay_ms / 1000
                set_known(self.label_delay_seconds, (model, version, quantile), seconds)

    def _is_newest(self, key: tuple[str, str, str], end_ms: int) -> bool:
        newest = end_ms >= self._newest_ms.get(key, end_ms)
        if newest:
            self._newest_ms[key] = end_ms
        return newest

    def _show(self, model: str, version: str, kind: str, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            if name not in _ABOUT_LABELS and (value is None or isinstance(value, int | float)):
                set_known(self.performance, (model, version, name, kind), value)

    def released(self, model: str) -> None:
        """Remove what was shown of a model that another worker evaluates now; counters stay."""
        for gauge in (self.performance, self.labels_coverage_ratio, self.label_delay_seconds):
            gauge.remove_by_labels({"model": model})
        for key in [key for key in self._newest_ms if key[0] == model]:
            del self._newest_ms[key]
