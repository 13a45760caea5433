from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.reference import Reference
from stream.codec import (
    REASONS,
    Attributes,
    Batch,
    Declared,
    Decoder,
    JsonInferenceDecoder,
    JsonLabelDecoder,
    Limits,
)

TS = 1_760_000_000_000
NUMBERS = [i / 7 for i in range(100)]
COLUMNS: dict[str, Any] = {
    "age": NUMBERS,
    "home": ["RENT", "OWN"] * 50,
    "member": [True, False] * 50,
    "score": NUMBERS,
}
REFERENCE = Reference.build(COLUMNS | {"truth": ["a", "b"] * 50}, window_rows=50, label="truth")
REFERENCES = {("loan", "v1"): REFERENCE, ("loan", "v2"): REFERENCE, ("risk", "1"): REFERENCE}
CONFLICTING = REFERENCES | {("loan", "v0"): Reference.build({"age": ["a", "b"] * 50}, window_rows=50)}
LIMITS = Limits(record_bytes=2_000, features=8, string_bytes=40, depth=6)
DECLARED = {
    "loan": Declared(
        segments={"channel": ("web", "12")},
        variants=("shadow",),
        measures=("latency_ms",),
        feedback=("thumbs_up",),
        answers=True,
    )
}
DECODERS: list[Decoder] = [
    JsonInferenceDecoder(REFERENCES, LIMITS, DECLARED),
    JsonLabelDecoder(REFERENCES, LIMITS, DECLARED),
]

TEXTS = st.text(max_size=50) | st.sampled_from(["RENT", "true", "12"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
NAMES = st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
VALID: dict[str, Any] = {
    "prediction_id": "p-1",
    "model": "loan",
    "version": "v1",
    "ts": TS,
    "features": {"age": 3.5, "home": "OWN", "member": True},
    "prediction": 1,
    "score": 0.5,
    "label": "a",
    "segments": {"channel": "web"},
    "measures": {"latency_ms": 3},
}
FIELDS = [*VALID, "variant", "status", "error_code", "weight", "trace_id", "value", "feedback", "extra"]
FIELDS.append("supersedes")
FEATURES = st.dictionaries(st.sampled_from([*COLUMNS, "new"]), JSON, max_size=4)
SEGMENTS = st.fixed_dictionaries({"channel": JSON | st.sampled_from(["web", 12])})
MEASURES = st.fixed_dictionaries({"latency_ms": JSON})
ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "segments": SEGMENTS,
    "measures": MEASURES,
    "variant": st.sampled_from(["live", "shadow", "canary", "", None]),
    "status": st.sampled_from(["ok", "error", None]),
    "weight": st.floats(0, exclude_min=True, allow_infinity=False) | st.none(),
    "value": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    "feedback": st.sampled_from(["thumbs_up", "shrug", None]),
}
CONFUSED = st.builds(
    lambda changes, features, attributes: json.dumps(VALID | changes | features | attributes).encode(),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    st.just({}) | FEATURES.map(lambda found: {"features": found}),
    st.just({}) | st.fixed_dictionaries({}, optional=ATTRIBUTES),
)
ODD = st.binary(max_size=4) | st.sampled_from([b"{", b"[[", b'"', b"\\", b"1e999", b"\xed\xa0\x80"])


def mutated(place: int, cut: int, inserted: bytes) -> bytes:
    text = json.dumps(VALID).encode()
    return text[:place] + inserted + text[place + cut :]


MUTATED = st.builds(mutated, st.integers(0, 300), st.integers(0, 5), ODD)
ANYTHING = st.none() | st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())
RECORDS = ANYTHING | CONFUSED | MUTATED | st.just(json.dumps(VALID).encode())
BATCHES = st.lists(RECORDS, max_size=12)


def check(batch: Batch, size: int) -> None:
    rows = [row for block in batch.blocks for row in block.rows.tolist()]
    rows += [row for part in (*batch.unknown.values(), *batch.unmonitored.values()) for row in part.tolist()]
    rows += [rejected.row for rejected in batch.rejected]
    assert sorted(rows) == list(range(size))
    for rejected in batch.rejected:
        assert rejected.reason in REASONS
        assert len(rejected.detail) <= 200
        assert batch.ts_ms[rejected.row] == -1
    for block in batch.blocks:
        assert len(block.rows) == len(block.ids) == len(block.ts_ms) > 0
        assert (block.rows[1:] > block.rows[:-1]).all()
        np.testing.assert_array_equal(batch.ts_ms[block.rows], block.ts_ms)
        assert all(len(column) == len(block.rows) for column in block.columns.values())
        assert all(array.shape[-1] == len(block.rows) for array in block.attributes)
        assert REFERENCE.binning.count(block.columns).sum() == len(block.rows) * len(REFERENCE.names)


def same_attributes(left: Attributes, right: Attributes, place: int) -> None:
    for name, one, other in zip(left._fields, left, right, strict=True):
        np.testing.assert_array_equal(one[..., place], other[..., 0], err_msg=name)


@given(BATCHES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_accounted_for_once(values: list[bytes | None]) -> None:
    for decoder in DECODERS:
        check(decoder.decode(values, [TS] * len(values)), len(values))


@given(BATCHES)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_record_means_the_same_alone_as_in_a_batch(values: list[bytes | None]) -> None:
    for decoder in DECODERS:
        together = decoder.decode(values, [TS] * len(values))
        alone = [decoder.decode([value], [TS]) for value in values]
        assert [bad.reason for bad in together.rejected] == [
            bad.reason for one in alone for bad in one.rejected
        ]
        for block in together.blocks:
            for place, row in enumerate(block.rows.tolist()):
                (single,) = alone[row].blocks
                assert (single.model, single.version) == (block.model, block.version)
                for name, column in block.columns.items():
                    np.testing.assert_array_equal(column[place], single.columns[name][0])
                same_attributes(block.attributes, single.attributes, place)
                assert [repr(each) for each in block.answers][place : place + 1] == [
                    repr(each) for each in single.answers
                ]


@given(st.dictionaries(st.sampled_from(["age", "home", "member"]), SCALARS))
@settings(max_examples=150, deadline=None)
def test_the_slow_path_encodes_like_the_reference(features: dict[str, Any]) -> None:
    """The typed decoder and the row by row one agree with the encoder that references are built with."""
    finite = {name: value for name, value in features.items() if value not in (np.inf, -np.inf)}
    finite = {name: value for name, value in finite.items() if value == value}
    value = json.dumps(VALID | {"features": finite}).encode()
    expected = REFERENCE.binning.encode({name: [finite.get(name)] for name in ("age", "home", "member")})
    for references in (REFERENCES, CONFLICTING):
        found = JsonInferenceDecoder(references).decode([value], [TS])
        for name, column in expected.items():
            np.testing.assert_array_equal(found.blocks[0].columns[name], column, err_msg=name)


@given(st.fixed_dictionaries({}, optional=ATTRIBUTES))
@settings(max_examples=150, deadline=None)
def test_the_slow_path_reads_attributes_like_the_fast_one(given_attributes: dict[str, Any]) -> None:
    value = json.dumps(VALID | given_attributes).encode()
    fast, slow = (
        JsonInferenceDecoder(references, LIMITS, DECLARED).decode([value], [TS])
        for references in (REFERENCES, CONFLICTING)
    )
    assert [bad.reason for bad in fast.rejected] == [bad.reason for bad in slow.rejected]
    for one, other in zip(fast.blocks, slow.blocks, strict=True):
        same_attributes(one.attributes, other.attributes, 0)
        assert list(one.answers) == list(other.answers) == [VALID["prediction"]]
