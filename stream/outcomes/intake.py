"""From a decoded batch to the predictions and labels that the join takes. Pure: arrays in, rows out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream.codec import Batch, Block, Declared, InferenceAttributes, LabelAttributes
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.join import DEFAULT_SECRET, Labels, Predictions, is_sampled
from stream.outcomes.join_rows import JoinRows, by_partition
from stream.outcomes.stratum_table import StratumTable


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
        self._readers = readers
        self._secret = secret

    def take(
        self, batch: Batch, partition: NDArray[np.intp], *, newest_ms: int, partitions: int
    ) -> list[JoinRows]:
        """Rows of each of ``partitions`` partitions; ``partition`` and ``newest_ms`` as for the counting."""
        taken: list[tuple[str, NDArray[np.intp], Predictions | Labels]] = []
        for block in batch.blocks:
            reader = self._readers.get(block.model, {}).get(block.version)
            if reader is not None:
                kept, rows = self._rows(block, reader, block.ts_ms <= newest_ms)
                taken.append((block.model, partition[block.rows[kept]], rows))
        return by_partition(taken, partitions)

    def _rows(
        self, block: Block, reader: OutcomeReader, timely: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], Predictions | Labels]:
        """Positions of the rows that are joined, and the rows."""
        if isinstance(block.attributes, LabelAttributes):
            return self._labels(block, block.attributes, reader, timely)
        return self._predictions(block, block.attributes, reader, timely)

    def _predictions(
        self, block: Block, attributes: InferenceAttributes, reader: OutcomeReader, timely: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], Predictions]:
        predicted = reader.predictions(block)
        kept, key = self._kept(block, timely & ~attributes.is_error)
        return kept, Predictions(
            key=key,
            ts_ms=block.ts_ms[kept],
            stratum=self._models[block.model].strata.numbers(block.version, attributes)[kept],
            prediction=predicted.prediction[kept],
            score=predicted.score[kept],
        )

    def _labels(
        self, block: Block, attributes: LabelAttributes, reader: OutcomeReader, timely: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], Labels]:
        label = reader.labels(block)
        kept, key = self._kept(block, timely & ~np.isnan(label))
        return kept, Labels(
            key=key,
            ts_ms=block.ts_ms[kept],
            label=label[kept],
            supersedes=attributes.supersedes[kept],
            value=attributes.value[kept],
        )

    def _kept(self, block: Block, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Rows that are ``wanted`` and in the sample, and their keys."""
        key = block.ids.keys(block.model, self._secret)
        sample = self._models[block.model].sample
        if sample < 1:
            wanted = wanted & is_sampled(key, sample)
        rows = np.flatnonzero(wanted)
        return rows, key[rows]
