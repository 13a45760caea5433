"""A table says of a batch what its blocks do, whoever decoded it and whichever blocks are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Reference
from detectors.performance import PerformanceSpec
from stream.codec import (
    Batch,
    Block,
    Declared,
    Decoder,
    Engine,
    JsonInferenceDecoder,
    JsonLabelDecoder,
    Table,
    table_of,
)
from stream.codec.patched_table import PatchedTable
from stream.codec.scanned_table import ScannedTable
from stream.codec.table import BlockTable
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.intake import JoinedModel, OutcomeIntake
from tests.stream.decoders import same_array, same_block

pytest.importorskip("driftstream_native", reason="the compiled package is not installed")

TS, MODELS, PARTITIONS = 1_760_000_000_000, 6, 3
NUMBERS = [i / 100 for i in range(100)]
REFERENCE = Reference.build(
    {"age": NUMBERS, "home": ["RENT", "OWN"] * 50, "score": NUMBERS, "truth": ["a", "b"] * 50},
    window_rows=50,
    label="truth",
)
NAMES = [f"m{number}" for number in range(MODELS)]
REFERENCES = {(name, version): REFERENCE for name in NAMES for version in ("1", "2")}
DECLARED = Declared(segments={"a": ("x", "y"), "b": ("z",)}, measures=("ms",), answers=True)
PLAIN = Declared(answers=True)


@cache
def decoder(kind: Callable[..., Any], engine: Engine) -> Decoder:
    """Of models of which the even ones have segments."""
    declared = {name: DECLARED if number % 2 == 0 else PLAIN for number, name in enumerate(NAMES)}
    made: Decoder = kind(REFERENCES, declared=declared, engine=engine)
    return made


def decoded(
    kind: Callable[..., Any], engine: Engine, rows: Sequence[tuple[int, str, bool]]
) -> Sequence[Block]:
    """Blocks of rows given as (model, version, whether only Python reads it)."""
    values = []
    for row, (model, version, odd) in enumerate(rows):
        event = {
            "prediction_id": f"p{row % 7}",
            "model": NAMES[model],
            "version": version,
            "ts": TS + row * 13 % 5,
            "features": {"age": row / 7, "home": "OWN"},
            "score": row / 50,
            "prediction": "ab"[row % 2],
            "label": "ba"[row % 2],
            "value": row,
            "variant": ("live", "shadow")[row % 3 == 0],
            "status": ("ok", "error")[row % 5 == 0],
            "segments": {"a": "xyz"[row % 3], "b": "z"},
            "measures": {"ms": row},
        }
        text = json.dumps(event)
        values.append((text[:-1] + f', "ts": {event["ts"]}}}' if odd else text).encode())
    return decoder(kind, engine).decode(values, [TS] * len(values)).blocks


ROWS = st.lists(
    st.tuples(st.integers(0, MODELS - 1), st.sampled_from("12"), st.integers(0, 9).map(lambda n: n == 0)),
    min_size=1,
    max_size=40,
)
KINDS = pytest.mark.parametrize("kind", [JsonInferenceDecoder, JsonLabelDecoder])


@KINDS
@settings(deadline=None)
@given(rows=ROWS, data=st.data())
def test_a_table_is_that_of_its_blocks(
    kind: Callable[..., Any], rows: list[Any], data: st.DataObject
) -> None:
    blocks = decoded(kind, "native", rows)
    table, plain = table_of(blocks), BlockTable(decoded(kind, "python", rows))
    for block, other in zip(blocks, plain, strict=True):
        same_block(block, other)
    assert list(table.names) == plain.names
    for name in ("sizes", "rows", "ts_ms"):
        same_array(getattr(table, name), getattr(plain, name), name)
    assert (table.traffic is None) == (plain.traffic is None) == (kind is JsonLabelDecoder)
    for one, other in zip(table.traffic or (), plain.traffic or (), strict=True):
        same_array(one, other, "traffic")
    with_segments = data.draw(st.booleans())
    places = [place for place, name in enumerate(plain.names) if (int(name[0][1]) % 2 == 0) == with_segments]
    chosen = sorted(data.draw(st.sets(st.sampled_from(places)))) if places else []
    if chosen:
        same_part(table, plain, chosen, ["age", "score"] if kind is JsonInferenceDecoder else [])


def same_part(table: Table, plain: Table, numbers: list[int], columns: list[str]) -> None:
    """Some blocks as one are the same, but for measures."""
    one, other = table.alike(numbers, columns), plain.alike(numbers, columns)
    same_array(table.keys(numbers, b"s"), plain.keys(numbers, b"s"), "keys")
    for name in ("rows", "ts_ms"):
        same_array(getattr(one, name), getattr(other, name), name)
    for name in columns:
        same_array(one.columns[name], other.columns[name], name)
    for name, left, right in zip(one.attributes._fields, one.attributes, other.attributes, strict=True):
        if name != "measures":
            same_array(left, right, name)
    assert list(one.answers) == list(other.answers)


def test_only_what_python_has_decoded_is_made() -> None:
    rows = [(row % MODELS, "1", row == 8) for row in range(60)]
    blocks = decoded(JsonInferenceDecoder, "native", rows)
    assert isinstance(blocks, PatchedTable)
    assert sorted(blocks.held.values()) == [number for number in range(MODELS) if number != 2]
    assert [int(block.rows[0]) for block in blocks] == list(range(MODELS))
    assert isinstance(decoded(JsonInferenceDecoder, "native", rows[:8]), ScannedTable)


def test_rows_taken_do_not_depend_on_the_decoder() -> None:
    random = np.random.default_rng(3)
    rows = [
        (int(model), str(version), bool(odd < 0.03))
        for model, version, odd in zip(
            random.integers(0, MODELS, 400), random.integers(1, 3, 400), random.random(400), strict=True
        )
    ]
    spec = PerformanceSpec("binary", classes=("a", "b"))
    found = []
    for engine in ("native", "python"):
        models = {
            name: JoinedModel(
                DECLARED if number % 2 == 0 else PLAIN, horizon_ms=1, sample=1 - number // 4 / 2
            )
            for number, name in enumerate(NAMES)
        }
        readers = {name: dict.fromkeys(("1", "2"), OutcomeReader(spec, REFERENCE)) for name in NAMES[1:]}
        intake = OutcomeIntake(models, readers)
        batch = Batch(blocks=decoded(JsonInferenceDecoder, engine, rows), ts_ms=np.empty(0, np.int64))
        taken = intake.take(batch, np.arange(400) % PARTITIONS, newest_ms=TS + 3, partitions=PARTITIONS)
        found.append(
            [
                {
                    model: [column.tobytes() for column in vars(part).values()]
                    for model, part in each.predictions().items()
                }
                for each in taken
            ]
        )
    assert found[0] == found[1]
    assert all(len(each) == MODELS - 1 for each in found[0])
