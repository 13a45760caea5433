"""What Grafana and the alert rules ask, asked of a real Prometheus that scrapes a worker's endpoint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.embedded.prometheus import EmbeddedPrometheus
from stream.metrics import Metrics
from stream.web import serve

pytestmark = pytest.mark.services

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
CHOSEN = {"model": "loan", "version": "2", "feature": "age|income|__other__", "topic": "inference|labels"}
PERFORMANCE = {
    "realized": {
        "accuracy": 0.91,
        "log_loss": 0.24,
        "n": 1100,
        "coverage": 0.92,
        "delay_p50_ms": 60_000.0,
        "delay_p95_ms": 900_000.0,
    },
    "estimated": {"accuracy": 0.93, "log_loss": 0.21},
}


def window(model: str, number: int, source: str) -> dict[str, Any]:
    names = ("age", "income", "plan", "region") if source == "inference" else ("label",)
    rows = {
        name: {
            "effect": 0.4 / place,
            "p_value": 10.0**-place,
            "psi": 0.3 / place,
            "ks": 0.2 / place,
            "drifted": place == 1,
            "missing_ratio": 0.01 * place,
            "unseen_ratio": 0.0,
        }
        for place, name in enumerate(names, start=1)
    }
    return {
        "model": model,
        "version": "2",
        "source": source,
        "window_start_ms": (number - 1) * 60_000,
        "window_end_ms": number * 60_000,
        "n": 1200,
        "status": "drift",
        "drifted": [names[0]],
        "features": rows,
        "performance": PERFORMANCE if source == "inference" else None,
    }


def work(metrics: Metrics, number: int) -> None:
    """One minute in the life of a worker."""
    for topic in ("inference", "labels"):
        metrics.carries(topic, topic)
        metrics.partitions(topic, assigned=2, paused=0)
        metrics.flooded(topic, is_flooded=False)
        metrics.events_total.labels(topic, "loan").inc(1000)
        metrics.events_rejected_total.labels(topic, "not_json").inc(10)
        metrics.events_late_total.labels(topic).inc(20)
        metrics.timestamp_fallbacks_total.labels(topic).inc()
        metrics.unknown_model_events_total.labels(topic).inc(5)
        for result in ("ok", "fenced"):
            metrics.commits_total.labels(topic, result).inc()
        metrics.commit_duration_seconds.observe(0.004)
        metrics.last_commit_timestamp_seconds.labels(topic).set(number * 60)
        for partition in (0, 1):
            metrics.lag(topic, partition, 40 + number)
            metrics.watermark(topic, partition, number * 60_000)
    for model in ("loan", "fraud"):
        for source in ("inference", "labels"):
            metrics.observe_window(window(model, number, source))
        metrics.performance.waiting(7 * number)
        metrics.performance.joined(model, {"joined": 900, "early": 50, "early_joined": 20})
        metrics.incidents(model, {("data_drift", "ticket"): 1, ("data_quality", "page"): 1})
        metrics.evaluated(seconds=0.003, close_delay_seconds=1.5)
    metrics.alert("data_drift", "firing")
    metrics.outbox("models", 3)
    metrics.ready(is_ready=True)
    metrics.build("0.1.0")


@pytest.fixture(scope="module")
def prometheus(prometheus_binary: str) -> Iterator[EmbeddedPrometheus]:
    metrics = Metrics(
        models=["loan", "fraud"], topics=["inference", "labels"], reasons=["not_json"], top_features=2
    )
    work(metrics, 1)
    answer = (True, "ok")
    with (
        serve(metrics.registry, livez=lambda: answer, readyz=lambda: answer, port=0) as endpoint,
        EmbeddedPrometheus([f"{endpoint.host}:{endpoint.port}"], rules=RULES) as server,
    ):
        server.wait_for('up{job="driftstream"} == 1')
        server.wait_for('sum(driftstream_events_total{topic="inference"}) == 1000')
        work(metrics, 2)  # a rate needs two scrapes with work in between
        for record in recorded():  # each group of rules is evaluated at a time of its own
            server.wait_for(f"{record} > 0")
        yield server


def recorded() -> list[str]:
    return [rule["record"] for path in RULES for rule in all_rules(path) if "record" in rule]


def all_rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def expressions() -> Iterator[Any]:
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                name = f"{path.stem}-{panel['title']}-{target['refId']}"
                yield pytest.param(target["expr"], target["legendFormat"], id=name)


def rules(kind: str) -> list[Any]:
    return [pytest.param(rule, id=rule[kind]) for path in RULES for rule in all_rules(path) if kind in rule]


def chosen(text: str) -> str:
    return re.sub(r"\$(\w+)", lambda match: CHOSEN[match[1]], text)


@pytest.mark.parametrize(("expression", "legend"), list(expressions()))
def test_every_panel_shows_something(prometheus: EmbeddedPrometheus, expression: str, legend: str) -> None:
    series = prometheus.query(chosen(expression))
    assert series, expression
    assert not any(math.isnan(float(each["value"][1])) for each in series)
    for each in series:
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= set(each["metric"]), (
            "a label of the legend is not there"
        )


@pytest.mark.parametrize("rule", rules("record"))
def test_every_recording_rule_records(prometheus: EmbeddedPrometheus, rule: dict[str, Any]) -> None:
    assert prometheus.query(rule["record"])


@pytest.mark.parametrize("rule", rules("alert"))
def test_every_alert_expression_can_be_asked(prometheus: EmbeddedPrometheus, rule: dict[str, Any]) -> None:
    prometheus.query(rule["expr"])


def test_incidents_reach_prometheus_as_page_and_ticket(prometheus: EmbeddedPrometheus) -> None:
    prometheus.wait_for(
        'ALERTS{alertname="DriftstreamIncidentPage", alertstate="firing", kind="data_quality"}'
    )
    prometheus.wait_for(
        'ALERTS{alertname="DriftstreamIncidentTicket", alertstate="firing", kind="data_drift"}'
    )


def test_no_rule_fails(prometheus: EmbeddedPrometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    assert len(loaded) == len(rules("record")) + len(rules("alert"))
    assert [(rule["name"], rule.get("lastError")) for rule in loaded if rule["health"] == "err"] == []


def test_every_variable_offers_a_choice(prometheus: EmbeddedPrometheus) -> None:
    for path in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
        for variable in json.loads(path.read_text())["templating"]["list"]:
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked is not None
            offered = prometheus.get(f"label/{asked[2]}/values", **{"match[]": chosen(asked[1])})
            assert set(CHOSEN[variable["name"]].split("|")) & set(offered)


def test_a_scrape_holds_no_series_that_doubles_another(prometheus: EmbeddedPrometheus) -> None:
    assert not prometheus.query('{__name__=~"driftstream_.*_created"}')
