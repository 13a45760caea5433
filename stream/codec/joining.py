"""Two decoded parts of one batch become one, in the order of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import Answers
from stream.codec.attributes import joined, taken
from stream.codec.batch import Batch, Block
from stream.codec.ids import JoinedIds
from stream.codec.patched_table import PatchedTable
from stream.codec.scanned_table import ScannedTable


def placed(batch: Batch, places: NDArray[np.intp]) -> Batch:
    """Return ``batch``, decoded from the records at ``places``, with its rows as places in the whole.

    ``ts_ms`` stays that of the part.
    """
    return replace(
        batch,
        blocks=[replace(block, rows=places[block.rows]) for block in batch.blocks],
        rejected=[bad._replace(row=int(places[bad.row])) for bad in batch.rejected],
        unknown={key: places[rows] for key, rows in batch.unknown.items()},
        unmonitored={model: places[rows] for model, rows in batch.unmonitored.items()},
    )


def joined_batch(most: Batch, rest: Batch, places: NDArray[np.intp]) -> Batch:
    """Return the batch of two parts; ``rest`` are the records at ``places``, which ``most`` leaves out."""
    rest = placed(rest, places)
    ts_ms = most.ts_ms
    ts_ms[places] = rest.ts_ms
    return Batch(
        blocks=_joined_blocks(most.blocks, rest.blocks),
        rejected=sorted([*most.rejected, *rest.rejected]),
        unknown=_joined_rows(most.unknown, rest.unknown),
        unmonitored=_joined_rows(most.unmonitored, rest.unmonitored),
        ts_fallbacks=most.ts_fallbacks + rest.ts_fallbacks,
        ts_ms=ts_ms,
    )


def _joined_blocks(most: Sequence[Block], rest: Sequence[Block]) -> Sequence[Block]:
    if not rest:
        return most
    names = most.names if isinstance(most, ScannedTable) else [(block.model, block.version) for block in most]
    place = {name: number for number, name in enumerate(names)}
    left = dict.fromkeys(range(len(most)))
    patches = []
    for block in rest:
        number = place.get((block.model, block.version))
        if number is not None:
            block = joined_block([most[number], block])  # noqa: PLW2901
            del left[number]
        patches.append(block)
    if left and isinstance(most, ScannedTable):
        return PatchedTable(most, list(left), patches)
    return sorted([*(most[number] for number in left), *patches], key=lambda block: int(block.rows[0]))


def joined_block(parts: Sequence[Block]) -> Block:
    """Return the blocks of one model version as one, in the order of the batch."""
    first = parts[0]
    if len(parts) == 1 and not (first.rows[1:] < first.rows[:-1]).any():
        return first
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    answers = [part.answers for part in parts]
    return Block(
        model=first.model,
        version=first.version,
        rows=rows[order],
        ts_ms=np.concatenate([part.ts_ms for part in parts])[order],
        ids=JoinedIds([part.ids for part in parts], order),
        columns={
            name: np.concatenate([part.columns[name] for part in parts])[order] for name in first.columns
        },
        attributes=taken(joined([part.attributes for part in parts]), order),
        answers=Answers.joined(answers, order) if any(map(len, answers)) else first.answers,
    )


def _joined_rows(
    most: Mapping[Any, NDArray[np.intp]], rest: Mapping[Any, NDArray[np.intp]]
) -> dict[Any, NDArray[np.intp]]:
    joined_rows = dict(most)
    for key, rows in rest.items():
        joined_rows[key] = np.sort(np.concatenate([most[key], rows])) if key in most else rows
    return joined_rows
