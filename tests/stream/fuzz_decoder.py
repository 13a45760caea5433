"""Mutated records through the compiled decoder: ``make fuzz``, or ``python -m tests.stream.fuzz_decoder``.

Every record goes through the extension, which must neither panic nor hang; every row must be in its answer
once. One batch in nineteen is also decoded in full, by both decoders, and both must give the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stream.codec import Decoder
from tests.stream.decoders import same_batch
from tests.stream.test_codec_fuzz import TS, VALID, check

BATCH = 1_000
COMPARED = 19  # shares no factor with the number of pairs: each of them comes to be compared
PIECES = [
    b"", b"", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e", b"9" * 19, b"1e308",
    b"null", b"true", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc3\xa9", b"\xed\xa0\x80",
    b"\xff", b'\\"', b"\\u00e9", b"\\ud83d\\ude00", b'"age":', b'"model":"risk",', b'"version":"v2",',
    b'"ts":null,', b"[[[[[[", b'{"a":', b"x" * 60, b'"score":{"a":0.5,"b":0.25},', b'"features":{},',
    b"1760000000000", b'"OWN"', b"\\/",
]  # fmt: skip


def bases() -> list[bytes]:
    """Records to begin with: in several spellings, of both topics."""
    changes = [
        {},
        {"features": {"home": "größe", "age": -1.5e-3, "new": [1, {"a": "é"}], "member": "true"}},
        {
            "model": "risk",
            "version": "1",
            "ts": "2025-10-09T08:53:20.123Z",
            "variant": "shadow",
            "status": "error",
        },
        {
            "score": {"a": 0.2, "b": 0.7},
            "weight": 2.5,
            "value": 10,
            "feedback": "thumbs_up",
            "supersedes": "l-1",
        },
        {"features": None, "measures": None, "segments": None, "prediction": "yes", "label": 1.5},
    ]
    texts = []
    for change in changes:
        event = VALID | change
        texts += [json.dumps(event), json.dumps(event, separators=(",", ":"), ensure_ascii=False)]
        texts.append(json.dumps(dict(reversed(event.items())), indent=1))
    return [text.encode() for text in texts]


def mutated(source: random.Random, texts: Sequence[bytes]) -> Iterator[bytes]:
    """Records without end, each a base with up to three places changed; one in ten ends too early."""
    uniform = source.random
    while True:
        text = texts[int(uniform() * len(texts))]
        for _ in range(int(uniform() * 4)):
            place = int(uniform() * (len(text) + 1))
            cut = int(uniform() * uniform() * 12)
            if uniform() < 0.15:  # a part of another one
                other = texts[int(uniform() * len(texts))]
                start = int(uniform() * len(other))
                piece = other[start : start + int(uniform() * 40)]
            else:
                piece = PIECES[int(uniform() * len(PIECES))]
            text = text[:place] + piece + text[place + cut :]
        yield text if uniform() < 0.9 else text[: int(uniform() * len(text))]


def fuzz(pairs: Sequence[tuple[Decoder, Decoder]], *, records: int, seed: int) -> int:
    """Decode ``records`` mutated records; return how many of them were compared with Python."""
    source = random.Random(seed)
    stream = mutated(source, bases())
    compared = 0
    for number in range(-(-records // BATCH)):
        values: list[bytes | None] = [next(stream) for _ in range(min(BATCH, records - number * BATCH))]
        python, native = pairs[number % len(pairs)]
        times = [TS if row % 5 else -1 for row in range(len(values))]
        reading = native._decoder._scanner.begin()  # type: ignore[attr-defined]
        reading.read(values, times, TS)
        _sound(reading.finish(), len(values))
        if number % COMPARED == 0:
            found = native.decode(values, times)
            check(found, len(values))
            same_batch(python.decode(values, times), found)
            compared += len(values)
        if number % 1_000 == 999 and sys.stderr.isatty():
            print(f"{(number + 1) * BATCH:,} records", file=sys.stderr)
    return compared


def _sound(scanned: Any, size: int) -> None:
    """Every row is in the answer once, and every part of it has the size that its rows have."""
    refused = [row for row, _ in scanned.refused]
    rows = [*scanned.left, *refused, *np.frombuffer(scanned.rows, np.int64).tolist()]
    for _, _, found in scanned.unknown:
        rows += np.frombuffer(found, np.int64).tolist()
    assert sorted(rows) == list(range(size))
    events = len(scanned.rows) // 8
    assert [len(scanned.choices), len(scanned.flags), len(scanned.amounts)] == [
        2 * events,
        events,
        8 * events,
    ]
    for _, first, last in scanned.blocks:
        assert (
            len(scanned.keys(first, last, "m", b"s"))
            == 8 * (last - first)
            == 8 * len(scanned.ids(first, last))
        )
        scanned.answers(first, last)


def main() -> None:
    from tests.stream.test_compiled_decoder import PAIRS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    start = time.monotonic()
    compared = fuzz(PAIRS, records=given.records, seed=given.seed)
    spent = time.monotonic() - start
    print(
        f"{given.records:,} records, {compared:,} of them also decoded in Python, in {spent:.0f} s: the same"
    )


if __name__ == "__main__":
    main()
