"""What Prometheus sees of features: those that matter most have series of their own, the others share one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isnan
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

OTHER: Final = "__other__"
_FEATURE_LABELS: Final = ("model", "version", "feature")
SeriesLabels = tuple[str, str, str]
"""Model, version, source."""

# What is shown of a feature: the help text, and the worst of several features (for ``__other__``).
_FEATURE_FIELDS: Final[Mapping[str, tuple[str, Callable[[Iterable[float]], float]]]] = {
    "effect": ("Size of the change, in standard deviations of the reference.", max),
    "psi": ("Population stability index against the reference.", max),
    "ks": ("Kolmogorov-Smirnov distance to the reference, 0 to 1.", max),
    "p_value": ("Adjusted p-value of the change.", min),
    "missing_ratio": ("Share of missing values in the last window, 0 to 1.", max),
    "unseen_ratio": ("Share of values in no reference category, 0 to 1.", max),
    "drifted": ("1 when the feature drifted in the last window.", max),
}


class FeatureMetrics(Collector):
    """Series of the ``top`` features of each model version and source; the rest is :data:`OTHER`.

    Windows close by the thousand and are scraped a few times a minute: series are made of the newest windows
    when they are asked for, not with every window.
    """

    def __init__(self, registry: CollectorRegistry, *, top: int) -> None:
        self.top = top
        self._newest: dict[SeriesLabels, Mapping[str, Mapping[str, Any]]] = {}
        registry.register(self)

    def observe(self, key: SeriesLabels, features: Mapping[str, Mapping[str, Any]]) -> int:
        """Show the features of a window; how many of them share the series of the others."""
        self._newest[key] = features
        return max(0, len(features) - self.top)

    def released(self, model: str) -> None:
        """Remove what was shown of a model."""
        for key in [key for key in self._newest if key[0] == model]:
            del self._newest[key]

    def describe(self) -> Iterable[Metric]:
        """The families, without series."""
        return self._families().values()

    def collect(self) -> Iterable[Metric]:
        """The families with the series of the newest windows; safe beside :meth:`observe`."""
        families = self._families()
        rows: dict[SeriesLabels, Mapping[str, Any]] = {}
        for (model, version, _), features in list(self._newest.items()):
            for name, row in self._shown(features).items():
                rows[model, version, name] = row
        for labels, row in rows.items():
            for field, family in families.items():
                value = row.get(field)
                if value is not None and not isnan(value):
                    family.add_metric(labels, value)
        return families.values()

    def _shown(self, features: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        if len(features) <= self.top:
            return features
        ranked = sorted(features, key=lambda name: (*_rank(features[name]), name))
        rows: dict[str, Mapping[str, Any]] = {name: features[name] for name in ranked[: self.top]}
        folded = [features[name] for name in ranked[self.top :]]
        rows[OTHER] = {field: _worst(field, folded) for field in _FEATURE_FIELDS}
        return rows

    def _families(self) -> dict[str, GaugeMetricFamily]:
        return {
            field: GaugeMetricFamily(f"driftstream_feature_{field}", text, labels=_FEATURE_LABELS)
            for field, (text, _) in _FEATURE_FIELDS.items()
        }


def _known(value: float | None) -> bool:
    return value is not None and not isnan(value)


def set_known(gauge: Gauge, labels: tuple[str, ...], value: float | None) -> None:
    """Set a series; a number that is not known removes it."""
    if value is None or isnan(value):
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    return (not row.get("drifted"), -row["effect"] if _known(row.get("effect")) else inf)


def _worst(field: str, rows: Iterable[Mapping[str, Any]]) -> float | None:
    known = [float(row[field]) for row in rows if _known(row.get(field))]
    return _FEATURE_FIELDS[field][1](known) if known else None
