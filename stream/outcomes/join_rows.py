"""Predictions and labels that a partition has read and not joined yet, by model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from stream.outcomes.join import Labels, Predictions


@dataclass
class JoinRows:
    """Rows for the join in the order they came; the strata of predictions are numbered locally."""

    predictions: dict[str, list[Predictions]] = field(default_factory=dict)
    labels: dict[str, list[Labels]] = field(default_factory=dict)

    def append(self, model: str, rows: Predictions | Labels) -> None:
        """Append rows of one model."""
        if isinstance(rows, Predictions):
            self.predictions.setdefault(model, []).append(rows)
        else:
            self.labels.setdefault(model, []).append(rows)

    def add(self, more: JoinRows) -> None:
        """Append the rows of ``more``."""
        for model, predictions in more.predictions.items():
            self.predictions.setdefault(model, []).extend(predictions)
        for model, labels in more.labels.items():
            self.labels.setdefault(model, []).extend(labels)

    @property
    def models(self) -> list[str]:
        """Models that have rows."""
        return sorted(self.predictions.keys() | self.labels.keys())

    def predictions_of(self, model: str) -> Predictions | None:
        """All predictions of a model, None without any."""
        parts = self.predictions.get(model)
        if not parts:
            return None
        return Predictions(
            key=np.concatenate([part.key for part in parts]),
            ts_ms=np.concatenate([part.ts_ms for part in parts]),
            stratum=np.concatenate([part.stratum for part in parts]),
            prediction=np.concatenate([part.prediction for part in parts]),
            score=np.concatenate([part.score for part in parts]),
        )

    def labels_of(self, model: str) -> Labels | None:
        """All labels of a model, None without any."""
        parts = self.labels.get(model)
        if not parts:
            return None
        return Labels(
            key=np.concatenate([part.key for part in parts]),
            ts_ms=np.concatenate([part.ts_ms for part in parts]),
            label=np.concatenate([part.label for part in parts]),
            supersedes=np.concatenate([part.supersedes for part in parts]),
            value=np.concatenate([part.value for part in parts]),
        )


def merged(rows: Iterable[JoinRows]) -> JoinRows:
    """All ``rows`` together."""
    together = JoinRows()
    for each in rows:
        together.add(each)
    return together
