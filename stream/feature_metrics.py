"""What Prometheus sees of features: those that matter most have series of their own, the others share one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isnan
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

OTHER: Final = "__other__"
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


class FeatureMetrics:
    """Gauges of the ``top`` features of each model version and source; the rest is :data:`OTHER`."""

    def __init__(self, registry: CollectorRegistry, *, top: int) -> None:
        self.top = top
        self._shown: dict[SeriesLabels, frozenset[str]] = {}
        labels = ("model", "version", "feature")
        self.gauges: Mapping[str, Gauge] = {
            field: Gauge(f"feature_{field}", text, labels, namespace="driftstream", registry=registry)
            for field, (text, _) in _FEATURE_FIELDS.items()
        }

    def observe(self, key: SeriesLabels, features: Mapping[str, Mapping[str, Any]]) -> int:
        """Show the features of a window; how many of them share the series of the others."""
        ranked = sorted(features, key=lambda name: (*_rank(features[name]), name))
        rows: dict[str, Mapping[str, Any]] = {name: features[name] for name in ranked[: self.top]}
        folded = [features[name] for name in ranked[self.top :]]
        if folded:
            rows[OTHER] = {field: _worst(field, folded) for field in _FEATURE_FIELDS}
        model, version, _ = key
        for name in self._shown.get(key, frozenset()) - rows.keys():
            for gauge in self.gauges.values():
                gauge.remove(model, version, name)
        for name, row in rows.items():
            for field, gauge in self.gauges.items():
                set_known(gauge, (model, version, name), row.get(field))
        self._shown[key] = frozenset(rows)
        return len(folded)

    def released(self, model: str) -> None:
        """Remove what was shown of a model."""
        for gauge in self.gauges.values():
            gauge.remove_by_labels({"model": model})
        for key in [key for key in self._shown if key[0] == model]:
            del self._shown[key]


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
