"""From a decoded batch to the predictions and labels that the join takes. Pure: arrays in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.codec import Batch, Block, Declared, InferenceAttributes, LabelAttributes
from stream.codec.together import joined_alike, keys_of
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
        alike: dict[int, list[Block]] = {}
        for block in batch.blocks:
            kind = self._kind_of.get((block.model, block.version))
            if kind is not None:
                alike.setdefault(kind, []).append(block)
        taken = [
            self._taken(blocks, self._kinds[kind], partition, newest_ms) for kind, blocks in alike.items()
        ]
        return by_partition(taken, partitions)

    def _taken(
        self, blocks: Sequence[Block], kind: _Kind, partition: NDArray[np.intp], newest_ms: int
    ) -> Taken:
        """Rows of blocks of one kind that are joined."""
        block = joined_alike(blocks, kind.reader.scores)
        key = keys_of(blocks, self._secret)
        wanted = block.ts_ms <= newest_ms
        if kind.sample < 1:
            wanted = wanted & is_sampled(key, kind.sample)
        read: _Read = self._labels if isinstance(block.attributes, LabelAttributes) else self._predictions
        wanted, rows = read(blocks, block, key, kind.reader, wanted)
        models = tuple(dict.fromkeys(each.model for each in blocks))
        place = {model: number for number, model in enumerate(models)}
        model = np.repeat([place[each.model] for each in blocks], [len(each.rows) for each in blocks])
        at = partition[block.rows]
        if wanted.all():
            return Taken(models, model, at, rows)
        kept = np.flatnonzero(wanted)
        return Taken(models, model[kept], at[kept], rows.take(kept))

    def _predictions(
        self,
        blocks: Sequence[Block],
        block: Block,
        key: NDArray[np.uint64],
        reader: OutcomeReader,
        wanted: NDArray[np.bool_],
    ) -> tuple[NDArray[np.bool_], Predictions]:
        attributes = block.attributes
        assert isinstance(attributes, InferenceAttributes)
        predicted = reader.predictions(block)
        tables = [(self._models[each.model].strata, each.version, len(each.rows)) for each in blocks]
        strata = stratum_numbers(tables, attributes)
        return wanted & ~attributes.is_error, Predictions(
            key, block.ts_ms, strata, predicted.prediction, predicted.score
        )

    def _labels(
        self,
        _: Sequence[Block],
        block: Block,
        key: NDArray[np.uint64],
        reader: OutcomeReader,
        wanted: NDArray[np.bool_],
    ) -> tuple[NDArray[np.bool_], Labels]:
        attributes = block.attributes
        assert isinstance(attributes, LabelAttributes)
        label = reader.labels(block)
        found = Labels(
            key=key,
            ts_ms=block.ts_ms,
            label=label,
            supersedes=attributes.supersedes,
            value=attributes.value,
        )
        return wanted & ~np.isnan(label), found


_Read = Callable[
    [Sequence[Block], Block, NDArray[np.uint64], OutcomeReader, NDArray[np.bool_]],
    tuple[NDArray[np.bool_], Predictions | Labels],
]
