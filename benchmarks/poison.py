"""Records that are no events: half of them cut short, the others whole and wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from benchmarks.workload import Workload

_SEED = 20_251_010

WRONG: tuple[Callable[[bytes, Generator], bytes], ...] = (
    lambda value, _: value.replace(b'"ts":', b'"ts":"soon","t":', 1),
    lambda value, _: value.replace(b'"features":', b'"features":[],"f":', 1),
    lambda value, _: b"[" + value + b"]",
    lambda value, random: random.bytes(len(value)),
)


def poisoned(load: Workload, share: float) -> Workload:
    """Return the workload with ``share`` of its records spoilt, spread evenly at random."""
    random = np.random.default_rng(_SEED)
    events = len(load.values)
    rows = np.sort(random.choice(events, round(events * share), replace=False))
    values, dead = list(load.values), np.zeros(events, np.bool_)
    for turn, row in enumerate(rows.tolist()):
        values[row] = _spoilt(values[row], turn, random)
        dead[row] = True
    return replace(load, values=values, dead=dead)


def _spoilt(value: bytes, turn: int, random: Generator) -> bytes:
    if turn % 2:
        return value[: int(random.integers(1, len(value) - 1))]
    return WRONG[turn // 2 % len(WRONG)](value, random)
