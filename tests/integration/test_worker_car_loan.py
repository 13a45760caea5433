"""Real loans through Apache Kafka with labels that come late, twice, corrected, first or never.

What is final of every window must be what a batch computes of the same rows, also when the worker is killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from detectors import Reference
from stream.embedded import EmbeddedKafka
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "nannyml_car_loan.parquet"
FEATURES = ("car_value", "salary_range", "debt_to_income_ratio", "loan_length", "driver_tenure")
FIRST, ROWS, PER_WINDOW = 65_000, 20_000, 1_000  # the covariate shift is at row 75,000
ROW_MS, WINDOW_MS = 100, 100_000
PARTITIONS = 4

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not DATA.exists(), reason="nannyml_car_loan.parquet is not here"),
]


@pytest.fixture(scope="module")
def loans() -> pl.DataFrame:
    return pl.read_parquet(DATA)


@pytest.fixture(scope="module")
def reference(loans: pl.DataFrame) -> Reference:
    known = loans[:30_000]
    columns: dict[str, Any] = {name: known[name].to_list() for name in FEATURES}
    columns |= {"score": known["y_pred_proba"].to_list(), "prediction": known["y_pred"].to_list()}
    columns["label"] = known["repaid"].cast(pl.Int64).to_list()
    return Reference.build(
        columns,
        window_rows=PER_WINDOW,
        prediction="prediction",
        label="label",
        model="loan",
        version="v1",
    )


class Traffic:
    """The events of both topics in the order in which they are sent, and the truth that stands in the end."""

    def __init__(self, loans: pl.DataFrame, start_ms: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.live = loans[FIRST : FIRST + ROWS]
        self.label = self.live["repaid"].cast(pl.Int64).to_numpy()
        self.ts_ms = start_ms + ROW_MS * np.arange(ROWS)
        luck = rng.permutation(ROWS)
        cut = np.cumsum([int(share * ROWS) for share in (0.03, 0.01, 0.02, 0.05)])
        self.never, early, corrected, twice = np.split(luck, cut)[:4]
        known_ms = self.ts_ms + ROW_MS * rng.integers(0, 3_000, ROWS)
        sent = [(int(ms), 0, self._prediction(i)) for i, ms in enumerate(self.ts_ms)]
        for i in np.setdiff1d(luck, self.never).tolist():
            at_ms = start_ms - 1 if i in set(early.tolist()) else int(known_ms[i])
            sent.append((at_ms, 1, self._label(i, int(self.label[i]), int(known_ms[i]))))
        for i in corrected.tolist():
            wrong = self._label(i, 1 - int(self.label[i]), int(known_ms[i]) - 1)
            sent.append((int(known_ms[i]) + ROW_MS * int(rng.integers(-500, 500)), 1, wrong))
        for i in twice.tolist():
            again = self._label(i, int(self.label[i]), int(known_ms[i]))
            sent.append((int(known_ms[i]) + ROW_MS * int(rng.integers(0, 500)), 1, again))
        sent.sort(key=lambda each: each[0])
        self.sent = sent
        self.partition = rng.integers(0, PARTITIONS, len(sent)).tolist()

    def _prediction(self, i: int) -> bytes:
        row = self.live.row(i, named=True)
        event = {
            "prediction_id": f"loan-{i}",
            "model": "loan",
            "ts": int(self.ts_ms[i]),
            "features": {name: row[name] for name in FEATURES},
            "prediction": row["y_pred"],
            "score": row["y_pred_proba"],
        }
        return json.dumps(event).encode()

    def _label(self, i: int, label: int, ts_ms: int) -> bytes:
        event = {"prediction_id": f"loan-{i}", "model": "loan", "label": label, "ts": ts_ms}
        return json.dumps(event).encode()

    def part(self, source: int, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """(partition, value) of what is sent of one topic."""
        for (_, topic, value), partition in zip(
            self.sent[first:stop], self.partition[first:stop], strict=True
        ):
            if topic == source:
                yield partition, value

    def rows_of(self, window: int) -> np.ndarray:
        """Rows of a window whose label comes."""
        return np.setdiff1d(np.arange(window * PER_WINDOW, (window + 1) * PER_WINDOW), self.never)


def check(traffic: Traffic, window: int, record: dict[str, Any]) -> None:
    realized = record["performance"]["realized"]
    rows = traffic.rows_of(window)
    label = traffic.label[rows]
    said = traffic.live["y_pred"].to_numpy()[rows]
    score = traffic.live["y_pred_proba"].cast(pl.Float64).to_numpy()[rows]
    assert realized["final"]
    assert (record["n"], realized["predictions"], realized["n"]) == (PER_WINDOW, PER_WINDOW, len(rows))
    assert realized["accuracy"] == accuracy_score(label, said)
    assert realized["f1"] == pytest.approx(f1_score(label, said), abs=1e-12)
    assert realized["log_loss"] == pytest.approx(log_loss(label, score), abs=1e-12)
    assert abs(realized["roc_auc"] - roc_auc_score(label, score)) <= realized["roc_auc_error"] + 1e-12


@pytest.mark.parametrize("killed", [False, True], ids=["one run", "killed in between"])
def test_final_numbers_are_those_of_a_batch(
    tmp_path: Path,
    kafka: EmbeddedKafka,
    redis_url: str,
    loans: pl.DataFrame,
    reference: Reference,
    *,
    killed: bool,
) -> None:
    seed = int(os.environ.get("TEST_SEED", "0")) or int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    start_ms = (time.time_ns() // 1_000_000 - 3 * 3_600_000) // WINDOW_MS * WINDOW_MS
    traffic = Traffic(loans, start_ms, seed)
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"loan": [reference]},
        partitions=PARTITIONS,
        time={"out_of_orderness": "60s", "idle_after": "2s"},
        defaults={
            "window": f"{WINDOW_MS}ms",
            "slide": f"{WINDOW_MS}ms",
            "grace": "5s",
            "labels": {"horizon": "10m", "settle": "5m"},
        },
    ) as pipeline:
        worker = pipeline.ready_worker()
        metrics, producer = pipeline.reader("metrics"), pipeline.producer()
        half = len(traffic.sent) // 2
        for first, stop in ((0, half), (half, len(traffic.sent))):
            for source, role in enumerate(("inference", "labels")):
                send(producer, pipeline.topics[role], traffic.part(source, first, stop))
            if killed and stop == half:
                eventually(lambda: pipeline.total("events", "labels") > 1_000, "labels to be counted")
                worker.kill()
                worker.start()

        def finals() -> dict[int, dict[str, Any]]:
            found = last_revisions(metrics.poll())
            return {start: r for start, r in found.items() if r["performance"]["realized"]["final"]}

        def is_whole(windows: dict[int, dict[str, Any]]) -> bool:
            labelled = [windows[start]["performance"]["realized"]["n"] for start in sorted(windows)]
            return labelled == [len(traffic.rows_of(window)) for window in range(ROWS // PER_WINDOW)]

        windows = eventually(
            lambda: is_whole(found := finals()) and found,
            lambda: f"every window to be final: {sorted(finals())}; {worker.log[-2000:]}",
            timeout_s=120,
        )
        for window, start in enumerate(sorted(windows)):
            check(traffic, window, windows[start])
        revisions = [record["revision"] for record in windows.values()]
        assert min(revisions) >= 1  # stated again as labels came
