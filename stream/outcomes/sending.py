"""Sending what partitions have read to the label join, all models together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.intake import JoinedModel
from stream.outcomes.join import OTHER_STRATUM, JoinStore, Predictions
from stream.outcomes.join_rows import JoinRows
from stream.outcomes.model_rows import ModelRows


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
        self._numbers: dict[str, dict[int, int]] = {}

    def join(self, rows: JoinRows) -> None:
        """Join all ``rows``; sent again, they change nothing.

        Raises
        ------
        redis.RedisError
            Redis does not answer. Some rows may have been joined.
        """
        models, labels = rows.models, rows.labels()
        predictions, ends = rows.ordered(models)
        found = _strata_in(predictions.stratum, ends)
        asked = ModelRows(
            models,
            [self._horizons_ms[model] for model in models],
            predictions,
            ends,
            labels,
            [{}] * len(models),
        )
        while asked.models:
            again = self._join_numbered(asked, dict(zip(models, found, strict=True)))
            for model in again:
                del self._numbers[model]
            asked = asked.of(again)

    def _join_numbered(self, rows: ModelRows, found: Mapping[str, list[int]]) -> set[str]:
        """Join rows whose strata are numbered locally; models whose strata have other numbers by now."""
        present = [found[model] for model in rows.models]
        numbers = self._numbers_of(rows.models, present)
        names = [self._strata[model].names for model in rows.models]
        strata = [
            {
                of_model[local]: number[local]
                for local in known
                if local != OTHER_STRATUM and number[local] != OTHER_STRATUM
            }
            for of_model, number, known in zip(names, numbers, present, strict=True)
        ]
        sent = replace(rows, predictions=_translated(rows, numbers, present), strata=strata)
        again = set()
        for model, counts, is_renumbered in self._store.join_all(sent):
            self._joined(model, counts._asdict())
            if is_renumbered:
                again.add(model)
        return again

    def _numbers_of(self, models: Sequence[str], present: Sequence[list[int]]) -> list[Mapping[int, int]]:
        """From the local numbers of strata to those of the store, by model.

        They are asked for once, and compared with every join: a Redis that has lost its data numbers them
        anew. Only those without a number of their own are asked for again: they may get one.
        """
        unknown: dict[str, list[int]] = {}
        for model, strata in zip(models, present, strict=True):
            known = self._numbers.setdefault(model, {OTHER_STRATUM: OTHER_STRATUM})
            for local in strata:
                if local not in known or (known[local] == OTHER_STRATUM and local != OTHER_STRATUM):
                    unknown.setdefault(model, []).append(local)
        if unknown:
            asked = {
                model: [self._strata[model].names[local] for local in strata]
                for model, strata in unknown.items()
            }
            for model, stored in self._store.strata_of(asked).items():
                numbered = zip(unknown[model], asked[model], strict=True)
                self._numbers[model].update({local: stored[name] for local, name in numbered})
        return [self._numbers[model] for model in models]


def _strata_in(strata: NDArray[np.uint16], ends: Sequence[int]) -> list[list[int]]:
    """The strata that there are of each model: mostly one, which is found without sorting."""
    first = np.array([0, *ends[:-1]])
    filled = np.flatnonzero(np.diff(ends, prepend=0))
    found: list[list[int]] = [[] for _ in ends]
    if not len(filled):
        return found
    least, most = (of.reduceat(strata, first[filled]).tolist() for of in (np.minimum, np.maximum))
    for place, low, high in zip(filled.tolist(), least, most, strict=True):
        found[place] = [low] if low == high else np.unique(strata[first[place] : ends[place]]).tolist()
    return found


def _translated(
    rows: ModelRows, numbers: Sequence[Mapping[int, int]], present: Sequence[list[int]]
) -> Predictions:
    """Predictions with the numbers that the store gives to their strata."""
    stratum = rows.predictions.stratum
    for (first, last), shared, known in zip(rows.bounds, numbers, present, strict=True):
        if all(shared[local] == local for local in known):
            continue
        if stratum is rows.predictions.stratum:
            stratum = stratum.copy()
        table = np.array([shared[local] for local in known], np.uint16)
        stratum[first:last] = table[np.searchsorted(known, stratum[first:last])]
    return (
        rows.predictions
        if stratum is rows.predictions.stratum
        else replace(rows.predictions, stratum=stratum)
    )
