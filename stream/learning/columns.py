"""From sampled events to columns: which features there are, of which kind, and their values.

A feature is a column of numbers when nearly all of its values are numbers; the rest of it is then invalid,
as it would be to a decoder. One malformed text among numbers makes no category of every number.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream.codec.values import as_number
from stream.learning.reference_building import EventColumns
from stream.learning.sample import Sampled

MOST_CELLS = 20_000_000
"""Rows times columns that one reference is built from: with more columns a sample has fewer rows."""
NUMBERS = 0.99
"""Share of numbers among a column's values from which on it is a column of numbers."""
LABELLED = 0.95
"""Share of labelled events from which on the labels are a column ..."""
LABELLED_PART = 0.75
"""... and share of the events, from the oldest, of which that must hold: the last ones wait for labels."""
OUTPUTS = ("prediction", "score", "label")


class _Body(msgspec.Struct, gc=False):
    prediction_id: str
    features: dict[str, Any] | None = None
    prediction: Any = None
    score: Any = None


_decode = msgspec.json.Decoder(_Body, float_hook=float).decode


@dataclass(frozen=True)
class LearnedColumns:
    """Columns in order of event time, ``ts_ms`` of their rows, and what to know of them, a line each.

    ``categorical`` are those whose numbers are codes.
    """

    values: EventColumns
    ts_ms: NDArray[np.int64]
    categorical: frozenset[str] = frozenset()
    caveats: tuple[str, ...] = ()


@dataclass
class _Seen:
    """What the values of one column are."""

    present: int = 0
    numbers: int = 0
    texts: int = 0

    def look(self, value: object) -> None:
        if value is None:
            return
        self.present += 1
        if isinstance(value, bool | str):
            self.texts += 1
        elif isinstance(value, int | float):
            self.numbers += 1

    @property
    def is_numeric(self) -> bool:
        return self.numbers >= NUMBERS * (self.numbers + self.texts)


class _Survey:
    """Every column of the events, in the order in which they first have it."""

    def __init__(self, events: Iterable[Sampled], labels: Mapping[str, Any]) -> None:
        self.features: dict[str, _Seen] = {}
        self.outputs: dict[str, _Seen] = {}
        for body in _bodies(events):
            for name, value in (body.features or {}).items():
                self.features.setdefault(name, _Seen()).look(value)
            for name, value in zip(OUTPUTS, _outputs(body, labels), strict=True):
                if value is not None:
                    self.outputs.setdefault(name, _Seen()).look(value)

    def chosen(self, most_features: int) -> tuple[dict[str, _Seen], list[str]]:
        """Return the features that are taken, and a line on those that are not."""
        left_out = [
            f"feature {name!r} has the name of an output" for name in self.outputs if name in self.features
        ]
        named = {name: seen for name, seen in self.features.items() if name not in self.outputs}
        if len(named) > most_features:
            left_out.append(f"{len(named)} features, those in fewest events")
            most = sorted(named, key=lambda name: (-named[name].present, name))[:most_features]
            named = {name: seen for name, seen in named.items() if name in set(most)}
        return named, [f"left out: {each}" for each in left_out]


def columns_of(
    events: Sequence[Sampled],
    labels: Mapping[str, Any] | None = None,
    *,
    most_features: int,
    categorical: Collection[str] = (),
) -> LearnedColumns:
    """Return the columns of ``events``, smallest hash first; with more columns than fit, of fewer events.

    Events whose features are no object are passed over, as a decoder does.

    Parameters
    ----------
    labels
        The truth by prediction id.
    categorical
        Columns whose numbers are codes.
    """
    rows, known, caveats = _labelled(_decodable(events), labels or {})
    survey = _Survey(_in_time(rows), known)
    features, left_out = survey.chosen(most_features)
    fitting = MOST_CELLS // max(len(features) + len(OUTPUTS), 1)
    ordered = _in_time(rows[:fitting])
    kinds = {**features, **survey.outputs}
    columns = {
        name: _Column(len(ordered), is_numeric=seen.is_numeric and name not in categorical)
        for name, seen in kinds.items()
    }
    for row, body in enumerate(_bodies(ordered)):
        given = body.features or {}
        for name in features:
            columns[name].put(row, given.get(name))
        for name, value in zip(OUTPUTS, _outputs(body, known), strict=True):
            if name in survey.outputs:
                columns[name].put(row, value)
    mixed = [
        f"column {name!r} holds {seen.texts} texts among its numbers: they count as invalid"
        for name, seen in kinds.items()
        if seen.is_numeric and seen.texts and name not in categorical
    ]
    return LearnedColumns(
        EventColumns(
            features={name: columns[name].values for name in features},
            prediction=columns["prediction"].values if "prediction" in survey.outputs else None,
            score=columns["score"].values if "score" in survey.outputs else None,
            label=columns["label"].values if "label" in survey.outputs else None,
        ),
        np.array([event.ts_ms for event in ordered], np.int64),
        frozenset(kinds.keys() & set(categorical)),
        (*caveats, *left_out, *mixed),
    )


class _Column:
    """The values of one column as the detectors take them, put in row by row."""

    def __init__(self, rows: int, *, is_numeric: bool) -> None:
        self._numbers = np.full(rows, np.nan) if is_numeric else None
        self._values: list[Any] = [] if is_numeric else [None] * rows
        self._known: dict[str, str] = {}

    def put(self, row: int, value: object) -> None:
        if value is None:
            return
        if self._numbers is not None:
            self._numbers[row] = as_number(value)
        elif isinstance(value, str):
            self._values[row] = self._known.setdefault(value, value)
        else:
            self._values[row] = value if isinstance(value, int | float) else math.inf

    @property
    def values(self) -> ArrayLike:
        return self._values if self._numbers is None else self._numbers


def _decodable(events: Sequence[Sampled]) -> list[Sampled]:
    kept = []
    for event in events:
        try:
            _decode(event.value)
        except (ValueError, RecursionError):
            continue
        kept.append(event)
    return kept


def _labelled(
    rows: list[Sampled], labels: Mapping[str, Any]
) -> tuple[list[Sampled], Mapping[str, Any], list[str]]:
    """Return the rows with a label and the labels, or all rows and no labels.

    Labels come late, so the end of the span may lack them: it is cut off. Before it nearly every row must
    have one, or the rows with a label would be a choice that somebody made.
    """
    ordered = _in_time(rows)
    has = np.array([body.prediction_id in labels for body in _bodies(ordered)], np.bool_)
    if not has.any():
        return rows, {}, []
    share = np.cumsum(has) / np.arange(1, len(has) + 1)
    end = int(np.flatnonzero(share >= LABELLED).max(initial=-1)) + 1
    if end < LABELLED_PART * len(rows):
        return rows, {}, [f"no label column: {int(has.sum())} of {len(rows)} events have a label yet"]
    kept = {ordered[place] for place in np.flatnonzero(has[:end]).tolist()}
    without = len(rows) - len(kept)
    found = [row for row in rows if row in kept]
    return found, labels, [f"left out: {without} events without a label"] if without else []


def _in_time(rows: Sequence[Sampled]) -> list[Sampled]:
    return sorted(rows, key=lambda event: (event.ts_ms, event.hash, event.value))


def _bodies(events: Iterable[Sampled]) -> Iterator[_Body]:
    return (_decode(event.value) for event in events)


def _outputs(body: _Body, labels: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return prediction, score and label; of the scores of every class the largest, as a decoder does."""
    prediction = None if isinstance(body.prediction, list | dict) else body.prediction
    score = body.score
    if isinstance(score, dict):
        score = max((as_number(each) for each in score.values() if each is not None), default=None)
    return prediction, None if score is None else as_number(score), labels.get(body.prediction_id)
