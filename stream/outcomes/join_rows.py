"""Predictions and labels that a partition has read and not joined yet.

Rows of all models of a batch stay together, each with the number of its model, until they are joined: a batch
of many models has few rows of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.join import Labels, Predictions

Rows = TypeVar("Rows", Predictions, Labels)
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class _Part(Generic[Rows]):
    """Rows of some models: ``model[i]`` is the position in ``models`` of that of row i."""

    models: tuple[str, ...]
    model: Indices
    rows: Rows


@dataclass
class JoinRows:
    """Rows for the join in the order they came; the strata of predictions are numbered locally."""

    _predictions: list[_Part[Predictions]] = field(default_factory=list)
    _labels: list[_Part[Labels]] = field(default_factory=list)

    def add(self, more: JoinRows) -> None:
        """Append the rows of ``more``."""
        self._predictions += more._predictions
        self._labels += more._labels

    def append(self, models: tuple[str, ...], model: Indices, rows: Predictions | Labels) -> None:
        """Append rows, row i of ``models[model[i]]``."""
        if isinstance(rows, Predictions):
            self._predictions.append(_Part(models, model, rows))
        else:
            self._labels.append(_Part(models, model, rows))

    @property
    def models(self) -> list[str]:
        """Models that have rows."""
        return sorted(_present(self._predictions) | _present(self._labels))

    @property
    def labelled(self) -> list[str]:
        """Models that have labels."""
        return sorted(_present(self._labels))

    def predictions(self) -> dict[str, Predictions]:
        """All predictions by model."""
        return _by_model(self._predictions)

    def labels(self) -> dict[str, Labels]:
        """All labels by model."""
        return _by_model(self._labels)

    def predictions_of(self, model: str) -> Predictions | None:
        """All predictions of a model, None without any; for all models see :meth:`predictions`."""
        return self.predictions().get(model)

    def labels_of(self, model: str) -> Labels | None:
        """All labels of a model, None without any."""
        return self.labels().get(model)


def merged(rows: Iterable[JoinRows]) -> JoinRows:
    """All ``rows`` together."""
    together = JoinRows()
    for each in rows:
        together.add(each)
    return together


@dataclass(frozen=True)
class Taken:
    """Rows of some models, ``model`` as in a partition's part, and the partition ``at`` of each row."""

    models: tuple[str, ...]
    model: Indices
    at: Indices
    rows: Predictions | Labels


def by_partition(taken: Sequence[Taken], partitions: int) -> list[JoinRows]:
    """Rows of each partition, in their order."""
    split = [JoinRows() for _ in range(partitions)]
    for each in taken:
        if not len(each.rows):
            continue
        for at, own in _ordered(each.at):
            split[at].append(each.models, each.model[own], each.rows.take(own))
    return split


def _by_model(parts: Sequence[_Part[Rows]]) -> dict[str, Rows]:
    if not parts:
        return {}
    number = _numbered(parts)
    rows = _together([part.rows for part in parts])
    if len(number) == 1:
        return {model: rows for model in number if len(rows)}
    names = list(number)
    each = [np.array([number[model] for model in part.models])[part.model] for part in parts]
    at = np.concatenate(each)
    rows = rows.take(np.argsort(at.astype(np.uint16) if len(names) <= 1 << 16 else at, kind="stable"))
    ends: list[int] = np.cumsum(np.bincount(at, minlength=len(names))).tolist()
    bounds = zip(names, [0, *ends], ends, strict=False)  # one copy in order, and parts of it
    return {model: rows.take(slice(first, last)) for model, first, last in bounds if first < last}


def _numbered(parts: Sequence[_Part[Rows]]) -> dict[str, int]:
    number: dict[str, int] = {}
    for models in dict.fromkeys(part.models for part in parts):
        for model in models:
            number.setdefault(model, len(number))
    return number


def _present(parts: Sequence[_Part[Rows]]) -> set[str]:
    return {part.models[model] for part in parts for model in np.unique(part.model).tolist()}


def _ordered(at: Indices) -> list[tuple[int, Indices | slice]]:
    """Each number that there is, and the positions where it is, in order."""
    sizes = np.bincount(at)
    present = np.flatnonzero(sizes).tolist()
    if len(present) == 1:
        return [(present[0], slice(None))]
    ends = np.cumsum(sizes)
    if (at[1:] >= at[:-1]).all():  # a partition after the other, as they are fetched
        return [(each, slice(ends[each] - sizes[each], ends[each])) for each in present]
    narrow = at.astype(np.uint16) if len(sizes) <= 1 << 16 else at  # sorted by radix, in one pass
    order = np.argsort(narrow, kind="stable")
    return [(each, order[ends[each] - sizes[each] : ends[each]]) for each in present]


def _together(rows: Sequence[Rows]) -> Rows:
    if len(rows) == 1:
        return rows[0]
    kind: Callable[..., Rows] = type(rows[0])
    return kind(*(np.concatenate([getattr(each, name.name) for each in rows]) for name in fields(rows[0])))
