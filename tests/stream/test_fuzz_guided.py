"""What ``make fuzz-guided`` does with an input: what it begins with is fine, a difference is found."""

from __future__ import annotations

import re

import pytest

from stream.codec import JsonInferenceDecoder, Limits
from tests.stream.fuzz_decoder_atheris import dictionary, seeds, trial
from tests.stream.test_codec_fuzz import REFERENCES
from tests.stream.test_compiled_decoder import PAIRS


def test_both_decoders_give_the_same_of_what_it_begins_with() -> None:
    attempt, inputs = trial(PAIRS), list(seeds(len(PAIRS)))
    assert len(set(inputs)) > 15 * len(PAIRS)
    for data in (*inputs, b"", b"\x00"):
        attempt(data)


def test_a_difference_is_found() -> None:
    strict, loose = (
        JsonInferenceDecoder(REFERENCES, Limits(depth=depth), engine=engine)
        for depth, engine in ((6, "python"), (7, "native"))
    )
    with pytest.raises(AssertionError):
        trial([(strict, loose)])(b'\x00{"prediction_id":"p","model":"loan","x":[[[[[[1]]]]]]}')


def test_the_dictionary_is_one_that_can_be_read() -> None:
    assert [line for line in dictionary() if not re.fullmatch(r'"(\\x[0-9a-f]{2})+"', line)] == []
