"""The compiled decoder and the one in Python give the same batches, whatever the records hold."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.reference import Reference
from stream.codec import Decoder, JsonInferenceDecoder, JsonLabelDecoder, Limits
from stream.codec.engine import chosen
from stream.codec.portions import ScannedDecoding
from tests.stream.decoders import same_batch
from tests.stream.fuzz_decoder import fuzz
from tests.stream.test_codec_fuzz import BATCHES, CONFLICTING, DECLARED, LIMITS, REFERENCES, TS, VALID

if os.environ.get("REQUIRE_SERVICES") == "1":
    import driftstream_native
else:
    driftstream_native = pytest.importorskip(
        "driftstream_native", reason="service not here: compiled decoder"
    )

SEED = int(os.environ.get("TEST_SEED", "0")) or random.randrange(1, 2**31)
ROWS = 200
STARS = Reference.build(
    {
        "age": [float(row % 90) for row in range(ROWS)],
        "stars": ["1", "2", "3.5", "true"] * 50,
        "member": ["true", "false"] * 100,
        "a name of more than sixteen bytes": [1.5, 2.5] * 100,
        "größe": ["klein", "groß"] * 100,
        "score": [0.1, 0.9] * 100,
        "prediction": ["a", "b"] * 100,
    },
    window_rows=50,
    prediction="prediction",
)
WIDE = {("loan", "v1"): STARS, ("loan", "v2"): REFERENCES["loan", "v2"], ("risk", "1"): STARS}


def pair(kind: type[Any], *arguments: Any) -> tuple[Decoder, Decoder]:
    return kind(*arguments, engine="python"), kind(*arguments, engine="native")


PAIRS = [
    pair(kind, references, limits, DECLARED)
    for kind in (JsonInferenceDecoder, JsonLabelDecoder)
    for references, limits in ((REFERENCES, LIMITS), (CONFLICTING, Limits()), (WIDE, Limits(string_bytes=12)))
]


def same(values: list[bytes | None]) -> None:
    record_ms = [TS + row if row % 3 else -1 for row in range(len(values))]
    for python, native in PAIRS:
        same_batch(python.decode(values, record_ms), native.decode(values, record_ms))


@given(BATCHES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_batches_are_the_same(values: list[bytes | None]) -> None:
    same(values)


ODD_VALUES = [
    "0", "-0", "-0.0", "1", "12", "12.0", "1.2e1", "3.5", "3.50", "1e999", "-1e999", "1e-400",
    "9007199254740993", "18446744073709551616", "1" * 25, "0." + "0" * 30 + "1", "0.1234567890123456789",
    "123456789012345678.5", "true", "false", "null", '""', '"RENT"', '"12"', '"true"', '"gro\\u00df"',
    '"groß"', '"\\ud83d\\ude00"', '"\\ud83d"', '"a\\"b"', '"\\/"', '"live"', '"error"', '"ok"', '"v1"',
    '"v2"', '"loan"', '"risk"', '"nobody"', "[]", "{}", "[1]", '{"a":0.2,"b":0.7}', '{"a":null,"b":true}',
    '{"a":1,"a":2}', '{"a":"x"}', "01", "1.", "+1", "NaN", "tru", "1760000000000",
    '"2025-10-09T08:53:20.5+05:30"', '"2025-10-09T08:53:20.9999999Z"', '"2025-10-09T08:53:20.1239999Z"',
    '"2025-10-09"', " 1 ", "\t\n\r1", '"\x01"', "1760000000000.9", "[[[[[]]]]]", '"' + "x" * 50 + '"',
    '"' + "é" * 7 + '"',
]  # fmt: skip
FIELDS = [
    *VALID,
    "variant",
    "status",
    "weight",
    "value",
    "feedback",
    "supersedes",
    "error_code",
    "extra",
    "\\u0061",
]
NESTED = [
    "age",
    "home",
    "member",
    "stars",
    "größe",
    "a name of more than sixteen bytes",
    "channel",
    "latency_ms",
]


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_of_a_field_mean_the_same(field: str) -> None:
    base = {name: json.dumps(value) for name, value in VALID.items()}
    values = [base | {field: odd} for odd in ODD_VALUES]
    same(
        [
            ("{" + ",".join(f'"{name}":{value}' for name, value in each.items()) + "}").encode()
            for each in values
        ]
    )


WHOLE = VALID | {
    "features": {"age": -1.5e3, "home": "größe", "member": True, "x": [1, {"y": [], "z": {}}], "n": None},
    "extra": [[], 0, "a\\b", "\U0001f600"],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_records_that_are_cut_off_mean_the_same(*, ascii_only: bool, indent: int | None) -> None:
    orders = (sorted(WHOLE), sorted(WHOLE, reverse=True))
    texts = [
        json.dumps({key: WHOLE[key] for key in order}, ensure_ascii=ascii_only, indent=indent)
        for order in orders
    ]
    texts += [text.replace("loan", "nobody").replace(str(VALID["ts"]), '"soon"') for text in texts]
    same([text.encode()[:end] for text in texts for end in range(len(text.encode()) + 1)])


def test_what_follows_a_record_that_is_cut_off_means_the_same() -> None:
    record = json.dumps(WHOLE).encode()
    cuts = [record[:end] for end in range(1, len(record), 7)]
    ends = [
        b"}",
        b",",
        b":",
        b"]",
        b'"',
        b"\\",
        b" ",
        b"\x00",
        b"\x1f",
        b"\xff",
        b"-",
        b"1",
        b"tru",
        b"\xc3",
        b"[" * 40,
    ]
    same([cut + end for cut in cuts for end in ends])


def test_beginnings_that_are_no_json_mean_the_same() -> None:
    record = json.dumps(VALID).encode()
    beginnings = [bytes([byte]) for byte in range(256)] + [b"\xef\xbb\xbf", b"[" * 40, b"\xff" + b"[" * 40]
    ends = (b"", b"\xff", record, record + b"\xc3", b"\xff" + b"a" * 2_000, b"\xe2\x82" * 30)
    same([beginning + end for beginning in beginnings for end in ends])


@pytest.mark.parametrize("name", NESTED)
def test_odd_values_in_an_object_mean_the_same(name: str) -> None:
    objects = ("features", "segments", "measures", "score")
    base = {key: json.dumps(value) for key, value in VALID.items() if key not in objects}
    values = [base | {where: f'{{"{name}":{odd}}}'} for where in objects for odd in ODD_VALUES]
    same(
        [
            ("{" + ",".join(f'"{key}":{value}' for key, value in each.items()) + "}").encode()
            for each in values
        ]
    )


def test_the_order_of_fields_makes_no_difference() -> None:
    order = random.Random(SEED)
    print(f"TEST_SEED={SEED}")
    values: list[bytes | None] = []
    for number in range(400):
        features = {
            "age": number,
            "home": "OWN",
            "member": number % 2 == 0,
            "stars": 3.5,
            "größe": "groß",
            "x": [1],
        }
        event = VALID | {
            "prediction_id": f"p-{number}é"[: 4 + number % 9],
            "model": order.choice(["loan", "risk", "new"]),
            "version": order.choice(["v1", "v2", "1", "", None]),
            "features": dict(order.sample(sorted(features.items(), key=str), order.randrange(6))),
        }
        fields = order.sample(sorted(event), len(event) - number % 2)
        values.append(
            json.dumps({name: event[name] for name in fields}, ensure_ascii=number % 2 == 0).encode()
        )
    same(values)


@given(st.integers(0, 3), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_nesting_is_bounded_the_same(kind: int, depth: int) -> None:
    open_, close = [("[", "]"), ('{"a":', "}"), ("[{", "}]"), ('[[],{"a":', "}]")][kind]
    inside = "1" if kind != 2 else '"a":1'
    text = open_ * depth + inside + close * depth
    same([json.dumps(VALID)[:-1].encode() + f',"extra":{text}}}'.encode()])


def test_what_both_take_is_not_left_to_python() -> None:
    """Otherwise the tests above would compare Python with itself."""
    _, native = pair(JsonInferenceDecoder, {("loan", "v1"): REFERENCES["loan", "v1"], ("risk", "1"): STARS})
    scanner = native._decoder._scanner  # type: ignore[attr-defined]
    odd = {"age": "text", "home": 12, "größe": "groß\n", "x": {"y": [1, "é"]}}
    events = [
        VALID,
        VALID | {"features": odd},
        VALID | {"version": "v1", "ts": None, "variant": "shadow", "status": "error", "weight": 2},
        VALID | {"score": {"a": 0.5, "b": None}, "measures": None, "features": None},
        VALID | {"model": "risk", "version": None, "ts": "2025-10-09T08:53:20Z"},
        VALID | {"model": "new"},
        VALID | {"version": "v9"},
    ]
    values = [json.dumps(event).encode() for event in events]
    reading = scanner.begin()
    assert reading.read(values, [TS] * len(values), TS) == []
    odd_ones = [None, b"[]", values[0], values[0][:-1], b"\x00\xc3"]
    assert reading.read(odd_ones, [TS] * 5, TS) == [0, 1, 3, 4]
    read, size = reading.finish(), len(values)
    assert (read.left, read.refused) == ([size, size + 1], [(size + 3, None), (size + 4, 1)])


def test_mutated_records_mean_the_same() -> None:
    """As ``make fuzz``, which takes millions of them."""
    print(f"TEST_SEED={SEED}")
    assert fuzz(PAIRS, records=24_000, seed=SEED) == 2_000


def test_keys_do_not_depend_on_the_decoder() -> None:
    ids = ["p", "é" * 64, "x" * 128, 'a"\\\n', "0" * 127]
    values = [json.dumps(VALID | {"prediction_id": each}).encode() for each in ids]
    python, native = (decoder.decode(values, [TS] * 5).blocks[0].ids for decoder in PAIRS[2])
    for secret in (b"", b"s", b"k" * 64):
        assert python.keys("loan", secret).tolist() == native.keys("loan", secret).tolist()
    with pytest.raises(ValueError, match="65 bytes"):
        native.keys("loan", b"k" * 65)


def test_times_of_records_are_asked_for_where_an_event_has_none() -> None:
    values = [json.dumps(VALID | {"ts": None, "model": model}).encode() for model in ("loan", "new", "loan")]
    for python, native in PAIRS:
        for times in ([TS, TS + 1, -1], [-1, -1, -1], [0, TS, 10**30]):
            same_batch(python.decode(values, times), native.decode(values, times))


class Breaking:
    """Reads every second portion, and fails at the others."""

    def __init__(self, reading: Any) -> None:
        self._reading = reading
        self._portions = 0

    def read(self, values: Any, record_ms: Any, newest_ms: int) -> Any:
        self._portions += 1
        if self._portions % 2:
            raise RuntimeError("the compiled decoder has panicked")
        return self._reading.read(values, record_ms, newest_ms)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reading, name)


def test_a_fault_of_the_extension_costs_no_record() -> None:
    python, native = pair(JsonInferenceDecoder, REFERENCES)
    inside = native._decoder  # type: ignore[attr-defined]
    values = [json.dumps(VALID | {"prediction_id": f"p{row}"}).encode() for row in range(6)]
    for size in (6, 2, 1):
        decoding = ScannedDecoding(Breaking(inside._scanner.begin()), inside._batch)  # type: ignore[arg-type]
        for first in range(0, 6, size):
            decoding.take(values[first : first + size], [TS] * size, newest_ms=TS)
        found = decoding.finish()
        same_batch(found, python.decode(values, [TS] * 6))
        assert found.fault == "the compiled decoder has panicked"


def test_what_cannot_be_read_is_not_in_the_batch() -> None:
    _, native = pair(JsonInferenceDecoder, REFERENCES)
    reading = native._decoder._scanner.begin()  # type: ignore[attr-defined]
    good, timeless = (json.dumps(VALID | {"ts": ts}).encode() for ts in (TS, None))
    reading.read([good, timeless], [TS, TS], TS)
    with pytest.raises(IndexError):
        reading.read([good, None, timeless], [TS], TS)
    reading.read([timeless, None], [TS, TS], TS)
    with pytest.raises(ValueError, match="3 of 4 records"):
        reading.finish(b"\1\1\1")
    found = reading.finish(b"\0\1\1\1")
    assert (found.left, found.fallbacks, len(found.rows)) == ([2], 2, 2 * 8)
    for late in (lambda: reading.read([good], [TS], TS), lambda: reading.leave(1), reading.finish):
        with pytest.raises(ValueError, match="is finished"):
            late()


def test_plans_that_do_not_fit_are_refused() -> None:
    limits = (1 << 20, 2_000, 1_024, 32, 128, 0, 1 << 60)
    model = ("m", [("v", 0)], 0, [], [], ([], 0, 0))
    version = (0, [(-1, "a", 0, None, [], False, None)], 0, 1, 0)
    driftstream_native.Scanner(False, limits, [model], [version])
    for models, versions in (
        ([model], []),
        ([("m", [("v", 1)], 0, [], [], ([], 0, 0))], [version]),
        ([model], [(1, [], 0, 0, 0)]),
        ([model], [(0, [(-1, "a", 1, None, [], False, None)], 0, 1, 0)]),
        ([("m", [], 0, [], ["a", "b"], ([], 0, 0))], [version]),
    ):
        with pytest.raises(ValueError, match="does not fit together"):
            driftstream_native.Scanner(False, limits, models, versions)


def test_the_decoder_can_be_chosen() -> None:
    assert (chosen("auto"), chosen("native"), chosen("python")) == ("native", "native", "python")


def test_memory_is_given_back() -> None:
    """Buffers stay as large as the largest batch, not as all of them."""
    import tracemalloc

    _, native = PAIRS[0]
    values = [json.dumps(VALID).encode()] * 1_000
    native.decode(values, [TS] * 1_000)
    tracemalloc.start()
    for _ in range(20):
        native.decode(values, [TS] * 1_000)
    held, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
