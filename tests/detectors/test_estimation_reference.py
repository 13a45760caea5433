from __future__ import annotations

import json

import numpy as np
import pytest

from detectors import FormatError, Reference

RNG = np.random.default_rng(17)
ROWS = 4000
SCORE = RNG.uniform(size=ROWS)
TRUTH = RNG.uniform(size=ROWS) < SCORE


def build(columns, **options):
    return Reference.build(columns, window_rows=100, **{"label": "y", **options})


def test_the_metrics_of_the_whole_reference_are_kept():
    reference = build({"score": SCORE, "y": TRUTH})
    known = reference.performance
    assert reference.has_outcomes
    assert (known.spec.task, known.spec.classes, known.spec.positive) == ("binary", ("false", "true"), "true")
    assert (known.rows, known.chunks) == (ROWS, 40)
    assert known.metrics["accuracy"] == pytest.approx(np.mean((SCORE >= 0.5) == TRUTH))
    assert known.metrics["brier"] == pytest.approx(np.mean((SCORE - TRUTH) ** 2))
    accuracy = known.metrics["accuracy"]
    assert known.variation["accuracy"].row_variance == pytest.approx(accuracy * (1 - accuracy), rel=0.02)
    assert known.variation["accuracy"].tau2 == 0.0
    assert reference.performance.table.corrections == ()


def test_positive_is_the_class_with_the_higher_score():
    turned = build({"score": 1 - SCORE, "y": np.where(TRUTH, "good", "bad")})
    assert turned.performance.spec.positive == "bad"
    assert turned.performance.metrics["roc_auc"] > 0.8


def test_the_section_reads_back_and_stays_with_both_sources():
    reference = build({"score": SCORE, "y": TRUTH, "age": RNG.normal(size=ROWS)})
    again = Reference.from_json(reference.to_json())
    assert again.performance == reference.performance
    assert again.fingerprint == reference.fingerprint
    for source in ("inference", "labels"):
        part = reference.for_source(source)
        assert part.performance == reference.performance
        assert Reference.from_json(part.to_json()) == part


@pytest.mark.parametrize(
    "columns", [{"score": SCORE}, {"x": SCORE, "y": TRUTH}], ids=["no label", "no output"]
)
def test_without_outcomes_the_file_is_what_it_was(columns):
    reference = build(columns, label="y" if "y" in columns else None)
    assert not reference.has_outcomes
    assert "performance" not in json.loads(reference.to_json())


def test_performance_that_differs_between_chunks_is_learned():
    steady = np.repeat(RNG.uniform(0.02, 0.4, 40), 100)
    label = np.where(RNG.random(ROWS) < steady, SCORE < 0.5, SCORE >= 0.5)
    variation = build({"score": SCORE, "y": label}).performance.variation["accuracy"]
    assert np.sqrt(variation.tau2) == pytest.approx(0.11, abs=0.04)
    assert variation.residual_tau2 > 0.005


CAVEATS = {
    "one class": ({"score": SCORE, "y": np.ones(ROWS, dtype=bool)}, None, "has 1 classes"),
    "number without prediction": ({"score": SCORE, "y": RNG.normal(size=ROWS)}, None, "no prediction is"),
    "three classes without prediction": (
        {"score": SCORE, "y": RNG.choice(list("abc"), ROWS)},
        None,
        "no prediction beside",
    ),
    "nothing in common": ({"p": TRUTH, "y": TRUTH.astype(int)}, "p", "share no class"),
    "few labels": ({"score": SCORE, "y": [True, False] * 10 + [None] * (ROWS - 20)}, None, "only 20 rows"),
    "too many classes": (
        {"p": RNG.integers(0, 99, ROWS).astype(str), "y": RNG.integers(0, 99, ROWS).astype(str)},
        "p",
        "more than 50",
    ),
}


@pytest.mark.parametrize("case", CAVEATS)
def test_performance_that_cannot_be_known_is_said_in_a_caveat(case):
    columns, prediction, words = CAVEATS[case]
    reference = build(columns, prediction=prediction)
    assert not reference.has_outcomes
    assert [caveat for caveat in reference.caveats if words in caveat]


def test_few_labels_are_used_with_a_caveat():
    label = [*TRUTH[:300].tolist(), *[None] * (ROWS - 300)]
    reference = build({"score": SCORE, "y": label})
    assert reference.performance.rows == 300
    assert [caveat for caveat in reference.caveats if "only 300 rows have a label" in caveat]


def test_a_score_that_is_no_probability_gives_no_losses():
    reference = build({"score": SCORE * 10 - 4, "y": TRUTH})
    assert [caveat for caveat in reference.caveats if "not always from 0 to 1" in caveat]
    assert reference.performance.metrics.keys().isdisjoint({"log_loss", "roc_auc"})


BROKEN = {
    "rows": lambda entry: entry["table"]["rows"].pop(),
    "sums": lambda entry: entry["table"]["sums"].append(1.0),
    "score_cells": lambda entry: entry["table"].update(score_cells=entry["table"]["score_cells"] + 1),
    "task": lambda entry: entry["spec"].update(task="ranking", classes=[], positive=None),
    "positive": lambda entry: entry["spec"].update(positive="maybe"),
}


@pytest.mark.parametrize("field", BROKEN)
def test_a_damaged_section_is_refused_by_name(field):
    content = json.loads(build({"score": SCORE, "y": TRUTH}).to_json())
    BROKEN[field](content["performance"])
    with pytest.raises(FormatError, match="reference: "):
        Reference.from_json(json.dumps(content))
