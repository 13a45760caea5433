from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics as oracle

from detectors import Outcomes, PerformanceCounts, PerformanceSpec

SPEC = PerformanceSpec("regression")


def counted(prediction, label) -> PerformanceCounts:
    counts = PerformanceCounts.empty(SPEC)
    prediction, label = np.asarray(prediction, dtype=float), np.asarray(label, dtype=float)
    counts.add(Outcomes(prediction, np.full(label.size, np.nan), label))
    return counts


def world(seed: int, n: int = 2000):
    rng = np.random.default_rng(seed)
    label = rng.gamma(2.0, 30.0, n) + 5.0
    return label + rng.normal(0.5, 4.0, n), label


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_metric_is_that_of_scikit_learn(seed):
    prediction, label = world(seed)
    found = counted(prediction, label).metrics()
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(label, prediction), rel=1e-13)
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(label, prediction), rel=1e-13)
    assert found["mape"] == pytest.approx(oracle.mean_absolute_percentage_error(label, prediction), rel=1e-13)
    assert found["r2"] == pytest.approx(oracle.r2_score(label, prediction), rel=1e-12)
    assert found["bias"] == pytest.approx(np.mean(prediction - label), rel=1e-12)
    assert found["mean_label"] == pytest.approx(label.mean(), rel=1e-14)


def test_r2_is_right_where_doubles_cancel():
    rng = np.random.default_rng(4)
    label = 1e9 + rng.normal(0.0, 1e-3, 500)
    prediction = label + rng.normal(0.0, 3e-4, 500)
    exact = [Fraction(value) for value in label.tolist()]
    mean = sum(exact) / len(exact)
    errors = [Fraction(p - t) for p, t in zip(prediction.tolist(), label.tolist(), strict=True)]
    expected = float(1 - sum(e * e for e in errors) / sum((t - mean) ** 2 for t in exact))
    assert counted(prediction, label).metrics()["r2"] == expected


def test_zero_labels_have_no_relative_error_and_are_told():
    found = counted([1.0, 3.0, 5.0], [0.0, 2.0, 4.0]).metrics()
    assert found["mape"] == (1 / 2 + 1 / 4) / 2
    assert (found["zero_labels"], found["n"], found["mae"]) == (1, 3, 1.0)
    assert counted([1.0], [0.0]).metrics()["mape"] is None


def test_what_is_no_number_is_told():
    found = counted([1.0, np.nan, 2.0, np.inf, 1e80], [1.0, 1.0, np.nan, 1.0, 1.0]).metrics()
    assert (found["n"], found["unusable"], found["mae"]) == (1, 4, 0.0)


def test_what_is_not_defined_is_none():
    one = counted([2.0], [1.0])
    assert one.metrics()["r2"] is None
    assert counted([2.0, 3.0], [1.0, 1.0]).metrics()["r2"] is None
    assert set(one.standard_errors().values()) == {None}
    assert PerformanceCounts.empty(SPEC).metrics()["rmse"] is None
    assert counted([1.0, 1.0], [1.0, 1.0]).standard_errors()["rmse"] == 0.0
    assert one.by_class() == {}


def test_the_largest_and_smallest_values_are_summed_without_warning():
    counts = counted([1e75, 1e-300, 0.0], [-1e75, 1e-74, 1e75])
    assert counts.metrics()["mae"] == 1e75
    assert PerformanceCounts.from_bytes(counts.to_bytes(), SPEC).metrics() == counts.metrics()


def test_a_pane_takes_few_bytes():
    assert len(counted(*world(5)).to_bytes()) < 300


def test_standard_errors_are_the_scatter_between_samples():
    samples = [counted(*world(seed, n=300)) for seed in range(300)]
    for name in samples[0].standard_errors():
        found = np.std([sample.metrics()[name] for sample in samples], ddof=1)
        stated = np.mean([sample.standard_errors()[name] for sample in samples])
        assert 0.85 <= stated / found <= 1.18, name
