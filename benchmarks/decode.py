"""What decoding costs: the compiled decoder beside the one in Python, CPU time of one thread in one run.

``python -m benchmarks.decode``: workload W as it is, with its keys in random order, with 1,000 models taking
turns, with 1 % of poison, and events of 100 features. Decoding, keys of ids and answers, as the ingest of a
model with labels needs them. The least of several rounds counts: what else the machine does only adds.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.workload import CHANNELS, MODEL, VERSION, reference, workload
from detectors import Reference
from stream.codec import Declared, Engine, JsonInferenceDecoder
from stream.outcomes.join import DEFAULT_SECRET

EVENTS, MODELS, FEATURES, ROUNDS = 10_000, 1_000, 100, 9
ENGINES: tuple[Engine, ...] = ("python", "native")
DECLARED = Declared(segments={"channel": CHANNELS}, measures=("latency_ms",), answers=True)


class Case(NamedTuple):
    """Records, and what decodes them."""

    name: str
    values: Sequence[bytes]
    references: Mapping[tuple[str, str], Reference]


def cases() -> Iterator[Case]:
    """Workload W and what can be done to it."""
    order = random.Random(1)
    values, one = workload(EVENTS).values, reference()
    yield Case("W", values, {(MODEL, VERSION): one})
    yield Case("keys in random order", [_shuffled(value, order) for value in values], {(MODEL, VERSION): one})
    named = [value.replace(MODEL.encode(), b"m%d" % (row % MODELS)) for row, value in enumerate(values)]
    yield Case(f"{MODELS:,} models", named, {(f"m{number}", VERSION): one for number in range(MODELS)})
    poison = [value[:-9] if row % 100 == 0 else value for row, value in enumerate(values)]
    yield Case("1 % cut off", poison, {(MODEL, VERSION): one})
    yield wide(values)


def wide(values: Sequence[bytes]) -> Case:
    """Events of many numeric features."""
    drawn = np.random.default_rng(0).normal(50, 10, (FEATURES, 2_000)).round(3)
    columns = {f"feature_{number}": column.tolist() for number, column in enumerate(drawn)}
    built = Reference.build(columns, window_rows=500, model=MODEL, version=VERSION)
    events = []
    for row, value in enumerate(values):
        features = {name: column[row % 2_000] for name, column in columns.items()}
        events.append(_dumped(json.loads(value) | {"features": features}))
    return Case(f"{FEATURES} features", events, {(MODEL, VERSION): built})


def cost(case: Case, engine: Engine) -> Callable[[], float]:
    """Return what measures one round: ns of CPU time an event."""
    declared = dict.fromkeys({model for model, _ in case.references}, DECLARED)
    decoder = JsonInferenceDecoder(case.references, declared=declared, engine=engine)
    times = [-1] * len(case.values)

    def once() -> float:
        start = time.thread_time_ns()
        for block in decoder.decode(case.values, times).blocks:
            block.ids.keys(block.model, DEFAULT_SECRET)
            _ = block.answers.codes
        return (time.thread_time_ns() - start) / len(case.values)

    return once


def _shuffled(value: bytes, order: random.Random) -> bytes:
    event = json.loads(value)
    features = list(event["features"].items())
    order.shuffle(features)
    fields = list((event | {"features": dict(features)}).items())
    order.shuffle(fields)
    return _dumped(dict(fields))


def _dumped(event: object) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def main() -> None:
    print(f"| ns of CPU time an event | {' | '.join(ENGINES)} | |")
    print("|---|--:|--:|--:|")
    for case in cases():
        measured = [cost(case, engine) for engine in ENGINES]
        rounds = [[once() for once in measured] for _ in range(ROUNDS)]
        python, native = (min(spent) for spent in zip(*rounds, strict=True))
        print(f"| {case.name} | {python:,.0f} | {native:,.0f} | {python / native:.1f} |", flush=True)


if __name__ == "__main__":
    main()
