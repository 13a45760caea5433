"""Sending what partitions have read to the label join, a model at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.intake import JoinedModel
from stream.outcomes.join import OTHER_STRATUM, JoinStore, ModelRows, Predictions
from stream.outcomes.join_rows import JoinRows


class OutcomeJoin:
    """Sends rows to the store of the join, with the strata that all processes share.

    Parameters
    ----------
    models
        Those that the rows were taken for: they number the strata.
    joined
        Told what each join has done.
    """

    def __init__(
        self,
        store: JoinStore,
        models: Mapping[str, JoinedModel],
        *,
        joined: Callable[[str, Mapping[str, int]], None],
    ) -> None:
        self._store = store
        self._horizons_ms = {name: model.horizon_ms for name, model in models.items()}
        self._strata = {name: model.strata for name, model in models.items()}
        self._joined = joined

    def join(self, rows: JoinRows) -> None:
        """Join all ``rows``; sent again, they change nothing.

        Raises
        ------
        redis.RedisError
            Redis does not answer. Some rows may have been joined.
        """
        predicted, labelled = rows.predictions(), rows.labels()
        numbers = self._numbers(predicted)
        asked = []
        for model in sorted(predicted.keys() | labelled.keys()):
            predictions = predicted.get(model)
            if predictions is not None:
                predictions = _translated(predictions, numbers[model])
            horizon_ms = self._horizons_ms[model]
            asked.append(ModelRows(model, predictions, labelled.get(model), horizon_ms))
        for model, counts in self._store.join_all(asked):
            self._joined(model, counts._asdict())

    def _numbers(self, predicted: Mapping[str, Predictions]) -> dict[str, dict[int, int]]:
        """From the local numbers of strata to those of the store, by model.

        They are asked for with every join: a Redis that has lost its data numbers them anew.
        """
        names: dict[str, dict[int, str]] = {}
        for model, predictions in predicted.items():
            of_model = self._strata[model].names
            present = _present(predictions.stratum)
            names[model] = {number: of_model[number] for number in present if number != OTHER_STRATUM}
        stored = self._store.strata_of({model: list(of_model.values()) for model, of_model in names.items()})
        return {
            model: {number: stored[model][name] for number, name in of_model.items()}
            for model, of_model in names.items()
        }


def _present(strata: NDArray[np.uint16]) -> list[int]:
    """The strata that there are: mostly one, which is found at a tenth of the cost."""
    first = int(strata[0]) if len(strata) else OTHER_STRATUM
    return [first] if (strata == first).all() else np.unique(strata).tolist()


def _translated(predictions: Predictions, numbers: Mapping[int, int]) -> Predictions:
    if (
        all(local == shared for local, shared in numbers.items())
        and int(predictions.stratum.max()) in numbers
    ):
        return predictions
    table = np.full(max(numbers, default=0) + 2, OTHER_STRATUM, np.uint16)  # the last for all behind it
    for local, shared in numbers.items():
        table[local] = shared
    return replace(predictions, stratum=table.take(predictions.stratum, mode="clip"))
