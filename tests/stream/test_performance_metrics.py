from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from stream.outcomes.join import JoinCounts
from stream.performance_metrics import JOINS, PerformanceMetrics


def record(end_ms: int, **performance: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "version": "v1", "window_end_ms": end_ms, "performance": performance}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"driftstream_{name}", {"model": "m", **labels})


def shown(registry: CollectorRegistry, metric: str, kind: str) -> float | None:
    return value(registry, "performance", version="v1", metric=metric, kind=kind)


def test_the_newest_window_with_labels_is_shown() -> None:
    registry = CollectorRegistry()
    metrics = PerformanceMetrics(registry, ["m"])
    metrics.observe(record(2_000, realized={"n": 0, "accuracy": None}, estimated={"accuracy": 0.9}))
    assert shown(registry, "accuracy", "realized") is None
    assert shown(registry, "accuracy", "estimated") == 0.9
    delays = {"delay_p50_ms": 1_500.0, "delay_p95_ms": None}
    metrics.observe(record(1_000, realized={"n": 50, "coverage": 0.5, "accuracy": 0.8, "f1": None, **delays}))
    assert shown(registry, "accuracy", "realized") == 0.8
    assert shown(registry, "f1", "realized") is None
    assert shown(registry, "n", "realized") is None
    assert value(registry, "labels_coverage_ratio", version="v1") == 0.5
    assert value(registry, "label_delay_seconds", version="v1", quantile="0.5") == 1.5
    assert value(registry, "label_delay_seconds", version="v1", quantile="0.95") is None
    metrics.observe(record(500, realized={"n": 50, "coverage": 1.0, "accuracy": 0.1}))
    assert shown(registry, "accuracy", "realized") == 0.8


def test_a_released_model_leaves_its_counters_only() -> None:
    registry = CollectorRegistry()
    metrics = PerformanceMetrics(registry, ["m"])
    metrics.observe(record(1_000, realized={"n": 5, "coverage": 1.0, "accuracy": 0.8}))
    metrics.joined("m", JoinCounts(joined=3)._asdict())
    metrics.released("m")
    assert shown(registry, "accuracy", "realized") is None
    assert value(registry, "label_joins_total", result="joined") == 3
    assert value(registry, "label_joins_total", result="refused") == 0


def test_every_count_of_the_join_has_its_word() -> None:
    assert JoinCounts._fields == JOINS
