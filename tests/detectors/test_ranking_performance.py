from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from detectors import Outcomes, PerformanceCounts, PerformanceSpec

SPEC = PerformanceSpec("ranking", k=(10, 3))


def counted(label, spec=SPEC) -> PerformanceCounts:
    counts = PerformanceCounts.empty(spec)
    label = np.asarray(label, dtype=float)
    counts.add(Outcomes(np.full(label.size, np.nan), np.full(label.size, np.nan), label))
    return counts


def test_every_metric_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    items = 30
    scores = rng.random((400, items))
    relevant = rng.integers(0, items, 400)
    truth = np.eye(items)[relevant]
    scores[np.arange(400), relevant] += 0.3 * rng.random(400)
    rank = 1 + (scores > scores[np.arange(400), relevant][:, None]).sum(axis=1)
    found = counted(rank).metrics()
    for k, name in ((10, ""), (3, "@3")):
        assert found[f"ndcg{name}"] == pytest.approx(oracle.ndcg_score(truth, scores, k=k), rel=1e-12)
        hits = oracle.top_k_accuracy_score(relevant, scores, k=k, labels=np.arange(items))
        assert found[f"hit_rate{name}"] == hits
    # With one relevant item, the precision at it is the reciprocal of its rank.
    expected = oracle.label_ranking_average_precision_score(truth, scores)
    assert found["mrr"] == pytest.approx(expected, rel=1e-12)


def test_items_that_are_not_in_the_list_are_misses():
    found = counted([1.0, 0.0, np.nan, np.inf, 500.0]).metrics()
    assert (found["n"], found["not_listed"], found["unusable"]) == (5, 3, 0)
    assert (found["hit_rate"], found["hit_rate@3"], found["ndcg"]) == (0.2, 0.2, 0.2)
    assert found["mrr"] == pytest.approx((1 + 1 / 500) / 5, rel=1e-15)


def test_ranks_that_are_none_are_told():
    found = counted([2.0, -1.0, 1.5, -np.inf]).metrics()
    assert (found["n"], found["unusable"], found["mrr"]) == (1, 3, 0.5)


def test_what_is_not_defined_is_none():
    nothing = PerformanceCounts.empty(SPEC)
    assert [nothing.metrics()[name] for name in ("hit_rate", "ndcg", "mrr")] == [None] * 3
    assert set(nothing.standard_errors().values()) == {None}
    assert nothing.by_class() == {}


def test_standard_errors_are_the_scatter_between_samples():
    rng = np.random.default_rng(2)
    samples = [counted(rng.geometric(0.15, 300)) for _ in range(400)]
    for name in samples[0].standard_errors():
        found = np.std([sample.metrics()[name] for sample in samples], ddof=1)
        stated = np.mean([sample.standard_errors()[name] for sample in samples])
        assert 0.87 <= stated / found <= 1.15, name
