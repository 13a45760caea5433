"""Decoders of the engine under test, and what makes two batches the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from stream.codec import Batch, Block, Engine, JsonInferenceDecoder, JsonLabelDecoder

_USED: list[Engine] = ["auto"]


@contextmanager
def using(engine: Engine) -> Iterator[None]:
    _USED.append(engine)
    yield
    _USED.pop()


def inference_decoder(*arguments: Any, **named: Any) -> JsonInferenceDecoder:
    return JsonInferenceDecoder(*arguments, engine=_USED[-1], **named)


def label_decoder(*arguments: Any, **named: Any) -> JsonLabelDecoder:
    return JsonLabelDecoder(*arguments, engine=_USED[-1], **named)


def same_batch(one: Batch, other: Batch) -> None:
    """Everything of two batches is the same, to the bit where it is a number."""
    assert one.rejected == other.rejected
    assert one.ts_fallbacks == other.ts_fallbacks
    assert one.ts_ms.tolist() == other.ts_ms.tolist()
    for rows, others in ((one.unknown, other.unknown), (one.unmonitored, other.unmonitored)):
        assert {key: at.tolist() for key, at in rows.items()} == {
            key: at.tolist() for key, at in others.items()
        }
    assert [(each.model, each.version) for each in one.blocks] == [
        (each.model, each.version) for each in other.blocks
    ]
    for left, right in zip(one.blocks, other.blocks, strict=True):
        same_block(left, right)


def same_block(one: Block, other: Block) -> None:
    assert one.rows.tolist() == other.rows.tolist()
    assert one.ts_ms.tolist() == other.ts_ms.tolist()
    assert list(one.ids) == list(other.ids)
    assert one.ids.keys(one.model, b"secret").tolist() == other.ids.keys(one.model, b"secret").tolist()
    assert set(one.columns) == set(other.columns)
    for name, column in one.columns.items():
        same_array(column, other.columns[name], name)
    assert type(one.attributes) is type(other.attributes)
    for name, left, right in zip(one.attributes._fields, one.attributes, other.attributes, strict=True):
        same_array(left, right, name)
    assert [(type(each), each) for each in one.answers] == [(type(each), each) for each in other.answers]


def same_array(one: Any, other: Any, name: str) -> None:
    assert (one.dtype, one.shape) == (other.dtype, other.shape), name
    if one.dtype.kind == "f":
        one, other = np.where(np.isnan(one), np.nan, one), np.where(np.isnan(other), np.nan, other)
    assert one.tobytes() == other.tobytes(), name
