"""Predictions and labels that a partition has read and not joined yet.

Rows of all models of a batch stay together, each with the number of its model, until they are joined: a batch
of many models has few rows of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.join import Labels, Predictions, Rows, no_predictions, together

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

    def ordered(self, models: Sequence[str]) -> tuple[Predictions, list[int]]:
        """All predictions of these ``models``, one model after the other, and where those of each end."""
        if not self._predictions:
            return no_predictions(), [0] * len(models)
        return _ordered_rows(self._predictions, models)

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
    models = sorted({model for names in {part.models for part in parts} for model in names})
    rows, ends = _ordered_rows(parts, models)  # one copy in order, and parts of it
    first, found = 0, {}
    for model, last in zip(models, ends, strict=True):
        if first < last:
            found[model] = rows.take(slice(first, last))
        first = last
    return found


def _ordered_rows(parts: Sequence[_Part[Rows]], models: Sequence[str]) -> tuple[Rows, list[int]]:
    """Rows of parts of these ``models``, model by model, and the end of each."""
    rows = together([part.rows for part in parts])
    if len(models) == 1:
        return rows, [len(rows)]
    place = {model: number for number, model in enumerate(models)}
    # a batch has a tuple of names for all of its partitions
    places = {names: np.array([place.get(name, -1) for name in names]) for names in {p.models for p in parts}}
    at = np.concatenate([places[part.models][part.model] for part in parts])
    rows = rows.take(np.argsort(at.astype(np.uint16) if len(models) <= 1 << 16 else at, kind="stable"))
    return rows, np.cumsum(np.bincount(at, minlength=len(models))).tolist()


def _present(parts: Sequence[_Part[Rows]]) -> set[str]:
    counted: dict[tuple[str, ...], NDArray[np.intp]] = {}
    for part in parts:
        rows = np.bincount(part.model, minlength=len(part.models))
        counted[part.models] = counted[part.models] + rows if part.models in counted else rows
    return {models[place] for models, rows in counted.items() for place in np.flatnonzero(rows).tolist()}


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
