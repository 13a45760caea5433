"""Real outcomes whose labels come late, twice or corrected: the counts are those of the final labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle

from detectors import Outcomes, PerformanceCounts, PerformanceSpec

LOANS = Path(__file__).parents[3] / "shared" / "data" / "nannyml_car_loan.parquet"
SPEC = PerformanceSpec("binary", classes=("0", "1"))
WINDOW = 5_000


@pytest.fixture(scope="module")
def loans() -> dict[str, np.ndarray]:
    if not LOANS.exists():
        pytest.skip(f"{LOANS} is not there")
    frame = pl.read_parquet(LOANS)
    return {name: frame[name].to_numpy().astype(float) for name in ("y_pred", "y_pred_proba", "repaid")}


def arrivals(labels: np.ndarray, rng: np.random.Generator):
    """Yield (row, label) as labels come: delayed by up to 3,000, 5 % twice, 2 % wrong first, 3 % never."""
    rows = np.flatnonzero(rng.random(labels.size) >= 0.03)
    wrong = rows[rng.random(rows.size) < 0.02]
    twice = rows[rng.random(rows.size) < 0.05]
    sent = np.concatenate((wrong, rows, twice))
    # A wrong label comes before the right one; everything else in any order.
    when = np.concatenate((wrong - 1.0, rows + 3000 * rng.random(rows.size), twice + 3001.0))
    said = np.concatenate((1.0 - labels[wrong], labels[rows], labels[twice]))
    for at in np.argsort(when, kind="stable").tolist():
        yield int(sent[at]), float(said[at])


@pytest.mark.parametrize("seed", [1, 2])
def test_final_counts_are_those_of_the_batch_however_the_labels_came(loans, seed):
    part = slice(40_000, 60_000)
    prediction, score, truth = (loans[name][part] for name in ("y_pred", "y_pred_proba", "repaid"))
    panes = [PerformanceCounts.empty(SPEC) for _ in range(truth.size // WINDOW)]
    known = np.full(truth.size, np.nan)
    signed: dict[tuple[int, int], list[tuple[int, float]]] = {}

    def count_what_came() -> None:
        for (pane, sign), rows in signed.items():
            at = np.array([row for row, _ in rows])
            labels = np.array([label for _, label in rows])
            panes[pane].add(Outcomes(prediction[at], score[at], labels), sign=sign)
        signed.clear()

    for turn, (row, label) in enumerate(arrivals(truth, np.random.default_rng(seed))):
        if label != known[row]:
            if not np.isnan(known[row]):
                signed.setdefault((row // WINDOW, -1), []).append((row, known[row]))
            signed.setdefault((row // WINDOW, 1), []).append((row, label))
            known[row] = label
        if turn % 1000 == 0:
            count_what_came()
    count_what_came()

    for pane, start in zip(panes, range(0, truth.size, WINDOW), strict=True):
        rows = np.arange(start, start + WINDOW)
        rows = rows[~np.isnan(known[rows])]
        batch = PerformanceCounts.empty(SPEC)
        batch.add(Outcomes(prediction[rows], score[rows], truth[rows]))
        assert pane.to_bytes() == batch.to_bytes()
        assert len(pane.to_bytes()) < 2_000
        found = pane.metrics()
        assert found["accuracy"] == oracle.accuracy_score(truth[rows], prediction[rows])
        assert found["f1"] == pytest.approx(oracle.f1_score(truth[rows], prediction[rows]), rel=1e-14)
        assert found["log_loss"] == pytest.approx(oracle.log_loss(truth[rows], score[rows]), rel=1e-12)
        area = oracle.roc_auc_score(truth[rows], score[rows])
        assert abs(found["roc_auc"] - area) <= found["roc_auc_error"] + 1e-12
        # The scores are of two decimals: no bin holds two different ones, and nothing is lost.
        assert found["roc_auc"] == pytest.approx(area, rel=1e-12)
