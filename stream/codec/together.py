"""Blocks of versions that are read alike, as one: arrays of many models in few steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import Answers
from stream.codec.attributes import Attributes, InferenceAttributes, joined
from stream.codec.batch import Block


def joined_alike(blocks: Sequence[Block], columns: Iterable[str]) -> Block:
    """Return one block after the other as one, with these ``columns``; names and ids are of one of them.

    Measures are left out: they are columns too. For whoever reads all blocks in the same way; those of one
    version are joined in the order of the batch by :func:`stream.codec.joining.joined_block`.
    """
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    said = [block.attributes for block in blocks]
    return Block(
        model=first.model,
        version=first.version,
        rows=np.concatenate([block.rows for block in blocks]),
        ts_ms=np.concatenate([block.ts_ms for block in blocks]),
        ids=first.ids,
        columns={name: np.concatenate([block.columns[name] for block in blocks]) for name in columns},
        attributes=joined([_without_measures(each) for each in said]),
        answers=Answers.joined(
            [block.answers for block in blocks], np.arange(sum(len(block.answers) for block in blocks))
        ),
    )


def _without_measures(attributes: Attributes) -> Attributes:
    if isinstance(attributes, InferenceAttributes):
        return attributes._replace(measures=np.empty((0, len(attributes.variant))))
    return attributes


def keys_of(blocks: Sequence[Block], secret: bytes) -> NDArray[np.uint64]:
    """Return the keys of the ids of all ``blocks``: :func:`stream.outcomes.join.id_keys`."""
    return np.concatenate([block.ids.keys(block.model, secret) for block in blocks])
