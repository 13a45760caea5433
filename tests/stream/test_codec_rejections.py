"""What is no event is rejected, each record with its reason; what just keeps the bounds is none of those."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from stream.codec import Limits
from tests.stream.decoders import inference_decoder
from tests.stream.loan_events import REFERENCES, TS, block, decode, event, features, reason

pytestmark = pytest.mark.usefixtures("decoded_by")


REFUSED: list[tuple[bytes | None, str]] = [
    (None, "empty"),
    (b"", "empty"),
    (b"{", "not_json"),
    (event()[:-1], "not_json"),
    (event() + b"x", "not_json"),
    (b'{"prediction_id":"a","model":"loan","features":{"age":NaN}}', "not_json"),
    (b'{"prediction_id":"a","model":"loan","features":{"age":-Infinity}}', "not_json"),
    (b"12", "not_an_object"),
    (b"[1]", "not_an_object"),
    (b"null", "not_an_object"),
    (b"\xff\xfe{}", "not_utf8"),
    (b'{"prediction_id":"\xff","model":"loan"}', "not_utf8"),
    (b"{}", "missing_field"),
    (b'{"prediction_id":"a"}', "missing_field"),
    (b'{"model":"loan"}', "missing_field"),
    (event(prediction_id=""), "missing_field"),
    (event(model=""), "missing_field"),
    (event(prediction_id=None), "wrong_type"),
    (event(prediction_id=7), "wrong_type"),
    (event(model=["loan"]), "wrong_type"),
    (event(version=2), "wrong_type"),
    (event(features="age"), "wrong_type"),
    (event(features=[1]), "wrong_type"),
    (event(segments="web"), "wrong_type"),
    (event(measures=[1.0]), "wrong_type"),
    (event(variant=1), "wrong_type"),
    (event(weight="1"), "wrong_type"),
    (event(weight=0), "bad_value"),
    (event(status="fine"), "bad_value"),
    (event()[:-1] + b',"weight":1e999}', "not_finite"),
    (event(prediction_id="x" * 129), "string_too_long"),
    (event(prediction_id="é" * 65), "string_too_long"),
    (features(home="x" * 1025), "string_too_long"),
    (features(home="é" * 513), "string_too_long"),
    (event(variant="x" * 1025), "string_too_long"),
    (features(age="x" * 1025), "string_too_long"),
    (event(extra="x" * (1 << 20)), "too_large"),
    (features(**{f"n{i}": i for i in range(2001)}), "too_many_features"),
    (event(model="new", features={f"n{i}": i for i in range(2001)}), "too_many_features"),
    (event()[:-1] + b',"x":' + b"[" * 32 + b"]" * 32 + b"}", "too_deep"),
    (event()[:-1] + b',"x":' + b'{"a":' * 500_000, "too_large"),
    (event()[:-1] + b',"x":' + b'{"a":' * 150_000, "too_deep"),
    (b"[" * 1_000_000, "too_deep"),
    (event(features={"age": json.loads("[" * 40 + "]" * 40)}), "too_deep"),
]


@pytest.mark.parametrize(("value", "expected"), REFUSED)
def test_what_is_no_event_is_rejected_with_its_reason(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


def test_refusals_hold_nothing_of_their_batches() -> None:
    """An exception that is kept holds the frames it went through, until the collector comes by."""
    decoder = inference_decoder(REFERENCES)
    decoder.decode([value for value, _ in REFUSED], [TS] * len(REFUSED))  # makes what is made once
    left = {}
    gc.collect()
    gc.freeze()  # what there was before is not looked at
    gc.disable()
    try:
        for value, expected in REFUSED:
            decoder.decode([event(), value], [TS, TS])
            left[expected, value and value[:80]] = gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    assert {case: objects for case, objects in left.items() if objects} == {}


@pytest.mark.parametrize(
    "value",
    [
        event(prediction_id="x" * 128),
        event(prediction_id="é" * 64),
        features(home="x" * 1024),
        features(home="é" * 512),
        features(**{f"n{i}": i for i in range(2000)}),
        event()[:-1] + b',"x":' + b"[" * 31 + b"]" * 31 + b"}",
        event(x="[" * 100),
        event(x='\\"[[' * 100),
        event(x=[[]] * 100),
        event(y="\\" * 2000, ignored="x" * 5000),
        event(
            segments={"channel": "web"},
            measures={"latency_ms": 1},
            variant="shadow",
            status="error",
            error_code="E1",
        ),
        event(segments=None, measures=None, variant=None, status=None, weight=None, trace_id=None),
        event(weight=12.5, prompt_version="7", entity_id="e", trace_id="t", unheard_of={"a": 1}),
    ],
)
def test_what_keeps_the_bounds_is_an_event(value: bytes) -> None:
    assert block(value).rows.tolist() == [0]


def test_bounds_are_configurable() -> None:
    limits = Limits(record_bytes=300, features=2, string_bytes=64, depth=3)
    assert reason(event(x="y" * 300), limits) == "too_large"
    assert reason(features(a=1, b=2, c=3), limits) == "too_many_features"
    assert reason(features(home="y" * 65), limits) == "string_too_long"
    assert reason(event(x=[[[]]]), limits) == "too_deep"
    with pytest.raises(ValueError, match="limit depth is 0"):
        Limits(depth=0)


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (TS, TS),
        (TS + 0.9, TS),
        ("2025-10-09T08:53:20Z", TS),
        ("2025-10-09T08:53:20.1239Z", TS + 123),
        ("2025-10-09T14:23:20.5+05:30", TS + 500),
        ("1996-05-07T00:00:00Z", 831_427_200_000),
        (None, TS + 7),
    ],
)
def test_event_times(ts: Any, expected: int) -> None:
    batch = decode([event(ts=ts), event(ts=TS + 1)])
    assert batch.ts_ms.tolist() == [expected, TS + 1]
    assert batch.ts_fallbacks == (ts is None)


@pytest.mark.parametrize(
    "ts",
    [
        -1,
        0,
        1_760_000_000,
        TS * 1000,
        10**30,
        1e300,
        True,
        "",
        "yesterday",
        "2025-10-09T08:53:20",
        "2025-10-09",
        [TS],
        {},
    ],
)
def test_implausible_event_times_are_rejected(ts: Any) -> None:
    assert reason(event(ts=ts)) == "bad_timestamp"


def test_an_event_without_any_time_is_rejected() -> None:
    batch = inference_decoder(REFERENCES).decode([event(ts=None), event()], [-1, -1])
    assert [(bad.row, bad.reason) for bad in batch.rejected] == [(0, "bad_timestamp")]
    assert (batch.ts_fallbacks, batch.ts_ms.tolist()) == (0, [-1, TS])
