"""Sending what partitions have read to the label join, a model at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from stream.join import OTHER_STRATUM, JoinStore, Predictions
from stream.join_rows import JoinRows
from stream.outcome_intake import JoinedModel
from stream.stratum_table import StratumTable


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
        self._strata = {name: _SharedStrata(model.strata) for name, model in models.items()}
        self._joined = joined

    def join(self, rows: JoinRows) -> None:
        """Join all ``rows``; sent again, they change nothing.

        Raises
        ------
        redis.RedisError
            Redis does not answer. Some rows may have been joined.
        """
        for model in rows.models:
            predictions, labels = rows.predictions_of(model), rows.labels_of(model)
            if predictions is not None:
                predictions = self._strata[model].translated(self._store, model, predictions)
            counts = self._store.join(model, predictions, labels, horizon_ms=self._horizons_ms[model])
            self._joined(model, counts._asdict())


class _SharedStrata:
    """From the strata's local numbers to those of the store, asked for once each."""

    def __init__(self, table: StratumTable) -> None:
        self._table = table
        self._asked = 0
        self._numbers = np.full(OTHER_STRATUM + 1, OTHER_STRATUM, np.uint16)

    def translated(self, store: JoinStore, model: str, predictions: Predictions) -> Predictions:
        names = self._table.names
        if len(names) > self._asked:
            new = names[self._asked :]
            numbers = store.strata(model, new)
            self._numbers[self._asked : len(names)] = [numbers[name] for name in new]
            self._asked = len(names)
        return replace(predictions, stratum=self._numbers[predictions.stratum])
