"""From a decoded batch to the predictions and labels that the join takes. Pure: arrays in, rows out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.codec import Batch, Block, Declared, InferenceAttributes, LabelAttributes, Table, table_of
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.join import DEFAULT_SECRET, Labels, Predictions, is_sampled
from stream.outcomes.join_rows import JoinRows, Taken, by_partition
from stream.outcomes.stratum_table import StratumTable, stratum_numbers


class JoinedModel:
    """What the configuration says of a model whose outcomes are joined; references may change beside it.

    Parameters
    ----------
    declared
        Attributes that are read; ``answers`` must be among them.
    horizon_ms
        How far a label may lie from its prediction.
    sample
        Share of the ids that are joined, 0 to 1.
    """

    def __init__(self, declared: Declared, *, horizon_ms: int, sample: float = 1.0) -> None:
        self.declared = declared
        self.horizon_ms = horizon_ms
        self.sample = sample
        self.strata = StratumTable(declared)


class _Kind(NamedTuple):
    """Blocks whose rows are read alike, in one pass: all but the sample is in the reader and the table."""

    reader: OutcomeReader
    sample: float


class OutcomeIntake:
    """Takes the rows of joined models out of decoded batches.

    A prediction is a good answer of any variant: events with ``status: error`` are none. Events that are too
    late for their window are joined all the same.

    Parameters
    ----------
    readers
        By model and version, those of one model with the same performance spec; other models are not joined.
    """

    def __init__(
        self,
        models: Mapping[str, JoinedModel],
        readers: Mapping[str, Mapping[str, OutcomeReader]],
        *,
        secret: bytes = DEFAULT_SECRET,
    ) -> None:
        self._models = models
        self._secret = secret
        self._kinds: list[_Kind] = []
        self._kind_of: dict[tuple[str, str], int] = {}
        numbers: dict[tuple[Hashable, ...], int] = {}
        for model, versions in readers.items():
            joined = models.get(model)
            if joined is None:
                continue
            for version, reader in versions.items():
                alike = (*reader.alike, joined.sample, joined.strata.sizes)
                number = self._kind_of[model, version] = numbers.setdefault(alike, len(numbers))
                if number == len(self._kinds):
                    self._kinds.append(_Kind(reader, joined.sample))

    def take(
        self, batch: Batch, partition: NDArray[np.intp], *, newest_ms: int, partitions: int
    ) -> list[JoinRows]:
        """Rows of each of ``partitions`` partitions; ``partition`` and ``newest_ms`` as for the counting."""
        if not batch.blocks:
            return by_partition([], partitions)
        table = table_of(batch.blocks)
        alike: dict[int, list[int]] = {}
        for number, name in enumerate(table.names):
            kind = self._kind_of.get(name)
            if kind is not None:
                alike.setdefault(kind, []).append(number)
        taken = [
            self._taken(table, numbers, self._kinds[kind], partition, newest_ms)
            for kind, numbers in alike.items()
        ]
        return by_partition(taken, partitions)

    def _taken(
        self,
        table: Table,
        numbers: Sequence[int],
        kind: _Kind,
        partition: NDArray[np.intp],
        newest_ms: int,
    ) -> Taken:
        """Rows of blocks of one kind that are joined."""
        block = table.alike(numbers, () if table.traffic is None else kind.reader.scores)
        key = table.keys(numbers, self._secret)
        names, sizes = [table.names[number] for number in numbers], table.sizes[numbers]
        wanted = block.ts_ms <= newest_ms
        if kind.sample < 1:
            wanted = wanted & is_sampled(key, kind.sample)
        rows: Predictions | Labels
        if isinstance(block.attributes, InferenceAttributes):
            strata = [
                (self._models[model].strata, version, size)
                for (model, version), size in zip(names, sizes.tolist(), strict=True)
            ]
            rows = _predictions(block, key, kind.reader, stratum_numbers(strata, block.attributes))
            wanted = wanted & ~block.attributes.is_error
        else:
            rows = _labels(block, key, kind.reader, block.attributes)
            wanted = wanted & ~np.isnan(rows.label)
        place: dict[str, int] = {}
        model = np.repeat([place.setdefault(model, len(place)) for model, _ in names], sizes)
        at = partition[block.rows]
        if wanted.all():
            return Taken(tuple(place), model, at, rows)
        kept = np.flatnonzero(wanted)
        return Taken(tuple(place), model[kept], at[kept], rows.take(kept))


def _predictions(
    block: Block, key: NDArray[np.uint64], reader: OutcomeReader, strata: NDArray[np.uint16]
) -> Predictions:
    predicted = reader.predictions(block)
    return Predictions(key, block.ts_ms, strata, predicted.prediction, predicted.score)


def _labels(
    block: Block, key: NDArray[np.uint64], reader: OutcomeReader, attributes: LabelAttributes
) -> Labels:
    return Labels(
        key=key,
        ts_ms=block.ts_ms,
        label=reader.labels(block),
        supersedes=attributes.supersedes,
        value=attributes.value,
    )
