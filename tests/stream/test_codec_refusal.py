"""What the typed decoder's complaint settles at once is what the closer look says of the same record."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.codec import Limits
from stream.codec.layout import layouts
from stream.codec.refusal import Refusals
from stream.codec.repair import Repair
from stream.codec.structs import INFERENCE
from stream.errors import DecodeError
from tests.integration.pipeline import synthetic_reference

LAYOUTS = layouts({("m", "v1"): synthetic_reference()}, {}, INFERENCE, "inference", 1_024)
REPAIR = Repair(INFERENCE, LAYOUTS, Limits())


class Nobody(msgspec.Struct, tag="", tag_field="model"):
    """Makes a union, as the batch decoder does."""


DECODE: Any = msgspec.json.Decoder(Nobody | LAYOUTS["m"].structs.event).decode
VALID = {"prediction_id": "1", "model": "m", "ts": 1_760_000_000_000, "features": {"x": 1.0, "c": "a"}}
TEXT = json.dumps(VALID).encode()
CLEAR = {
    "not_json": [TEXT[:-20], b"", b"hello", TEXT + b"x", b"[1, 2", b'{"prediction_id":"1","model":"m"'],
    "not_utf8": [b"\xff\x00", TEXT.replace(b'"1"', b'"\xff"')],
    "missing_field": [TEXT.replace(b"prediction_id", b"id"), b"{}", TEXT.replace(b'"model"', b'"name"')],
    "bad_timestamp": [TEXT.replace(b"1760000000000", b'"yesterday"'), TEXT.replace(b"1760000000000", b"[]")],
    "not_an_object": [b"[]", b"12", b'"m"', b"null", b"true", b"[1.5, {}]"],
}
ODD = [
    b"",
    b"{",
    b"[[",
    b'"',
    b"\\",
    b"1e999",
    b"\xed\xa0\x80",
    b',"ts":7',
    b'"ts":"x",',
    b"\\u0074",
    b"null",
]


def closer_look(value: bytes) -> str:
    try:
        REPAIR.event(value)
    except DecodeError as error:
        return error.reason
    return "an event"


def complaint(value: bytes) -> Exception | None:
    try:
        DECODE(value)
    except (ValueError, RecursionError) as error:
        return error
    return None


@pytest.mark.parametrize("reason", CLEAR)
def test_clear_cases_need_no_closer_look(reason: str) -> None:
    refusals = Refusals(["prediction_id", "model"])
    for value in filter(None, CLEAR[reason]):
        error = complaint(value)
        assert error is not None
        refusal = refusals.of(value, error)
        assert refusal is not None, value
        assert refusal.reason == reason == closer_look(value)
        assert "yesterday" not in refusal.detail


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 30), st.sampled_from(ODD)), max_size=3))
@settings(max_examples=400, deadline=None)
def test_both_ways_say_the_same(changes: list[tuple[int, int, bytes]]) -> None:
    value = TEXT
    for place, cut, inserted in changes:
        value = value[:place] + inserted + value[place + cut :]
    error = complaint(value)
    if error is None:
        return
    found = REPAIR.second_look(value, error, suspect=False)
    assert (found.reason if isinstance(found, DecodeError) else "an event") == closer_look(value)


def test_of_a_key_that_stands_twice_the_last_value_counts() -> None:
    value = TEXT[:-1] + b',"ts":"never"}'
    assert closer_look(value) == "bad_timestamp"
    value = TEXT.replace(b'"ts"', b'"ts":"never","ts"')
    error = complaint(value)
    assert error is not None
    assert not isinstance(REPAIR.second_look(value, error, suspect=False), DecodeError)
