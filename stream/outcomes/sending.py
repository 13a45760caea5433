"""Sending what partitions have read to the label join, a model at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from stream.outcomes.intake import JoinedModel
from stream.outcomes.join import OTHER_STRATUM, JoinStore, Predictions
from stream.outcomes.join_rows import JoinRows
from stream.outcomes.stratum_table import StratumTable


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
        for model in sorted(predicted.keys() | labelled.keys()):
            predictions, labels = predicted.get(model), labelled.get(model)
            if predictions is not None:
                predictions = _translated(self._store, model, self._strata[model], predictions)
            counts = self._store.join(model, predictions, labels, horizon_ms=self._horizons_ms[model])
            self._joined(model, counts._asdict())


def _translated(store: JoinStore, model: str, table: StratumTable, predictions: Predictions) -> Predictions:
    """From the strata's local numbers to those of the store.

    They are asked for with every join: a Redis that has lost its data numbers them anew.
    """
    present, at = np.unique(predictions.stratum, return_inverse=True)
    names = {number: table.names[number] for number in present.tolist() if number != OTHER_STRATUM}
    numbers = store.strata(model, list(names.values()))
    shared = [numbers[names[number]] if number in names else OTHER_STRATUM for number in present.tolist()]
    return replace(predictions, stratum=np.array(shared, dtype=np.uint16)[at])
