from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from detectors.performance import Outcomes, PerformanceCounts, PerformanceSpec
from detectors.performance.score_bins import BINS, score_bins

SPEC = PerformanceSpec("binary", classes=("no", "yes"))


def counted(prediction, score, label, spec=SPEC) -> PerformanceCounts:
    counts = PerformanceCounts.empty(spec)
    counts.add(Outcomes(np.asarray(prediction), np.asarray(score), np.asarray(label)))
    return counts


def world(seed: int, n: int = 4000, kind: str = "even"):
    rng = np.random.default_rng(seed)
    score = {
        "even": lambda: rng.random(n),
        "rare": lambda: np.exp(-rng.gamma(3.0, 1.0, n)),
        "few": lambda: rng.choice([0.1, 0.25, 0.5, 0.9, 1.0, 0.0], n),
        "sure": lambda: 1 - np.exp(-rng.gamma(3.0, 1.0, n)),
    }[kind]()
    label = (rng.random(n) < score * 0.8 + 0.1).astype(float)
    return np.full(n, np.nan), score, label


@pytest.mark.parametrize("kind", ["even", "rare", "few", "sure"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_metric_is_that_of_scikit_learn(kind, seed):
    prediction, score, label = world(seed, kind=kind)
    found = counted(prediction, score, label).metrics()
    hard = (score >= 0.5).astype(float)
    assert found["accuracy"] == oracle.accuracy_score(label, hard)
    assert found["precision"] == oracle.precision_score(label, hard, zero_division=np.nan)
    assert found["recall"] == oracle.recall_score(label, hard)
    assert found["specificity"] == oracle.recall_score(label, hard, pos_label=0)
    assert found["f1"] == pytest.approx(oracle.f1_score(label, hard), rel=1e-14)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(label, score), rel=1e-12)
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(label, score), rel=1e-12)
    assert abs(found["roc_auc"] - oracle.roc_auc_score(label, score)) <= found["roc_auc_error"] + 1e-12
    assert (
        abs(found["pr_auc"] - oracle.average_precision_score(label, score)) <= found["pr_auc_error"] + 1e-12
    )
    assert found["roc_auc_error"] < {"even": 0.001, "rare": 0.004, "few": 0.1, "sure": 0.004}[kind]
    assert found["mean_score"] == pytest.approx(score.mean(), rel=1e-14)
    assert found["base_rate"] == label.mean()


@pytest.mark.parametrize("kind", ["even", "rare", "few", "sure"])
def test_areas_are_those_of_binned_scores(kind):
    prediction, score, label = world(3, kind=kind)
    found = counted(prediction, score, label).metrics()
    assert found["roc_auc"] == pytest.approx(oracle.roc_auc_score(label, score_bins(score)), rel=1e-12)
    binned = oracle.average_precision_score(label, score_bins(score).astype(float))
    assert found["pr_auc"] == pytest.approx(binned, rel=1e-12)


@pytest.mark.parametrize("kind", ["even", "rare", "few", "sure"])
def test_calibration_error_is_that_of_guo_with_ten_bins(kind):
    _, score, label = world(4, kind=kind)
    gap = 0.0
    for low, high in zip(np.linspace(0, 1, 11)[:-1], np.linspace(0, 1, 11)[1:], strict=True):
        inside = (score > low) & (score <= high) if low > 0 else score <= high
        gap += abs(label[inside].sum() - score[inside].sum()) / score.size
    found = counted(np.full(score.size, np.nan), score, label).metrics()
    assert found["calibration_error"] == pytest.approx(gap, rel=1e-9)


def test_a_score_on_the_edge_of_a_calibration_bin_belongs_below():
    found = counted([1.0, 1.0], [0.5, 0.55], [1.0, 0.0]).metrics()
    assert found["calibration_error"] == pytest.approx((abs(1 - 0.5) + abs(0 - 0.55)) / 2)


def test_bins_keep_the_order_of_scores_and_are_fine_where_rare_classes_lie():
    rng = np.random.default_rng(5)
    tails = 2.0 ** -(30 * rng.random(20_000))
    scores = np.sort(np.concatenate([rng.random(50_000), tails, 1 - tails, [0.0, 0.5, 1.0]]))
    bins = score_bins(scores)
    assert np.all(np.diff(bins) >= 0)
    assert (bins[0], bins[-1]) == (0, BINS - 1)
    widths = np.array([np.ptp(scores[bins == each]) for each in np.unique(bins)[1:-1]])
    assert widths.max() <= 1 / 512
    assert np.unique(score_bins(2.0**-13 * (1 + np.arange(32) / 32))).size == 32


def test_the_positive_class_may_be_the_first():
    prediction, score, label = world(6)
    turned = PerformanceSpec("binary", classes=("yes", "no"), positive="yes")
    assert (
        counted(prediction, score, 1 - label, turned).metrics() == counted(prediction, score, label).metrics()
    )


def test_rows_that_lack_something_are_told_and_used_as_far_as_they_go():
    nan = float("nan")
    counts = counted(
        #     right, wrong, no score, label unknown, prediction unknown, no label, nothing to judge, odd score
        [1.0, 1.0, 0.0, 1.0, 7.0, 1.0, nan, 0.0],
        [0.9, 0.8, nan, 0.7, 0.3, 0.9, nan, 1.5],
        [1.0, 0.0, 0.0, 2.0, 0.0, nan, 1.0, 0.0],
    )
    found = counts.metrics()
    assert counts.n == 6
    assert found["accuracy"] == 3 / 6
    assert {
        name: found[name] for name in ("unusable", "no_score", "unknown_label", "unknown_prediction")
    } == {
        "unusable": 2,
        "no_score": 2,
        "unknown_label": 1,
        "unknown_prediction": 1,
    }
    assert found["scored"] == 3
    assert found["brier"] == pytest.approx((0.1**2 + 0.8**2 + 0.3**2) / 3)
    assert found["precision"] == 1 / 3
    assert found["specificity"] == 2 / 4


def test_a_given_prediction_wins_over_the_score():
    assert counted([0.0], [0.9], [0.0]).metrics()["accuracy"] == 1.0
    assert counted([np.nan], [0.9], [0.0]).metrics()["accuracy"] == 0.0
    assert counted([np.nan], [0.5], [1.0]).metrics()["accuracy"] == 1.0


def test_what_is_not_defined_is_none():
    nothing = PerformanceCounts.empty(SPEC)
    assert {name for name, value in nothing.metrics().items() if value is not None} == {
        "n",
        "positives",
        "scored",
        "unknown_label",
        "unknown_prediction",
        "no_score",
        "unusable",
    }
    assert set(nothing.standard_errors().values()) == {None}
    only_negatives = counted([0.0, 0.0], [0.1, 0.2], [0.0, 0.0]).metrics()
    names = ("recall", "precision", "f1", "roc_auc", "pr_auc")
    assert [only_negatives[name] for name in names] == [None] * len(names)
    assert only_negatives["specificity"] == 1.0


def test_below_the_floor_only_numbers_are_said():
    counts = counted(*world(7, n=99))
    found = counts.metrics(min_n=100)
    assert found["n"] == 99
    assert found["accuracy"] is None
    assert found["roc_auc_error"] is None
    assert set(counts.standard_errors(min_n=100).values()) == {None}
    assert counts.metrics(min_n=99) == counts.metrics()


def test_standard_errors_are_the_scatter_between_samples():
    samples = [counted(*world(seed, n=400)) for seed in range(300)]
    errors = samples[0].standard_errors()
    values = {name: np.array([sample.metrics()[name] for sample in samples]) for name in errors}
    stated = {name: np.mean([sample.standard_errors()[name] for sample in samples]) for name in errors}
    for name, found in values.items():
        # pr_auc has a rough one: the binomial interval of Boyd et al. is wide for scores that rank well.
        low, high = (0.5, 2.0) if name == "pr_auc" else (0.85, 1.18)
        assert low <= stated[name] / found.std(ddof=1) <= high, name
