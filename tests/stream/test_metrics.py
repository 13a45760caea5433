from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.metrics import COMMIT_RESULTS, OTHER, STATUSES, Metrics

MODEL = "loan-approval"
KEY = {"model": MODEL, "version": "2", "source": "inference"}


def feature(effect: float | None, *, drifted: bool = False, p_value: float | None = 0.5) -> dict[str, Any]:
    return {
        "effect": effect,
        "p_value": p_value,
        "psi": effect,
        "ks": None,
        "drifted": drifted,
        "missing_ratio": 0.01,
        "unseen_ratio": 0.0,
    }


def window(features: dict[str, dict[str, Any]], status: str = "ok", **change: Any) -> dict[str, Any]:
    record = {
        "model": MODEL,
        "version": "2",
        "source": "inference",
        "window_start_ms": 0,
        "window_end_ms": 300_000,
        "n": 200,
        "status": status,
        "drifted": [name for name, row in features.items() if row["drifted"]],
        "features": features,
    }
    return record | change


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"driftstream_{name}", labels)


def effect(metrics: Metrics, name: str) -> float | None:
    return value(metrics, "feature_effect", model=MODEL, version="2", feature=name)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(models=[MODEL], topics=["inference"], reasons=["not_json"], top_features=2)


def test_two_workers_in_one_process_share_nothing() -> None:
    first, second = Metrics(models=[MODEL]), Metrics(models=[MODEL])
    first.late("inference", 3)
    assert value(first, "events_late_total", topic="inference") == 3
    assert value(second, "events_late_total", topic="inference") is None


def test_registers_on_the_registry_given() -> None:
    registry = CollectorRegistry()
    Metrics(registry=registry).build("0.1.0")
    assert registry.get_sample_value("driftstream_build_info", {"version": "0.1.0"}) == 1


def test_rules_can_select_topics_by_what_they_carry() -> None:
    metrics = Metrics()
    metrics.carries("truth", "labels")
    assert value(metrics, "topic_info", topic="truth", source="labels") == 1


def test_names_follow_the_conventions(metrics: Metrics) -> None:
    for family in metrics.registry.collect():
        assert family.name.startswith(("driftstream_", "process_")), family.name
        assert family.documentation.endswith("."), family.name
        assert family.unit == ""
        for word in ("_ms", "_millis", "_percent", "_count"):
            assert not family.name.endswith(word)
        if family.type == "histogram" or family.name.endswith("timestamp"):
            assert family.name.endswith("_seconds")


def test_counters_start_at_zero(metrics: Metrics) -> None:
    assert value(metrics, "records_lost_total", topic="inference") == 0
    assert value(metrics, "events_total", topic="inference", model=MODEL) == 0
    assert value(metrics, "events_rejected_total", topic="inference", reason="not_json") == 0
    assert [value(metrics, "commits_total", topic="inference", result=r) for r in COMMIT_RESULTS] == [0] * 4
    assert [value(metrics, "windows_evaluated_total", model=MODEL, status=s) for s in STATUSES] == [0] * 3


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("late", "events_late_total"),
        ("timestamp_fallbacks", "timestamp_fallbacks_total"),
        ("unknown_model", "unknown_model_events_total"),
        ("lost", "records_lost_total"),
    ],
)
def test_topic_counters_add_up(metrics: Metrics, method: str, name: str) -> None:
    getattr(metrics, method)("inference", 3)
    getattr(metrics, method)("inference", 4)
    assert value(metrics, name, topic="inference") == 7


def test_a_model_that_nobody_configured_is_counted_under_other(metrics: Metrics) -> None:
    for number in range(100):
        metrics.events("inference", f"invented-{number}", 2)
    metrics.events("inference", MODEL, 5)
    assert value(metrics, "events_total", topic="inference", model=OTHER) == 200
    assert value(metrics, "events_total", topic="inference", model=MODEL) == 5
    assert value(metrics, "series_dropped_total") == 100


def test_unknown_lag_is_absent_not_zero(metrics: Metrics) -> None:
    labels = {"topic": "inference", "partition": "3"}
    metrics.lag("inference", 3, None)
    assert value(metrics, "consumer_lag_events", **labels) is None
    metrics.lag("inference", 3, 0)
    assert value(metrics, "consumer_lag_events", **labels) == 0
    metrics.lag("inference", 3, None)
    assert value(metrics, "consumer_lag_events", **labels) is None


def test_a_revoked_partition_leaves_no_series(metrics: Metrics) -> None:
    metrics.lag("inference", 3, 10)
    metrics.watermark("inference", 3, 1_500)
    labels = {"topic": "inference", "partition": "3"}
    assert value(metrics, "watermark_timestamp_seconds", **labels) == 1.5
    metrics.revoked("inference", 3)
    assert value(metrics, "watermark_timestamp_seconds", **labels) is None
    assert value(metrics, "consumer_lag_events", **labels) is None


def test_only_a_good_commit_moves_the_last_commit(metrics: Metrics) -> None:
    metrics.commit("inference", "ok", seconds=0.004, now_ms=10_000)
    metrics.commit("inference", "fenced", seconds=0.002, now_ms=20_000)
    assert value(metrics, "last_commit_timestamp_seconds", topic="inference") == 10
    assert value(metrics, "commits_total", topic="inference", result="fenced") == 1
    assert value(metrics, "commit_duration_seconds_count") == 2


def test_a_window_shows_its_numbers(metrics: Metrics) -> None:
    metrics.observe_window(window({"age": feature(0.3, drifted=True, p_value=1e-9)}, "drift"))
    labels = {"model": MODEL, "version": "2", "feature": "age"}
    assert value(metrics, "model_drifted", **KEY) == 1
    assert value(metrics, "features_drifted", **KEY) == 1
    assert value(metrics, "window_samples", **KEY) == 200
    assert value(metrics, "window_end_timestamp_seconds", **KEY) == 300
    assert value(metrics, "feature_p_value", **labels) == 1e-9
    assert value(metrics, "feature_drifted", **labels) == 1
    assert value(metrics, "feature_ks", **labels) is None
    assert value(metrics, "windows_evaluated_total", model=MODEL, status="drift") == 1


def test_without_enough_data_no_verdict_is_shown(metrics: Metrics) -> None:
    metrics.observe_window(window({"age": feature(0.3, drifted=True)}, "drift"))
    metrics.observe_window(window({"age": feature(None)}, "not_enough_data", n=3, window_end_ms=600_000))
    assert value(metrics, "window_samples", **KEY) == 3
    assert value(metrics, "model_drifted", **KEY) is None
    assert value(metrics, "features_drifted", **KEY) is None
    assert effect(metrics, "age") is None


def test_the_features_beyond_the_top_share_one_series_with_the_worst_values(metrics: Metrics) -> None:
    rows = {
        name: feature(size, p_value=size) for name, size in zip("abcd", (0.1, 0.4, 0.2, 0.3), strict=True)
    }
    metrics.observe_window(window(rows))
    shown = {name: effect(metrics, name) for name in (*"abcd", OTHER)}
    assert shown == {"a": None, "b": 0.4, "c": None, "d": 0.3, OTHER: 0.2}
    assert value(metrics, "feature_p_value", model=MODEL, version="2", feature=OTHER) == 0.1
    assert value(metrics, "series_dropped_total") == 2


def test_a_drifted_feature_is_shown_before_a_larger_change_that_is_not_significant(metrics: Metrics) -> None:
    rows = {"a": feature(0.9), "b": feature(0.8), "c": feature(0.1, drifted=True), "d": feature(None)}
    metrics.observe_window(window(rows, "drift"))
    assert effect(metrics, "c") == 0.1
    assert effect(metrics, "a") == 0.9
    assert effect(metrics, "b") is None
    assert effect(metrics, OTHER) == 0.8


def test_a_feature_that_leaves_the_top_takes_its_series_with_it(metrics: Metrics) -> None:
    metrics.observe_window(window({"a": feature(0.9), "b": feature(0.8), "c": feature(0.1)}))
    metrics.observe_window(window({"a": feature(0.1), "b": feature(0.8), "c": feature(0.9)}))
    assert [effect(metrics, name) for name in "abc"] == [None, 0.8, 0.9]
    metrics.observe_window(window({"a": feature(0.1), "b": feature(0.2)}))
    assert effect(metrics, OTHER) is None


def test_the_number_of_series_is_bounded_however_features_change() -> None:
    metrics = Metrics(models=[MODEL], top_features=5)
    for turn in range(50):
        rows = {f"f{number}": feature(((number * 7 + turn) % 41) / 41) for number in range(200)}
        metrics.observe_window(window(rows, window_end_ms=turn))
    samples = [
        s for f in metrics.registry.collect() for s in f.samples if s.name == "driftstream_feature_effect"
    ]
    assert len(samples) == 6


def test_a_window_stated_again_does_not_hide_the_newer_one(metrics: Metrics) -> None:
    metrics.observe_window(window({"a": feature(0.5)}, window_end_ms=600_000))
    metrics.observe_window(window({"a": feature(0.1)}, window_end_ms=300_000, n=201))
    assert value(metrics, "window_end_timestamp_seconds", **KEY) == 600
    assert effect(metrics, "a") == 0.5
    assert value(metrics, "windows_evaluated_total", model=MODEL, status="ok") == 2


def test_windows_of_labels_and_inference_do_not_disturb_each_other(metrics: Metrics) -> None:
    metrics.observe_window(window({"age": feature(0.5)}))
    metrics.observe_window(window({"approved": feature(0.2)}, source="labels"))
    assert effect(metrics, "age") == 0.5
    assert effect(metrics, "approved") == 0.2


def test_an_unconfigured_model_in_a_record_makes_no_gauges(metrics: Metrics) -> None:
    metrics.observe_window(window({"a": feature(0.5)}, model="invented"))
    assert value(metrics, "windows_evaluated_total", model=OTHER, status="ok") == 1
    assert not [s for f in metrics.registry.collect() for s in f.samples if "invented" in s.labels.values()]


def test_incidents_that_ended_go_to_zero(metrics: Metrics) -> None:
    metrics.incidents(MODEL, {("data_drift", "ticket"): 2})
    metrics.incidents(MODEL, {("data_quality", "page"): 1})
    labels = {"model": MODEL, "kind": "data_drift", "severity": "ticket"}
    assert value(metrics, "incidents_firing", **labels) == 0
    labels = {"model": MODEL, "kind": "data_quality", "severity": "page"}
    assert value(metrics, "incidents_firing", **labels) == 1


def test_a_released_model_leaves_only_counters(metrics: Metrics) -> None:
    metrics.observe_window(window({"a": feature(0.5)}))
    metrics.incidents(MODEL, {("data_drift", "ticket"): 1})
    metrics.released(MODEL)
    left = [s for f in metrics.registry.collect() if f.type == "gauge" for s in f.samples]
    assert not [s for s in left if s.labels.get("model") == MODEL]
    assert value(metrics, "windows_evaluated_total", model=MODEL, status="ok") == 1
    metrics.observe_window(window({"a": feature(0.5)}, window_end_ms=1))
    assert effect(metrics, "a") == 0.5


def test_the_rest_of_the_worker(metrics: Metrics) -> None:
    metrics.partitions("inference", assigned=4, paused=1)
    metrics.evaluated(seconds=0.002, close_delay_seconds=-0.5)
    metrics.alert("data_drift", "firing")
    metrics.outbox("alerts", 7)
    metrics.ready(is_ready=True)
    metrics.rewound("inference")
    metrics.rejected("inference", "not_json")
    assert value(metrics, "partitions_assigned", topic="inference") == 4
    assert value(metrics, "partitions_paused", topic="inference") == 1
    assert value(metrics, "window_close_delay_seconds_sum") == 0
    assert value(metrics, "alerts_published_total", kind="data_drift", status="firing") == 1
    assert value(metrics, "outbox_size", outbox="alerts") == 7
    assert value(metrics, "ready") == 1
    assert value(metrics, "state_rewinds_total", topic="inference") == 1
    assert value(metrics, "events_rejected_total", topic="inference", reason="not_json") == 1


def test_a_number_that_is_not_one_is_absent_and_ranks_last(metrics: Metrics) -> None:
    rows = {"a": feature(float("nan")), "b": feature(0.1), "c": feature(0.2)}
    metrics.observe_window(window(rows))
    assert [effect(metrics, name) for name in ("a", "b", "c", OTHER)] == [None, 0.1, 0.2, None]


def test_top_features_has_a_lower_bound() -> None:
    with pytest.raises(ValueError, match="top_features is 0"):
        Metrics(top_features=0)
