"""A real Prometheus scrapes a real worker, and every panel of the dashboards shows its work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from stream.embedded import EmbeddedKafka, EmbeddedPrometheus
from tests.integration.ledger import Ledger, event
from tests.integration.pipeline import Pipeline, eventually, send, synthetic_reference

pytestmark = pytest.mark.services

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
WINDOW_MS = 10_000
WINDOWS, SHIFTED = 12, 8
ROWS = 200


def expressions() -> dict[str, str]:
    """Every query of every panel, by where it stands."""
    found: dict[str, str] = {}
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def drifting_events(start_ms: int) -> Iterator[tuple[int, bytes]]:
    """Windows of two features of which one moves, then an unknown model and a record that is no event."""
    rng = np.random.default_rng(9)
    for i in range(WINDOWS * ROWS):
        shift = 1.5 if i >= SHIFTED * ROWS else 0.0
        x = round(float(rng.normal()) + shift, 3)
        yield i % 8, event(i, start_ms + i * (WINDOW_MS // ROWS), x=x, c="a" if rng.random() < 0.7 else "b")
    yield 0, event(0, start_ms, model="ghost")
    yield 0, b"{"


def labels(start_ms: int) -> Iterator[tuple[int, bytes]]:
    rng = np.random.default_rng(3)
    for i in range(WINDOWS * ROWS):
        y = "yes" if rng.random() < 0.2 else "no"
        at_ms = start_ms + i * (WINDOW_MS // ROWS)
        yield i % 8, json.dumps({"prediction_id": str(i), "model": "m", "label": y, "ts": at_ms}).encode()


def test_every_panel_shows_a_working_worker(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str, prometheus_binary: str
) -> None:
    start_ms = Ledger(0, window_ms=WINDOW_MS).start_ms - WINDOWS * WINDOW_MS
    with Pipeline(
        tmp_path, kafka, redis_url, references={"m": [synthetic_reference(labels=True)]}
    ) as pipeline:
        worker = pipeline.ready_worker()
        with EmbeddedPrometheus([urlsplit(worker.url("/metrics")).netloc], rules=RULES) as prometheus:
            prometheus.wait_for('up{job="driftstream"} == 1')
            producer = pipeline.producer()
            send(producer, pipeline.topics["inference"], drifting_events(start_ms))
            send(producer, pipeline.topics["labels"], labels(start_ms))
            prometheus.wait_for(f'sum(driftstream_windows_evaluated_total{{model="m"}}) >= {2 * WINDOWS}')
            prometheus.wait_for('driftstream_incidents_firing{model="m",kind="data_drift"} == 1')
            chosen = {
                "model": "m",
                "version": "v1",
                "feature": "x|c|y",
                "topic": "|".join(pipeline.topics[role] for role in ("inference", "labels")),
            }
            for place, asked in expressions().items():
                query = re.sub(r"\$(\w+)", lambda match: chosen[match[1]], asked)
                eventually(lambda query=query: prometheus.query(query), f"{place}: {query}")
            assert prometheus.query("sum(driftstream_unknown_model_events_total)")[0]["value"][1] == "1"
            assert prometheus.query("sum(driftstream_events_rejected_total)")[0]["value"][1] == "1"
