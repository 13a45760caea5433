from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from detectors.reference import Reference
from stream.codec import Batch, Declared, InferenceAttributes, LabelAttributes
from tests.stream.decoders import inference_decoder, label_decoder

pytestmark = pytest.mark.usefixtures("decoded_by")

TS = 1_760_000_000_000
REFERENCE = Reference.build(
    {"age": [float(i % 40) for i in range(200)], "y": ["no", "yes"] * 100}, window_rows=50, label="y"
)
TYPED = {("loan", "v1"): REFERENCE}
CONFLICTING = {("loan", "v0"): Reference.build({"age": ["a", "b"] * 100}, window_rows=50), **TYPED}
DECLARED = Declared(
    segments={"region": ("eu", "us"), "tier": ("1", "2")},
    variants=("live", "shadow"),
    measures=("latency_ms", 'tokens "in"'),
    feedback=("thumbs_up",),
)
REGION_OTHER, REGION_NONE = 2, 3


def event(**fields: Any) -> bytes:
    return json.dumps({"prediction_id": "p", "model": "loan", "ts": TS, **fields}).encode()


def attributes(
    *values: bytes,
    references: Mapping[tuple[str, str], Reference] = TYPED,
    declared: Declared = DECLARED,
) -> InferenceAttributes:
    batch = inference_decoder(references, declared={"loan": declared}).decode(values, [TS] * len(values))
    assert batch.rejected == []
    (block,) = batch.blocks
    assert isinstance(block.attributes, InferenceAttributes)
    return block.attributes


def labels(*values: bytes, declared: Declared = DECLARED) -> LabelAttributes:
    batch: Batch = label_decoder(TYPED, declared={"loan": declared}).decode(values, [TS] * len(values))
    (block,) = batch.blocks
    assert isinstance(block.attributes, LabelAttributes)
    return block.attributes


PLAIN_NAMES = Declared(segments=DECLARED.segments, variants=DECLARED.variants, measures=("latency_ms",))


@pytest.mark.parametrize("references", [TYPED, CONFLICTING], ids=["typed", "repaired"])
@pytest.mark.parametrize(
    ("segments", "codes"),
    [
        ({"region": "us", "tier": "1"}, [1, 0]),
        ({"region": "mars", "tier": 2}, [REGION_OTHER, 1]),
        ({"region": None, "browser": "x"}, [REGION_NONE, 3]),
        ({"region": {"eu": 1}, "tier": True}, [REGION_OTHER, 2]),
        ({"region": "x" * 5_000, "tier": ""}, [REGION_OTHER, 2]),
        ({}, [REGION_NONE, 3]),
        (None, [REGION_NONE, 3]),
    ],
)
def test_segments_are_codes_of_declared_values(segments: Any, codes: list[int], references: Any) -> None:
    found = attributes(event(segments=segments), references=references, declared=PLAIN_NAMES)
    assert found.segments[:, 0].tolist() == codes


@pytest.mark.parametrize("references", [TYPED, CONFLICTING], ids=["typed", "repaired"])
@pytest.mark.parametrize(
    ("variant", "code"), [("live", 0), (None, 0), ("", 0), ("shadow", 1), ("canary", 2), ("SHADOW", 2)]
)
def test_a_variant_is_live_unless_it_says_otherwise(variant: Any, code: int, references: Any) -> None:
    assert attributes(event(variant=variant), references=references).variant.tolist() == [code]


def test_live_is_declared_whatever_is_declared() -> None:
    declared = Declared(variants=("canary",))
    assert declared.variant_values == ("live", "canary", "other")
    assert attributes(event(), event(variant="canary"), declared=declared).variant.tolist() == [0, 1]


@pytest.mark.parametrize("references", [TYPED, CONFLICTING], ids=["typed", "repaired"])
def test_errors_and_weights_are_read(references: Any) -> None:
    found = attributes(
        event(), event(status="error", weight=4), event(status=None, weight=None), references=references
    )
    assert found.is_error.tolist() == [False, True, False]
    assert found.weight.tolist() == [1.0, 4.0, 1.0]


@pytest.mark.parametrize("declared", [DECLARED, PLAIN_NAMES], ids=["repaired", "typed"])
def test_measures_are_numbers_missing_or_invalid(declared: Declared) -> None:
    found = attributes(
        event(measures={"latency_ms": 12.5}),
        event(measures={"latency_ms": "fast"}),
        event(measures={"latency_ms": None, "cost": 3}),
        event(measures=None),
        event(measures={"latency_ms": True}),
        declared=declared,
    )
    np.testing.assert_array_equal(found.measures[0], [12.5, np.inf, np.nan, np.nan, 1.0])


def test_a_measure_may_have_any_name() -> None:
    found = attributes(event(measures={'tokens "in"': 7}))
    np.testing.assert_array_equal(found.measures[:, 0], [np.nan, 7.0])


def test_nothing_declared_reads_no_object_and_still_knows_errors_and_variants() -> None:
    found = attributes(
        event(segments={"region": "eu"}, measures={"latency_ms": 1}),
        event(variant="shadow", status="error"),
        declared=Declared(),
    )
    assert (found.segments.shape, found.measures.shape) == ((0, 2), (0, 2))
    assert (found.variant.tolist(), found.is_error.tolist()) == ([0, 1], [False, True])


def test_attributes_keep_the_order_of_the_batch() -> None:
    """Blocks are put together from parts, and models that take turns are decoded apart."""
    references = {**TYPED, ("risk", "1"): REFERENCE}
    values: list[bytes | None] = [
        event(model="loan" if i % 2 else "risk", prediction_id=str(i), weight=i + 1, variant="shadow")
        if i % 3
        else event(model="loan" if i % 2 else "risk", prediction_id=str(i))
        for i in range(1_500)
    ]
    values[7] = event(model="loan", prediction_id="7", weight=8, variant="shadow", features={"age": "x"})
    batch = inference_decoder(references, declared={"loan": DECLARED}).decode(values, [TS] * len(values))
    for block in batch.blocks:
        assert isinstance(block.attributes, InferenceAttributes)
        expected = [int(row) + 1 if row % 3 else 1 for row in block.rows.tolist()]
        assert block.attributes.weight.tolist() == expected
        assert block.attributes.segments.shape == (2 if block.model == "loan" else 0, len(block.rows))


def test_labels_say_what_they_correct_and_what_they_are_worth() -> None:
    found = labels(
        event(label="yes"),
        event(label="no", supersedes="l-1", value=12, feedback="thumbs_up"),
        event(label="no", supersedes="", value=None, feedback="thumbs_sideways"),
    )
    assert found.supersedes.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.value, [np.nan, 12.0, np.nan])
    assert [DECLARED.feedback_values[code] for code in found.feedback] == ["none", "thumbs_up", "other"]


def test_plain_labels_have_no_value_and_correct_nothing() -> None:
    found = labels(event(label="yes"), event(label="no"), declared=Declared())
    assert found.supersedes.tolist() == [False, False]
    assert np.isnan(found.value).all()


@pytest.mark.parametrize("more", [{}, {"value": 3}])
def test_feedback_that_is_not_declared_is_not_read(more: dict[str, Any]) -> None:
    found = labels(event(label="yes"), event(label="no", feedback="thumbs_up", **more), declared=Declared())
    assert [Declared().feedback_values[code] for code in found.feedback] == ["none", "none"]
