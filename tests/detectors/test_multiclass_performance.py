from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from detectors import Outcomes, PerformanceCounts, PerformanceSpec
from detectors.performance.class_table import f1_errors, macro_metrics

NAMES = ("ham", "offer", "spam", "virus")
SPEC = PerformanceSpec("multiclass", classes=NAMES)
NAN = float("nan")


def world(seed: int, n: int = 3000):
    rng = np.random.default_rng(seed)
    vectors = rng.dirichlet([2.0, 1.0, 1.0, 0.2], n)
    label = np.array([rng.choice(4, p=0.7 * row + 0.075) for row in vectors], dtype=float)
    return vectors, label


def of_vectors(vectors, label) -> PerformanceCounts:
    counts = PerformanceCounts.empty(SPEC)
    counts.add(Outcomes(np.full(label.size, NAN), vectors, label))
    return counts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_metric_is_that_of_scikit_learn(seed):
    vectors, label = world(seed)
    counts = of_vectors(vectors, label)
    found, hard = counts.metrics(), vectors.argmax(axis=1)
    assert found["accuracy"] == oracle.accuracy_score(label, hard)
    for average, score in (("macro", "f1_macro"), ("weighted", "f1_weighted")):
        assert found[score] == pytest.approx(oracle.f1_score(label, hard, average=average), rel=1e-13)
    for name, of in (("precision", oracle.precision_score), ("recall", oracle.recall_score)):
        expected = of(label, hard, average="macro", zero_division=0.0)
        assert found[f"{name}_macro"] == pytest.approx(expected, rel=1e-13)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(label, vectors), rel=1e-12)
    rates = oracle.precision_recall_fscore_support(label, hard, zero_division=0.0)
    for at, name in enumerate(NAMES):
        mine = counts.by_class()[name]
        assert [mine["precision"] or 0.0, mine["recall"], mine["f1"], mine["support"]] == pytest.approx(
            [column[at] for column in rates], rel=1e-13
        )


def test_classes_that_never_come_are_not_averaged():
    label, hard = np.array([0.0, 0.0, 1.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    counts = PerformanceCounts.empty(SPEC)
    counts.add(Outcomes(hard, np.full(5, NAN), label))
    found = counts.metrics()
    assert found["f1_macro"] == pytest.approx(oracle.f1_score(label, hard, average="macro"))
    assert found["f1_weighted"] == pytest.approx(oracle.f1_score(label, hard, average="weighted"))


def test_errors_of_f1_are_those_of_its_slopes():
    vectors, label = world(7, n=400)
    table = np.zeros((5, 5), dtype=np.int64)
    np.add.at(table, (np.where(label == 3, 4, label).astype(int), vectors.argmax(axis=1)), 1)
    found = f1_errors(table)
    for name in ("f1_macro", "f1_weighted"):
        slopes = np.zeros((5, 5))
        for cell in np.ndindex(5, 5):
            more, less = table * 10_000, table * 10_000
            more[cell] += 1
            less[cell] -= table[cell] > 0
            steps = 1 + (table[cell] > 0)
            slopes[cell] = (macro_metrics(more)[name] - macro_metrics(less)[name]) * 10_000 / steps
        centred = slopes - np.sum(table * slopes) / table.sum()
        assert found[name] == pytest.approx(np.sqrt(np.sum(table * centred**2)), rel=1e-4)


def test_calibration_is_that_of_the_predicted_class():
    vectors, label = world(4)
    confidence, right = vectors.max(axis=1), vectors.argmax(axis=1) == label
    tenth = np.minimum(np.ceil(confidence * 10) - 1, 9)
    gap = sum(abs(right[tenth == b].sum() - confidence[tenth == b].sum()) for b in range(10)) / label.size
    assert of_vectors(vectors, label).metrics()["calibration_error"] == pytest.approx(gap, rel=1e-9)


def test_the_score_of_the_prediction_alone_gives_all_but_the_log_loss():
    vectors, label = world(5)
    counts = PerformanceCounts.empty(SPEC)
    counts.add(Outcomes(vectors.argmax(axis=1).astype(float), vectors.max(axis=1), label))
    assert counts.metrics() == of_vectors(vectors, label).metrics() | {"log_loss": None}


def test_unknown_classes_count_as_wrong_and_are_told():
    counts = PerformanceCounts.empty(SPEC)
    label = np.array([0.0, 4.0, 4.0, 1.0, 2.5, NAN])
    prediction = np.array([0.0, 4.0, 1.0, 9.0, 2.0, 0.0])
    counts.add(Outcomes(prediction, np.full(6, 0.5), label))
    found = counts.metrics()
    assert counts.n == 5
    assert found["accuracy"] == 1 / 5
    assert (found["unknown_label"], found["unknown_prediction"], found["unusable"]) == (3, 2, 1)
    assert counts.by_class()["offer"] == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "support": 1.0,
        "predicted": 1.0,
    }
    assert counts.by_class()["virus"]["f1"] is None


def test_probabilities_that_are_none_are_told_and_the_prediction_still_counts():
    vectors = np.array([[0.7, 0.1, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1], [NAN] * 4, [2.0, -1.0, 0.0, 0.0]])
    counts = PerformanceCounts.empty(SPEC)
    counts.add(Outcomes(np.zeros(4), vectors, np.zeros(4)))
    found = counts.metrics()
    assert (found["n"], found["accuracy"], found["no_score"], found["scored"]) == (4, 1.0, 3, 1)
    assert found["log_loss"] == pytest.approx(-np.log(0.7))
    counts.add(Outcomes(np.full(4, NAN), vectors, np.zeros(4)))
    assert counts.metrics()["unusable"] == 3
    with pytest.raises(ValueError, match="one per class"):
        counts.add(Outcomes(np.zeros(2), np.zeros((2, 3)), np.zeros(2)))


def test_two_hundred_classes_take_few_bytes():
    spec = PerformanceSpec("multiclass", classes=tuple(f"class {at}" for at in range(200)))
    rng = np.random.default_rng(6)
    label = rng.integers(0, 200, 1000).astype(float)
    counts = PerformanceCounts.empty(spec)
    counts.add(Outcomes(np.where(rng.random(1000) < 0.8, label, 3.0), rng.random(1000), label))
    data = counts.to_bytes()
    assert len(data) < 1_500
    assert PerformanceCounts.from_bytes(data, spec) == counts


def test_standard_errors_are_the_scatter_between_samples():
    samples = [of_vectors(*world(seed, n=150)) for seed in range(250)]
    for name in samples[0].standard_errors():
        found = np.std([sample.metrics()[name] for sample in samples], ddof=1)
        stated = np.mean([sample.standard_errors()[name] for sample in samples])
        assert 0.83 <= stated / found <= 1.2, name
