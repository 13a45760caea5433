"""A real Prometheus scrapes a real worker, and every panel of the dashboards shows its work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from detectors import Reference
from stream.cli import main
from stream.embedded import EmbeddedKafka, EmbeddedPrometheus
from tests.integration.ledger import Ledger, event
from tests.integration.pipeline import Pipeline, eventually, send

pytestmark = pytest.mark.services

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
WINDOW_MS = 10_000
WINDOWS, SHIFTED = 12, 8
ROWS = 200
EARLY, NEVER, CORRECTED = 60, 50, 40


def expressions() -> dict[str, str]:
    """Every query of every panel, by where it stands."""
    found: dict[str, str] = {}
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def scored_reference() -> Reference:
    """A feature that moves, one that does not, a score that is a probability, and the label it promises."""
    rng = np.random.default_rng(7)
    n = 4_000
    x = rng.normal(size=n)
    score = chance(x)
    return Reference.build(
        {
            "x": x,
            "c": rng.choice(["a", "b"], size=n, p=[0.7, 0.3]).tolist(),
            "score": score,
            "said": np.where(score >= 0.5, "yes", "no").tolist(),
            "y": np.where(rng.random(n) < score, "yes", "no").tolist(),
        },
        window_rows=ROWS,
        prediction="said",
        label="y",
        model="m",
        version="v1",
    )


def chance(x: np.ndarray) -> np.ndarray:
    """Of a "yes", as the model of this test scores it."""
    return 1.0 / (1.0 + np.exp(-2.0 * x))


class Traffic:
    """Windows of scored predictions of which one feature moves, and their labels."""

    def __init__(self, start_ms: int) -> None:
        rng = np.random.default_rng(9)
        n = WINDOWS * ROWS
        x = rng.normal(size=n) + np.where(np.arange(n) >= SHIFTED * ROWS, 1.5, 0.0)
        self.score = chance(x).tolist()
        self.label = np.where(rng.random(n) < self.score, "yes", "no").tolist()
        self.x = np.round(x, 3).tolist()
        self.c = rng.choice(["a", "b"], size=n, p=[0.7, 0.3]).tolist()
        self.ts_ms = (start_ms + np.arange(n) * (WINDOW_MS // ROWS)).tolist()

    def predictions(self) -> Iterator[tuple[int, bytes]]:
        """All of them, then an unknown model and a record that is no event."""
        for i, score in enumerate(self.score):
            said = {
                "prediction_id": str(i),
                "model": "m",
                "ts": self.ts_ms[i],
                "features": {"x": self.x[i], "c": self.c[i]},
                "score": score,
                "prediction": "yes" if score >= 0.5 else "no",
            }
            yield i % 8, json.dumps(said).encode()
        yield 0, event(0, self.ts_ms[0], model="ghost")
        yield 0, b"{"

    def labels(self, rows: Iterable[int], later_ms: int = 2_000) -> Iterator[tuple[int, bytes]]:
        """Of some predictions, known ``later_ms`` after them."""
        for i in rows:
            told = {
                "prediction_id": str(i),
                "model": "m",
                "ts": self.ts_ms[i] + later_ms,
                "label": self.label[i],
            }
            yield (i + 3) % 8, json.dumps(told).encode()


def test_every_panel_and_the_status_show_a_working_worker(
    tmp_path: Path,
    kafka: EmbeddedKafka,
    redis_url: str,
    prometheus_binary: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_ms = Ledger(0, window_ms=WINDOW_MS).start_ms - WINDOWS * WINDOW_MS
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [scored_reference()]}) as pipeline:
        worker = pipeline.ready_worker()
        with EmbeddedPrometheus([urlsplit(worker.url("/metrics")).netloc], rules=RULES) as prometheus:
            prometheus.wait_for('up{job="driftstream"} == 1')
            producer, traffic = pipeline.producer(), Traffic(start_ms)
            send(producer, pipeline.topics["labels"], traffic.labels(range(EARLY)))
            joins = 'sum(driftstream_label_joins_total{model="m",result="%s"}) == %d'
            prometheus.wait_for(joins % ("early", EARLY))
            send(producer, pipeline.topics["inference"], traffic.predictions())
            prometheus.wait_for(joins % ("predictions", WINDOWS * ROWS))
            labelled = range(WINDOWS * ROWS - NEVER)
            send(producer, pipeline.topics["labels"], traffic.labels(labelled))
            send(producer, pipeline.topics["labels"], traffic.labels(labelled[:CORRECTED], 3_000))
            prometheus.wait_for(joins % ("joined", len(labelled)))
            prometheus.wait_for(joins % ("early_joined", EARLY))
            prometheus.wait_for(joins % ("corrected", CORRECTED))
            prometheus.wait_for('model:driftstream_predictions:rate30m{model="m"} > 0')
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
            for kind in ("realized", "estimated"):
                accuracy = f'driftstream_performance{{model="m",metric="accuracy",kind="{kind}"}}'
                assert 0.7 < float(prometheus.query(accuracy)[0]["value"][1]) < 1.0
            assert prometheus.query("sum(driftstream_unknown_model_events_total)")[0]["value"][1] == "1"
            assert prometheus.query("sum(driftstream_events_rejected_total)")[0]["value"][1] == "1"
        assert main(["status", "--config", str(pipeline.config), "--output", "json"]) == 0
        (model,) = json.loads(capsys.readouterr().out)["models"]
        joins = {"predictions": WINDOWS * ROWS, "joined": len(labelled), "early_joined": EARLY}
        assert joins.items() <= model["joins"].items()
        (series,) = (each for each in model["series"] if each["source"] == "inference")
        assert 0.7 < series["performance"]["realized"]["accuracy"] < 1.0
        assert series["performance"]["estimated"]["accuracy"] > 0.7
        assert 0.0 < series["performance"]["realized"]["coverage"] <= 1.0
