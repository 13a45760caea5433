"""Events of a model of loans, its references, and what the decoder under test makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from detectors.reference import Reference
from stream.codec import REASONS, Batch, Block, Limits
from tests.stream.decoders import inference_decoder

TS = 1_760_000_000_000


def reference(columns: Mapping[str, Any], **options: Any) -> Reference:
    rows = 200
    return Reference.build(
        {name: (list(values) * rows)[:rows] for name, values in columns.items()}, window_rows=50, **options
    )


AGES = [20.0, 30.0, 40.0, 50.0, 60.0]
REFERENCE = reference(
    {
        "age": AGES,
        "income": [1.5, 2.5, 3.5, 4.5],
        "home": ["RENT", "OWN"],
        "zip": ["12", "34", "1.5"],
        "member": ["true", "false"],
        "prediction": ["0", "1"],
        "score": [0.1, 0.5, 0.9],
    },
    prediction="prediction",
)
REFERENCES = {("loan", "v1"): REFERENCE, ("loan", "v2"): REFERENCE, ("other", "1"): reference({"age": AGES})}


def event(**fields: Any) -> bytes:
    return json.dumps({"prediction_id": "p-1", "model": "loan", "version": "v2", "ts": TS, **fields}).encode()


def features(**values: Any) -> bytes:
    return event(features=values)


def decode(values: Iterable[bytes | None], limits: Limits | None = None, references: Any = None) -> Batch:
    given = list(values)
    decoder = inference_decoder(REFERENCES if references is None else references, limits or Limits())
    batch = decoder.decode(given, [TS + 7] * len(given))
    accounted = sorted(
        [row for block in batch.blocks for row in block.rows.tolist()]
        + [row for rows in (*batch.unknown.values(), *batch.unmonitored.values()) for row in rows.tolist()]
        + [rejected.row for rejected in batch.rejected]
    )
    assert accounted == list(range(len(given)))
    assert all(rejected.reason in REASONS and len(rejected.detail) <= 200 for rejected in batch.rejected)
    return batch


def block(*values: bytes, **options: Any) -> Block:
    batch = decode(values, **options)
    assert batch.rejected == []
    (only,) = batch.blocks
    return only


def reason(value: bytes | None, limits: Limits | None = None) -> str:
    batch = decode([event(), value, event()], limits)
    assert [one.rows.tolist() for one in batch.blocks] == [[0, 2]]
    ((row, why, detail),) = batch.rejected
    assert (row, batch.ts_ms[1]) == (1, -1)
    assert detail
    return why
