from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from detectors import Reference
from detectors.performance import PerformanceSpec
from stream.codec import Block, Declared, JsonInferenceDecoder, JsonLabelDecoder
from stream.outcomes.columns import OutcomeReader, Predicted

TS = 1_760_000_000_000
NAN = float("nan")


def reference(**columns: Sequence[Any]) -> Reference:
    built = {name: list(values) * (600 // len(values)) for name, values in columns.items()}
    roles: dict[str, Any] = {name: name for name in ("prediction", "label") if name in columns}
    outputs = [name for name in columns if name not in ("age", "prediction", "label")]
    return Reference.build(
        {"age": [float(i) for i in range(600)], **built}, window_rows=50, outputs=outputs, **roles
    )


def block(decoder: Any, reference_: Reference, events: Sequence[dict[str, Any]]) -> Block:
    values = [
        json.dumps({"prediction_id": "p", "model": "m", "ts": TS, **event}).encode() for event in events
    ]
    batch = decoder({("m", "v1"): reference_}, declared={"m": Declared(answers=True)}).decode(
        values, [TS] * len(values)
    )
    assert batch.rejected == []
    (only,) = batch.blocks
    return only


def predicted(spec: PerformanceSpec, reference_: Reference, *events: dict[str, Any]) -> Predicted:
    return OutcomeReader(spec, reference_).predictions(block(JsonInferenceDecoder, reference_, events))


def labels(spec: PerformanceSpec, reference_: Reference, *values: Any) -> list[float]:
    events = [{"label": value} for value in values]
    return OutcomeReader(spec, reference_).labels(block(JsonLabelDecoder, reference_, events)).tolist()


BINARY = PerformanceSpec("binary", classes=("good", "fraud"))
NUMBERED = PerformanceSpec("binary")


def test_classes_are_their_position_in_the_spec() -> None:
    known = reference(prediction=["fraud", "good"], score=[0.1, 0.9])
    found = predicted(
        BINARY,
        known,
        {"prediction": "good", "score": 0.25},
        {"prediction": "fraud", "score": 0.75},
        {"prediction": "loan", "score": None},
        {"score": "high"},
        {"prediction": {"fraud": 1}, "score": 1},
    )
    np.testing.assert_array_equal(found.prediction, [0, 1, 2, NAN, NAN])
    np.testing.assert_array_equal(found.score, [0.25, 0.75, NAN, NAN, 1])


@pytest.mark.parametrize("values", [[0, 1], [0.5, 1.5], ["0", "1"]], ids=["few", "numeric", "text"])
def test_numbers_are_classes_whatever_the_column_takes(values: list[Any]) -> None:
    found = predicted(
        NUMBERED,
        reference(prediction=values),
        *({"prediction": value} for value in (0, 1, 1.0, "1", 7, None)),
    )
    one = 1.0 if not isinstance(values[0], float) else NAN  # a numeric column takes no text
    np.testing.assert_array_equal(found.prediction, [0, 1, 1, one, 2, NAN])
    assert np.isnan(found.score).all()


def test_booleans_are_the_classes_true_and_false() -> None:
    spec = PerformanceSpec("binary", classes=("false", "true"))
    assert labels(spec, reference(label=[True, False]), True, False, "true", "no") == [1, 0, 1, 2]


def test_rare_classes_that_share_a_cell_stay_apart() -> None:
    spec = PerformanceSpec("multiclass", classes=("a", "b", "c", "d"))
    rare = reference(label=["a"] * 300 + ["b"] * 298 + ["c", "d"])
    assert rare.binning.lookup("label")["c"] == rare.binning.lookup("label")["d"]
    assert labels(spec, rare, "a", "c", "d", "e") == [0, 2, 3, 4]


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_labels_of_few_values_are_still_numbers(task: Any) -> None:
    spec = PerformanceSpec(task)
    found = labels(spec, reference(label=[1, 2, 3]), 2, 37, 2.5, None, "4", 10**400, {"rank": 1})
    np.testing.assert_array_equal(found, [2, 37, 2.5, NAN, NAN, NAN, NAN])


def test_a_regression_predicts_values_and_has_no_score() -> None:
    found = predicted(
        PerformanceSpec("regression"),
        reference(prediction=[1.5, 2.5], score=[0.1, 0.2]),
        {"prediction": 3, "score": 0.5},
        {"prediction": 10**400},
    )
    np.testing.assert_array_equal(found.prediction, [3, NAN])
    assert np.isnan(found.score).all()


def test_the_score_of_every_class_is_that_of_the_predicted_one() -> None:
    spec = PerformanceSpec("multiclass", classes=("a", "b", "c"))
    known = reference(prediction=["a", "b", "c"], a=[0.1, 0.2], b=[0.3, 0.4], c=[0.5, 0.6])
    scores = {"a": 0.2, "b": 0.7, "c": 0.1}
    found = predicted(
        spec,
        known,
        {"prediction": "c", "score": scores},
        {"score": scores},
        {"prediction": "z", "score": scores},
        {"prediction": "a", "score": {"b": 0.4}},
        {},
    )
    np.testing.assert_array_equal(found.prediction, [2, 1, 3, 0, NAN])
    np.testing.assert_array_equal(found.score, [0.1, 0.7, NAN, NAN, NAN])


def test_of_two_scores_the_positive_class_counts() -> None:
    known = reference(good=[0.1, 0.2], fraud=[0.3, 0.4])
    for positive, score in (("fraud", 0.3), ("good", 0.7)):
        spec = PerformanceSpec("binary", classes=("good", "fraud"), positive=positive)
        found = predicted(spec, known, {"score": {"good": 0.7, "fraud": 0.3}})
        assert found.score.tolist() == [score]
        assert np.isnan(found.prediction).all()


def test_of_an_object_of_scores_the_class_counts_that_the_score_is_about() -> None:
    """Learned with the reference: low scores go with ``fraud``, so the score is that of ``good``."""
    score = [i / 600 for i in range(600)]
    known = Reference.build(
        {"score": score, "label": ["fraud" if i < 300 else "good" for i in range(600)]},
        window_rows=50,
        label="label",
    )
    assert known.performance is not None
    assert known.performance.spec.classes == ("fraud", "good")
    found = predicted(known.performance.spec, known, {"score": {"fraud": 0.9, "good": 0.1}}, {"score": 0.3})
    assert found.score.tolist() == [0.1, 0.3]
    other = Reference.build(
        {"score": score, "label": ["good" if i < 300 else "fraud" for i in range(600)]},
        window_rows=50,
        label="label",
    )
    assert other.performance is not None
    found = predicted(other.performance.spec, other, {"score": {"fraud": 0.2, "good": 0.8}})
    assert found.score.tolist() == [0.2]
