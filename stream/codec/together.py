"""Blocks of versions that are read alike, as one: arrays of many models in few steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import Answers
from stream.codec.attributes import joined
from stream.codec.batch import Block
from stream.codec.scanned import ScannedAnswers, ScannedIds


def joined_alike(blocks: Sequence[Block], columns: Iterable[str]) -> Block:
    """Return one block after the other as one, with these ``columns``; names and ids are the first's.

    For whoever reads all of them in the same way; blocks of one version are joined in the order of the batch
    by :func:`stream.codec.joining.joined_block`.
    """
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    return Block(
        model=first.model,
        version=first.version,
        rows=np.concatenate([block.rows for block in blocks]),
        ts_ms=np.concatenate([block.ts_ms for block in blocks]),
        ids=first.ids,
        columns={name: np.concatenate([block.columns[name] for block in blocks]) for name in columns},
        attributes=joined([block.attributes for block in blocks]),
        answers=_answers([block.answers for block in blocks]),
    )


def _answers(parts: Sequence[Answers]) -> Answers:
    scanned = [part for part in parts if isinstance(part, ScannedAnswers)]
    if len(scanned) == len(parts) and all(
        before.scanned is after.scanned and before.last == after.first for before, after in pairwise(scanned)
    ):
        return ScannedAnswers(scanned[0].scanned, scanned[0].first, scanned[-1].last)
    return Answers.joined(parts, np.arange(sum(map(len, parts))))


def keys_of(blocks: Sequence[Block], secret: bytes) -> NDArray[np.uint64]:
    """Return the keys of the ids of all ``blocks``: :func:`stream.outcomes.join.id_keys`."""
    scanned = [block.ids for block in blocks if isinstance(block.ids, ScannedIds)]
    if len(scanned) == len(blocks) and all(ids.scanned is scanned[0].scanned for ids in scanned):
        parts = [(ids.first, ids.last, block.model) for ids, block in zip(scanned, blocks, strict=True)]
        keys = scanned[0].scanned.keys_of(parts, secret)
        return np.frombuffer(keys, np.dtype("<u8")).astype(np.uint64, copy=False)
    return np.concatenate([block.ids.keys(block.model, secret) for block in blocks])
