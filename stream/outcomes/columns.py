"""From decoded blocks to what performance is counted from: predictions, scores and labels as numbers.

Labels and predictions are read raw, not from the codes of the drift columns: those put rare classes into one
cell, and a whole number of few values into categories.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import Reference
from detectors.performance import PerformanceSpec
from stream.codec import Block
from stream.codec.answers import Answers
from stream.codec.values import INVALID_CATEGORY, as_number, codes_of

Floats = NDArray[np.float64]


class Predicted(NamedTuple):
    """Predictions and scores of n events, as in :class:`detectors.performance.Outcomes`."""

    prediction: Floats
    score: Floats


class OutcomeReader:
    """Reads predictions and labels of the events of one model version.

    Parameters
    ----------
    spec
        How the *model* is judged: the same for all of its versions, so that a label means one thing whatever
        version it is about. A class that it does not name is ``len(spec.classes)``.
    reference
        Of the version: says which columns are ``scores``.
    """

    def __init__(self, spec: PerformanceSpec, reference: Reference) -> None:
        self.spec = spec
        self._codes = _ClassCodes(spec.classes) if spec.classes else None
        columns = zip(reference.names, reference.roles, reference.kinds, strict=True)
        self.scores = tuple(name for name, role, kind in columns if (role, kind) == ("score", "numeric"))

    @property
    def alike(self) -> tuple[Hashable, ...]:
        """Equal for readers that read a block alike."""
        return self.spec, self.scores

    def labels(self, block: Block) -> Floats:
        """Return the labels of a label block; NaN where there is none, or one that is no value."""
        return self._answers(block.answers)

    def predictions(self, block: Block) -> Predicted:
        """Return predictions and scores of an inference block; NaN where absent or no number.

        Where a multiclass model scores every class, the score is that of the class it predicted, or the
        largest one where it predicted none.
        """
        prediction = self._answers(block.answers)
        if self.spec.task not in ("binary", "multiclass") or not self.scores:
            return Predicted(prediction, np.full(len(prediction), np.nan))
        if len(self.scores) == 1:
            return Predicted(prediction, _finite(block.columns[self.scores[0]]))
        if self.spec.task == "binary":
            positive = self.spec.classes[self.spec.positive_code]
            name = positive if positive in self.scores else self.scores[0]
            return Predicted(prediction, _finite(block.columns[name]))
        return self._of_every_class(prediction, block)

    def _answers(self, answers: Answers) -> Floats:
        read = _number if self._codes is None else self._codes.__getitem__
        numbers = np.fromiter(map(read, answers.values), np.float64, len(answers.values))
        return (_finite(numbers) if self._codes is None else numbers)[answers.codes]

    def _score_of(self, block: Block, name: str) -> Floats:
        return _finite(block.columns[name]) if name in self.scores else np.full(len(block.rows), np.nan)

    def _of_every_class(self, prediction: Floats, block: Block) -> Predicted:
        scores = np.stack([self._score_of(block, name) for name in self.spec.classes])
        known = ~np.isnan(scores)
        likeliest = np.where(known, scores, -np.inf).argmax(axis=0)
        absent = np.isnan(prediction) & known.any(axis=0)
        prediction = np.where(absent, likeliest, prediction)
        named = prediction < len(scores)  # NaN is not
        row = np.where(named, prediction, 0).astype(np.intp)
        return Predicted(prediction, np.where(named, scores[row, np.arange(scores.shape[1])], np.nan))


class _ClassCodes(dict[Any, float]):
    """JSON value to the position of its class, as float: 12 and 12.0 find ``"12"``, true finds ``"true"``."""

    def __init__(self, classes: Sequence[str]) -> None:
        positions = {name: float(position) for position, name in enumerate(classes)}
        super().__init__(_with_json_values(positions))
        self |= {None: math.nan, INVALID_CATEGORY: math.nan}
        self._unknown = float(len(classes))

    def __missing__(self, value: object) -> float:
        """Return the position behind the last class; NaN for a number that is none."""
        return math.nan if isinstance(value, float) and not math.isfinite(value) else self._unknown


def _with_json_values(positions: Mapping[str, float]) -> Iterable[tuple[Any, float]]:
    names = list(positions)
    boolean = not {"true", "false"}.isdisjoint(names)
    codes = codes_of({name: code for code, name in enumerate(names)}, boolean=boolean)
    return ((value, float(code)) for value, code in codes.items() if code >= 0)


def _number(value: object) -> float:
    if type(value) is float:
        return value
    return math.nan if value is None else as_number(value)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
