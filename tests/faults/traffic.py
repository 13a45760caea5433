"""Seeded events of several models over several partitions, and the ledger of what was sent.

The stream is made in slices of event time, each from its own seed: any slice can be made again, and a long
stream is never held whole.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from detectors import Reference
from tests.integration.pipeline import synthetic_reference

FUTURE_MS = 4_070_908_800_000  # 2099
POISON: tuple[bytes | None, ...] = (
    b"{not json",
    b"\xff\xfe\x00",
    b"[]",
    None,
    b'{"prediction_id":"p","model":"m0","ts":%d,"features":{"x":0.1,"c":"a"}}' % FUTURE_MS,
    b'{"prediction_id":"p","model":"m0","features":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
)


class Sent(NamedTuple):
    """One record: the role of its topic, its partition, its value."""

    role: str
    partition: int
    value: bytes | None


@dataclass(frozen=True, kw_only=True)
class TrafficSpec:
    """What the stream is like.

    Parameters
    ----------
    late, poison, twice, strangers, hot
        Shares: events that come after their window closed, records that are none, events sent twice,
        events of 10,000 models that nobody configured, events of the first model over its part.
    drift
        Whether the later models drift in the middle of the stream, so that alerts fire and resolve.
    """

    seed: int
    slices: int = 24
    per_slice: int = 1_000
    models: int = 3
    partitions: int = 4
    slice_ms: int = 5_000
    window_ms: int = 10_000
    disorder_ms: int = 800
    late: float = 0.0
    poison: float = 0.0
    twice: float = 0.0
    strangers: float = 0.0
    hot: float = 0.0
    drift: bool = True


@dataclass
class Traffic:
    """The stream, and the ledger of the slices made so far.

    ``windows`` counts events by (model, start of the window), ``poison`` records that are no events.
    """

    spec: TrafficSpec
    windows: Counter[tuple[str, int]] = field(default_factory=Counter)
    poison: int = 0
    strangers: int = 0
    events: int = 0
    start_ms: int = 0

    def __post_init__(self) -> None:
        spec = self.spec
        now_ms = time.time_ns() // 1_000_000
        span_ms = (spec.slices + 4) * spec.slice_ms + 4 * spec.window_ms
        self.start_ms = self.start_ms or (now_ms - span_ms) // spec.window_ms * spec.window_ms

    def references(self) -> dict[str, list[Reference]]:
        """A reference of each model."""
        return {model: [synthetic_reference(model)] for model in self.models}

    @property
    def models(self) -> list[str]:
        return [f"m{k}" for k in range(self.spec.models)]

    def slice(self, number: int) -> list[Sent]:
        """Records of one slice, in the order to be sent; entered in the ledger."""
        spec, n = self.spec, self.spec.per_slice
        rng = np.random.default_rng([spec.seed, number])
        begin = self.start_ms + number * spec.slice_ms
        ts = begin + spec.disorder_ms + np.sort(rng.integers(0, spec.slice_ms, n))
        ts -= rng.integers(0, spec.disorder_ms + 1, n)
        if number * spec.slice_ms > 4 * spec.window_ms:
            ts -= np.where(rng.random(n) < spec.late, rng.integers(2, 4, n) * spec.window_ms, 0)
        model = np.where(rng.random(n) < spec.hot, 0, rng.integers(0, spec.models, n))
        x, c = self._columns(number, model, rng)
        partition = rng.integers(0, spec.partitions, n)
        again = rng.random(n) < spec.twice
        bad = rng.random(n) < spec.poison
        stranger = np.where(rng.random(n) < spec.strangers, rng.integers(0, 10_000, n), -1)
        sent: list[Sent] = []
        for i in range(n):
            if bad[i]:
                sent.append(Sent("inference", int(partition[i]), POISON[i % len(POISON)]))
                self.poison += 1
                continue
            if stranger[i] >= 0:
                name, of = f"{number}-{i}", f"stranger{stranger[i]}"
                sent.append(Sent("inference", int(partition[i]), _event(name, of, int(ts[i]), x=0.0, c="a")))
                self.strangers += 1
                continue
            value = _event(f"{number}-{i}", f"m{model[i]}", int(ts[i]), x=x[i], c=c[i])
            times = 2 if again[i] else 1
            sent += [Sent("inference", int(partition[i]), value)] * times
            self.windows[f"m{model[i]}", int(ts[i]) // spec.window_ms * spec.window_ms] += times
        self.events += len(sent)
        return sent

    def _columns(
        self, number: int, model: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[float], list[str]]:
        n, share = len(model), number / self.spec.slices
        moved = self.spec.drift and 0.4 <= share < 0.65
        x = rng.normal(size=n) + np.where((model == 1) & moved, 0.8, 0.0)
        flipped = self.spec.drift and 0.55 <= share < 0.75
        is_a = rng.random(n) < np.where((model == 2) & flipped, 0.35, 0.7)
        return np.round(x, 3).tolist(), np.where(is_a, "a", "b").tolist()

    def closers(self) -> list[Sent]:
        """One event a partition that closes every window of the stream; its own windows stay open."""
        spec = self.spec
        end_ms = self.start_ms + spec.slices * spec.slice_ms + 3 * spec.window_ms + 5_000
        value = _event("closer", "m0", end_ms, x=0.0, c="a")
        self.events += spec.partitions
        return [Sent("inference", partition, value) for partition in range(spec.partitions)]


def _event(name: str, model: str, ts_ms: int, *, x: float, c: str) -> bytes:
    return (
        f'{{"prediction_id":"{name}","model":"{model}","ts":{ts_ms},"features":{{"x":{x},"c":"{c}"}}}}'
    ).encode()
