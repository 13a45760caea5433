"""Evidence: the numbers beside a verdict, over the window that is shown."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.binning import SPECIAL_CELLS, Binning, NumericBins
from detectors.counts import Counts
from detectors.decision import Judgement
from detectors.dependence import NOTHING, Dependent
from detectors.distance import Distances
from detectors.reference import Reference
from detectors.verdict import CellChange, FeatureVerdict

TOP_CELLS = 5
Floats = NDArray[np.float64]


class Evidence:
    """Describes windows against one reference: all distances of all columns in a few array operations."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        numeric = np.array([kind == "numeric" for kind in reference.kinds])
        self._distances = Distances(reference.counts.cells, numeric, _centers(reference.binning))
        nothing = [None] * len(reference.names)
        no = [False] * len(reference.names)
        self._not_judged: list[list[Any]] = [no, nothing, nothing, nothing, nothing, nothing, no]

    def describe(
        self, window: Counts, judgement: Judgement | None, dependent: Dependent = NOTHING
    ) -> tuple[FeatureVerdict, ...]:
        """Return one record a column; without a judgement there are distances only."""
        distances, share = self._distances.of(window.cells, window.n)
        psi, chi2, js, hellinger, tv, ks, wasserstein = _finite(distances)
        missing, invalid, unseen = _finite(share.T[-len(SPECIAL_CELLS) :])
        # Column by column of the record, not record by record: a tenth of the work.
        features = tuple(
            map(
                FeatureVerdict,
                self._reference.names,
                self._reference.roles,
                *(self._not_judged if judgement is None else self._judged(judgement)),
                [window.n] * len(share),
                *(psi, ks, chi2, js, wasserstein, hellinger, tv),
                *(missing, unseen, invalid),
            )
        )
        if judgement is None or not (dependent.columns or judgement.drifted.any()):
            return features
        return tuple(
            self._explained(j, feature, dependent, share, moved=bool(judgement.drifted[j]))
            for j, feature in enumerate(features)
        )

    @cached_property
    def _labels(self) -> list[list[str]]:
        return [self._reference.binning.cell_labels(name) for name in self._reference.names]

    def _judged(self, judgement: Judgement) -> list[list[Any]]:
        names = self._reference.scores.component_names
        numbers = np.array((judgement.effect, judgement.p_value, judgement.threshold))
        return [
            judgement.drifted.tolist(),
            *_finite(numbers),
            [names[component] for component in judgement.component.tolist()],
            judgement.lookback.tolist(),
            judgement.integrity.tolist(),
        ]

    def _explained(
        self, j: int, feature: FeatureVerdict, dependent: Dependent, share: Floats, *, moved: bool
    ) -> FeatureVerdict:
        """Return the record with the cells that moved, or with its pairs that changed while it did not."""
        changes: dict[str, Any] = {"cells": self._movers(j, share[j])} if moved else {}
        finding = dependent.columns.get(feature.name)
        if finding is not None:
            changes |= {"drifted": True, "component": "correlation", **finding._asdict()}
        return msgspec.structs.replace(feature, **changes) if changes else feature

    def _movers(self, j: int, share: Floats) -> tuple[CellChange, ...]:
        before = self._distances.shares[j]
        order = np.argsort(-np.abs(share - before), kind="stable")[:TOP_CELLS]
        labels = self._labels[j]
        return tuple(
            CellChange(labels[k], float(before[k]), float(share[k])) for k in order if share[k] != before[k]
        )


def _finite(values: Floats) -> list[list[float | None]]:
    """Return rows of plain numbers, ``None`` for those that are not finite."""
    rows: list[list[float | None]] = values.tolist()
    finite = np.isfinite(values)
    if finite.all():
        return rows
    for i in np.flatnonzero(~finite.all(axis=1)):
        rows[i] = [value if value is not None and math.isfinite(value) else None for value in rows[i]]
    return rows


def _centers(binning: Binning) -> Floats:
    """Centers of the numeric columns' cells in standard deviations, ``(numeric, cells)``."""
    cells = binning.width - len(SPECIAL_CELLS)
    rows = []
    for column in binning.columns:
        if isinstance(column, NumericBins):
            centers = np.array(column.centers) / (column.spread or 1.0)
            rows.append(np.concatenate((centers, np.full(cells - centers.size, centers[-1]))))
    return np.array(rows).reshape(len(rows), cells)
