"""What a reference's columns say about the task, and its outcomes row by row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.binning import CategoricalBins, Column, NumericBins
from detectors.columns import MISSING, category_key, encode_categorical
from detectors.performance.exact import LARGEST_SQUARED
from detectors.performance.spec import Outcomes, PerformanceSpec

Floats = NDArray[np.float64]

MOST_CLASSES = 50
"""More classes than that make the groups too thin to learn from."""


class Source(NamedTuple):
    """The label and the outputs of the model, in the reference: bins, raw and encoded values."""

    bins: Column
    raw: NDArray[Any]
    encoded: NDArray[Any]


class Judged(NamedTuple):
    """The task, and the outcomes of all rows of the reference."""

    spec: PerformanceSpec
    outcomes: Outcomes
    score: str | None
    prediction: str | None


def judge(label: Source, prediction: Source | None, score: Source | None) -> Judged | str:
    """Find the task out, or say why there is none in one line.

    * numeric label and numeric prediction: regression;
    * a label of two classes, with a score or a prediction: binary. Positive is the class with the higher
      mean score; without a score, the last of the two by name, as ``1`` after ``0``;
    * a label of more classes, with a prediction: multiclass.
    """
    if isinstance(label.bins, NumericBins):
        if prediction is None or not isinstance(prediction.bins, NumericBins):
            return f"label {label.bins.name!r} is a number and no prediction is: performance is not known"
        spec = PerformanceSpec("regression")
        unknown = np.full(len(label.raw), np.nan)
        outcomes = Outcomes(_finite(prediction.encoded), unknown, _finite(label.encoded))
        return Judged(spec, outcomes, None, prediction.bins.name)
    return _classification(label, prediction, score)


def _classification(label: Source, prediction: Source | None, score: Source | None) -> Judged | str:
    if prediction is not None and not isinstance(prediction.bins, CategoricalBins):
        prediction = None
    if score is not None and not isinstance(score.bins, NumericBins):
        score = None
    name, labels = label.bins.name, _classes(label.raw)
    known = labels | (_classes(prediction.raw) if prediction is not None else set())
    if len(labels) < 2:
        return f"label {name!r} has {len(labels)} classes: performance needs 2, it is not known"
    if len(known) > MOST_CLASSES:
        return f"label {name!r} has {len(known)} classes, more than {MOST_CLASSES}: performance is not known"
    if prediction is None and (score is None or len(labels) > 2):
        return f"label {name!r} has no prediction beside it: performance is not known"
    if prediction is not None and not labels & _classes(prediction.raw):
        other = prediction.bins.name
        return f"label {name!r} and prediction {other!r} share no class: performance is not known"
    classes = tuple(sorted(known))
    codes = _codes(label.raw, classes)
    scores = np.full(codes.size, np.nan) if score is None else _finite(score.encoded)
    predicted = np.full(codes.size, np.nan) if prediction is None else _codes(prediction.raw, classes)
    positive = _positive(classes, codes, scores) if len(classes) == 2 else None
    spec = PerformanceSpec("multiclass" if positive is None else "binary", classes, positive)
    return Judged(
        spec,
        Outcomes(predicted, scores, codes),
        None if score is None else score.bins.name,
        None if prediction is None else prediction.bins.name,
    )


def _classes(values: NDArray[Any]) -> set[str]:
    distinct = values.tolist() if values.dtype.kind == "O" else np.unique(values).tolist()
    return {key for key in map(category_key, distinct) if isinstance(key, str)}


def _codes(values: NDArray[Any], classes: tuple[str, ...]) -> Floats:
    """Return positions in ``classes``; NaN for what is missing or no class."""
    lookup: dict[str | None, int] = {name: code for code, name in enumerate(classes)}
    codes = encode_categorical(values, lookup | {None: MISSING}).astype(np.float64)
    return np.where(codes >= 0, codes, np.nan)


def _finite(values: NDArray[Any]) -> Floats:
    return np.where(np.abs(values) <= LARGEST_SQUARED, values, np.nan)


def _positive(classes: tuple[str, ...], labels: Floats, scores: Floats) -> str:
    known = np.isfinite(scores)
    first, second = (scores[known & (labels == code)] for code in (0, 1))
    if first.size and second.size and first.mean() > second.mean():
        return classes[0]
    return classes[1]
