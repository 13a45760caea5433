from __future__ import annotations

import numpy as np
import pytest

from detectors import Counts, MismatchError, Reference
from detectors.estimation import Estimate, Estimator

ROWS, WINDOW, WINDOWS = 20_000, 500, 120
NAMES = np.array(["a", "b", "c"])


def binary(rng, n, *, shift=0.0, threshold=0.5, concept=0.0):
    """A score that knows ``x`` and not ``g``; ``concept`` turns the effect of ``x`` down."""
    x, g = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    score = 1 / (1 + np.exp(-1.4 * x))
    truth = rng.random(n) < 1 / (1 + np.exp(-(1.5 * (1 - concept) * x + g)))
    return {"x": x, "g": g, "score": score, "pred": (score >= threshold).astype(int), "y": truth.astype(int)}


def binary_metrics(window):
    predicted, truth = window["pred"], window["y"]
    hits = (predicted & truth).sum()
    order = np.argsort(np.argsort(window["score"])) + 1
    ones = truth.sum()
    area = (order[truth == 1].sum() - ones * (ones + 1) / 2) / (ones * (truth.size - ones))
    return {
        "accuracy": (predicted == truth).mean(),
        "precision": hits / predicted.sum(),
        "recall": hits / ones,
        "f1": 2 * hits / (predicted.sum() + ones),
        "brier": ((window["score"] - truth) ** 2).mean(),
        "roc_auc": area,
    }


def values(rng, n, *, shift=0.0):
    x, rough = rng.normal(shift, 1, n), rng.random(n)
    prediction = 30 + 3 * x
    truth = prediction - 0.2 + rng.normal(0, 1 + 0.5 * np.abs(x) + rough, n)
    return {"x": x, "rough": rough, "pred": prediction, "y": truth}


def value_metrics(window):
    error = window["pred"] - window["y"]
    return {
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "bias": error.mean(),
        "mape": np.abs(error / window["y"]).mean(),
    }


def classes(rng, n, *, shift=0.0):
    chance = np.exp(1.5 * rng.normal((shift, 0.0, 0.0), 1.0, (n, 3)))
    chance /= chance.sum(axis=1, keepdims=True)
    truth = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return {"score": chance.max(axis=1), "pred": NAMES[chance.argmax(axis=1)], "y": NAMES[truth]}


def class_metrics(window):
    scores, weights = [], []
    for name in NAMES:
        predicted, truth = window["pred"] == name, window["y"] == name
        scores.append(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()))
        weights.append(truth.mean())
    return {
        "accuracy": (window["pred"] == window["y"]).mean(),
        "f1_macro": np.mean(scores),
        "f1_weighted": np.dot(scores, weights),
    }


def build(columns, **options):
    return Reference.build(columns, window_rows=WINDOW, prediction="pred", label="y", **options)


def without_labels(reference, window):
    return reference.count({name: column for name, column in window.items() if name != "y"})


def standardised(world, metrics, seed, **changes):
    """Realized less estimated over the standard error, ``(windows,)`` by metric."""
    rng = np.random.default_rng(seed)
    reference = build(world(rng, ROWS))
    estimator, found = Estimator(reference), {}
    for _ in range(WINDOWS):
        window = world(rng, WINDOW, **changes)
        estimates = estimator.estimate(without_labels(reference, window))
        for name, value in metrics(window).items():
            estimate = estimates[name]
            found.setdefault(name, []).append((value - estimate.value) / estimate.standard_error)
    return {name: np.array(column) for name, column in found.items()}


WORLDS = [
    pytest.param(binary, binary_metrics, {}, id="binary"),
    pytest.param(binary, binary_metrics, {"shift": 0.7}, id="binary, shifted"),
    pytest.param(binary, binary_metrics, {"threshold": 0.65}, id="binary, another threshold"),
    pytest.param(values, value_metrics, {}, id="regression"),
    pytest.param(classes, class_metrics, {}, id="multiclass"),
    pytest.param(classes, class_metrics, {"shift": 0.7}, id="multiclass, shifted"),
]


@pytest.mark.parametrize(("world", "metrics", "changes"), WORLDS)
def test_estimates_are_near_and_their_standard_errors_honest(world, metrics, changes):
    for name, z in standardised(world, metrics, 7, **changes).items():
        assert abs(z.mean()) < 0.6, (name, z.mean())
        assert 0.90 <= np.mean(np.abs(z) <= 2) <= 1.0, (name, np.mean(np.abs(z) <= 2))
        assert 0.7 < z.std() < 1.2, (name, z.std())


def test_what_a_feature_knows_beyond_the_score_is_used():
    """A shift of ``g``, which the score does not see, moves the truth of every score cell."""
    rng = np.random.default_rng(3)
    reference = build(binary(rng, ROWS))
    assert [correction.column for correction in reference.performance.table.corrections] == ["g"]
    blind = build({name: column for name, column in binary(rng, ROWS).items() if name != "g"})
    errors = {"with g": [], "without": []}
    for _ in range(50):
        window = binary(rng, 4000)
        kept = rng.choice(4000, WINDOW, p=np.exp(window["g"]) / np.exp(window["g"]).sum())
        window = {name: column[kept] for name, column in window.items()}
        real = binary_metrics(window)["recall"]
        for label, known in (("with g", reference), ("without", blind)):
            counted = without_labels(known, {k: v for k, v in window.items() if k in known.names})
            errors[label].append(abs(Estimator(known).estimate(counted)["recall"].value - real))
    assert np.mean(errors["with g"]) < 0.6 * np.mean(errors["without"])


def test_estimates_come_from_the_part_that_windows_are_counted_with():
    rng = np.random.default_rng(4)
    reference = build(binary(rng, ROWS))
    window = binary(rng, WINDOW)
    whole = Estimator(reference).estimate(without_labels(reference, window))
    part = reference.for_source("inference")
    assert Estimator(part).estimate(part.count(window)) == whole
    labels = Estimator(reference.for_source("labels"))
    assert not labels.possible
    assert labels.estimate(reference.for_source("labels").count(window)) == {}


def test_counts_of_another_reference_are_refused():
    estimator = Estimator(build(binary(np.random.default_rng(5), 2000)))
    with pytest.raises(MismatchError, match="do not belong"):
        estimator.estimate(Counts([[1, 0, 0], [1, 0, 0]]))


def test_a_window_without_rows_or_without_known_cells_has_no_estimate():
    rng = np.random.default_rng(6)
    reference = build(binary(rng, 5000))
    estimator = Estimator(reference)
    assert estimator.estimate(Counts.empty(reference.binning)) == {}
    window = binary(rng, 100) | {"score": np.full(100, np.nan)}
    assert estimator.estimate(without_labels(reference, window)) == {}


def test_an_unknown_part_of_the_scores_is_left_out():
    rng = np.random.default_rng(6)
    reference = build(binary(rng, 5000))
    window = binary(rng, 1000)
    holes = window | {"score": np.where(rng.random(1000) < 0.3, np.nan, window["score"])}
    estimator = Estimator(reference)
    full, part = (estimator.estimate(without_labels(reference, w))["accuracy"].value for w in (window, holes))
    assert part == pytest.approx(full, abs=0.03)


def test_fewer_labels_than_rows_widen_the_error():
    estimate = Estimate(0.9, 0.02, 0.09, 0.01, 300)
    assert estimate.error_for(300) == pytest.approx(np.sqrt(0.09 / 300 + 0.0001))
    assert estimate.error_for(30) > estimate.error_for(300) > 0.01


def test_a_classifier_without_a_score_is_estimated_from_its_predictions():
    rng = np.random.default_rng(8)

    def world(n, share):
        predicted = rng.random(n) < share
        return {
            "pred": predicted,
            "y": np.where(rng.random(n) < np.where(predicted, 0.7, 0.95), predicted, ~predicted),
        }

    reference = build(world(10_000, 0.3), outputs=())
    estimate = Estimator(reference).estimate(without_labels(reference, world(2000, 0.8)))
    assert estimate["accuracy"].value == pytest.approx(0.8 * 0.7 + 0.2 * 0.95, abs=0.02)
    assert "roc_auc" not in estimate
    assert "log_loss" not in estimate
