"""Records that reach new lines of the decoder in Python, and what both decoders say: ``make fuzz-guided``.

An input is a byte, which chooses two decoders of a kind, and records with an empty line between them. Atheris
changes inputs and keeps those that take a way through :mod:`stream.codec` that none took before. Every record
must be accounted for once, the extension must not fault, no input may take seconds, and both decoders must
give the same. An input that breaks this is written to ``build/fuzz``; ``--input FILE`` tries it again. What
was kept is in ``build/fuzz/inputs``, where the next run goes on.

It needs atheris, of the dependency group ``fuzz``; without coverage, ``make fuzz`` tries many more records.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.codec import Decoder

KEPT = Path(__file__).parents[2] / "build/fuzz"
BETWEEN = b"\n\n"
RECORDS = 12
LONGEST = 4_096
HANGS_S = 10
WORDS = [
    "prediction_id", "model", "version", "ts", "features", "prediction", "score", "label", "segments",
    "measures", "variant", "status", "error_code", "weight", "trace_id", "value", "feedback", "supersedes",
    "age", "home", "member", "channel", "latency_ms", "stars", "loan", "risk", "v1", "v2", "live", "shadow",
    "error", "web", "thumbs_up", "OWN",
]  # fmt: skip
TOKENS = [
    "null", "true", "false", "1e999", "-0.0", "9007199254740993", "1760000000000", "2025-10-09T08:53:20.123Z",
    "+05:30", "\\ud83d\\ude00", "\\u00df", "\ud83d", "[[[[[[", "\x00", "é",
]  # fmt: skip


def trial(pairs: Sequence[tuple[Decoder, Decoder]]) -> Callable[[bytes], None]:
    """Return what tries one input."""
    from tests.stream.decoders import same_batch
    from tests.stream.test_codec_fuzz import TS, check

    def attempt(data: bytes) -> None:
        if not data:
            return
        python, native = pairs[data[0] % len(pairs)]
        values: list[bytes | None] = [*data[1:].split(BETWEEN)[:RECORDS]]
        record_ms = [TS + row if row % 3 else -1 for row in range(len(values))]
        found = native.decode(values, record_ms)
        assert not found.fault, found.fault
        check(found, len(values))
        same_batch(python.decode(values, record_ms), found)

    return attempt


def seeds(pairs: int) -> Iterator[bytes]:
    """Inputs to begin with: for every pair each record alone, all in a row, and what is no record."""
    from tests.stream.fuzz_decoder import bases

    texts = bases()
    broken = [b"", b"{", b"[1]", b"\xff{}", texts[0][:-1], b"[" * 60, texts[0] + b"x"]
    for pair in range(pairs):
        for given in (*([text] for text in texts), texts[:RECORDS], broken):
            yield bytes([pair]) + BETWEEN.join(given)


def dictionary() -> Iterator[str]:
    """Lines of a libFuzzer dictionary."""
    for text in (*(json.dumps(word) for word in WORDS), *TOKENS):
        yield '"' + "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogatepass")) + '"'


def fuzz(*, seconds: int, seed: int) -> None:
    """Fuzz for some seconds; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["stream.codec"]):
        from tests.stream.test_compiled_decoder import PAIRS

    kept, begun, words = KEPT / "inputs", KEPT / "seeds", KEPT / "words"
    for each in (kept, begun):
        each.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(len(PAIRS))):
        (begun / f"{number:03}").write_bytes(data)
    words.write_text("\n".join(dictionary()) + "\n")
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={HANGS_S}", f"-max_len={LONGEST}"]
    options += [f"-dict={words}", f"-artifact_prefix={KEPT}/", "-print_final_stats=1"]
    options += ["-rss_limit_mb=0"]  # atheris keeps some KB of every input; without it memory does not grow
    atheris.Setup([sys.argv[0], str(kept), str(begun), *options], trial(PAIRS))
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("--input", type=Path, help="try this one input and stop")
    given = parser.parse_args()
    if given.input is None:
        print(f"seed {given.seed}", flush=True)
        fuzz(seconds=given.seconds, seed=given.seed)
    from tests.stream.test_compiled_decoder import PAIRS

    trial(PAIRS)(given.input.read_bytes())
    print(f"{given.input}: both decoders give the same")


if __name__ == "__main__":
    main()
