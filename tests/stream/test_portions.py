"""A batch is the same in however many portions its records come."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.codec import Batch, Decoder, Engine, JsonInferenceDecoder, JsonLabelDecoder
from stream.codec.engine import chosen
from stream.codec.private import PrivateInferenceDecoder
from stream.privacy import FieldPrivacy, FieldRule
from tests.stream.decoders import same_batch
from tests.stream.test_codec_fuzz import BATCHES, DECLARED, LIMITS, REFERENCES, TS, VALID

ENGINES: list[Engine] = ["python", "native"] if chosen("auto") == "native" else ["python"]
DECODERS: list[Decoder] = [
    kind(REFERENCES, LIMITS, DECLARED, engine=engine)
    for kind in (JsonInferenceDecoder, JsonLabelDecoder)
    for engine in ENGINES
]
PRIVATE = PrivateInferenceDecoder(
    REFERENCES, LIMITS, DECLARED, FieldPrivacy({"age": FieldRule("bucket", 10.0)})
)
SKIPPED = st.lists(st.integers(0, 11), max_size=4)
CUTS = st.lists(st.integers(0, 12), max_size=5).map(sorted)


def decoded(
    decoder: Decoder,
    values: list[bytes | None],
    times: list[int],
    cuts: Sequence[int],
    kept: list[bool] | None,
    newest_ms: int,
) -> tuple[Batch, set[int]]:
    """Decode in portions that end at ``cuts``; the batch and the rows of it that were said to be needed."""
    decoding = decoder.begin()
    needed: set[int] = set()
    for first, last in zip([0, *cuts], [*cuts, len(values)], strict=True):
        asked = decoding.take(values[first:last], times[first:last], newest_ms=newest_ms)
        needed |= {min(first, len(values)) + place for place in asked}
    if kept is None:
        return decoding.finish(), needed
    batch = decoding.finish(np.array(kept, np.bool_))
    row = np.cumsum(kept) - 1
    return batch, {int(row[place]) for place in needed if kept[place]}


@pytest.mark.parametrize("decoder", [*DECODERS, PRIVATE])
@given(values=BATCHES, cuts=CUTS, skipped=st.none() | SKIPPED, newest_ms=st.sampled_from([0, TS, TS + 3]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_portions_give_what_one_call_gives(
    decoder: Decoder,
    values: list[bytes | None],
    cuts: list[int],
    skipped: list[int] | None,
    newest_ms: int,
) -> None:
    times = [TS + row if row % 3 else -1 for row in range(len(values))]
    kept = None if skipped is None else [row not in skipped for row in range(len(values))]
    here = [row for row in range(len(values)) if kept is None or kept[row]]
    batch, needed = decoded(decoder, values, times, cuts, kept, newest_ms)
    same_batch(batch, decoder.decode([values[row] for row in here], [times[row] for row in here]))
    assert needed >= {bad.row for bad in batch.rejected}
    assert needed >= set(np.flatnonzero(batch.ts_ms > newest_ms).tolist())


@pytest.mark.skipif("native" not in ENGINES, reason="the compiled package is not installed")
def test_what_was_read_may_be_let_go_of() -> None:
    """Of 100 good records none is needed again; of others, those that are refused or late."""
    decoder = JsonInferenceDecoder(REFERENCES, LIMITS, DECLARED, engine="native")
    events = [VALID, VALID | {"ts": None}, VALID | {"model": "new"}, VALID | {"ts": TS + 1}]
    good, timeless, unknown, later = (json.dumps(event).encode() for event in events)
    decoding = decoder.begin()
    assert not decoding.take([good] * 98 + [timeless, unknown], [TS] * 100, newest_ms=TS)
    assert sorted(decoding.take([good, b"{", later], [TS] * 3, newest_ms=TS)) == [1, 2]
    assert sorted(decoding.take([timeless, timeless, None], [TS + 1, -1, TS], newest_ms=TS)) == [0, 1, 2]
    batch = decoding.finish()
    assert [(bad.row, bad.reason) for bad in batch.rejected] == [
        (101, "not_json"),
        (104, "bad_timestamp"),
        (105, "empty"),
    ]


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_record_has_a_time(decoder: Decoder) -> None:
    decoding = decoder.begin()
    with pytest.raises(ValueError, match="2 values and 1 record times"):
        decoding.take([None, None], [TS], newest_ms=TS)
    decoding.take([None], [TS], newest_ms=TS)
    assert len(decoding.finish().ts_ms) == 1
