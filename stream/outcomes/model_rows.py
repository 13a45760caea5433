"""Rows of many models on their way to the store of the label join, and what it has done with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.outcomes.join import JoinCounts, Labels, Predictions, no_predictions, together


@dataclass(frozen=True)
class ModelRows:
    """What is to be joined of some models, the predictions of a model before its labels.

    Parameters
    ----------
    models
        Their names.
    horizons_ms
        Horizon of each.
    predictions, ends
        Of all models, one after the other; those of a model end before its place in ``ends``.
    labels
        Of the models that have some.
    strata
        Of each model, numbers that its predictions have, by name. Rows are joined only as long as they are
        the store's: one that has lost its data numbers strata anew.
    """

    models: Sequence[str]
    horizons_ms: Sequence[int]
    predictions: Predictions
    ends: Sequence[int]
    labels: Mapping[str, Labels]
    strata: Sequence[Mapping[str, int]]

    @classmethod
    def of_one(
        cls, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> ModelRows:
        """Rows of one model, whose strata nobody asks about."""
        held = no_predictions() if predictions is None else predictions
        given = {} if labels is None else {model: labels}
        return cls([model], [horizon_ms], held, [len(held)], given, [{}])

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First prediction of each model, and the one behind its last."""
        return list(zip([0, *self.ends], self.ends, strict=False))

    def of(self, models: Collection[str]) -> ModelRows:
        """The rows of some models."""
        kept = [place for place, model in enumerate(self.models) if model in models]
        bounds = self.bounds
        parts = [self.predictions.take(slice(*bounds[place])) for place in kept]
        return ModelRows(
            [self.models[place] for place in kept],
            [self.horizons_ms[place] for place in kept],
            together(parts) if parts else no_predictions(),
            np.cumsum([len(part) for part in parts]).tolist(),
            {model: rows for model, rows in self.labels.items() if model in models},
            [self.strata[place] for place in kept],
        )


class Joined(NamedTuple):
    """What was done with rows of one model."""

    model: str
    counts: JoinCounts
    is_renumbered: bool = False
    """Whether rows are left out, as strata have other numbers in the store."""
