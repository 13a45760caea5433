"""Seeded events for a pipeline under test, and the ledger of what was sent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Ledger:
    """Seeded events in event-time order, a little shuffled, and how many of them fall into each window."""

    events: int
    seed: int = 1
    partitions: int = 8
    window_ms: int = 10_000
    step_ms: float = 1.0
    disorder_ms: int = 800
    windows: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        span_ms = int(self.events * self.step_ms) + self.window_ms
        now_ms = time.time_ns() // 1_000_000
        self.start_ms = (now_ms - span_ms) // self.window_ms * self.window_ms

    def stream(self) -> Iterator[tuple[int, bytes]]:
        """(partition, value) of every event, entered in the ledger as it leaves."""
        rng = np.random.default_rng(self.seed)
        ts = self.start_ms + self.disorder_ms + (np.arange(self.events) * self.step_ms).astype(np.int64)
        ts -= rng.integers(0, self.disorder_ms + 1, self.events)
        self.windows.update((ts // self.window_ms * self.window_ms).tolist())
        partition = rng.integers(0, self.partitions, self.events).tolist()
        x = np.round(rng.normal(size=self.events), 3).tolist()
        c = rng.choice(["a", "b"], self.events, p=[0.7, 0.3]).tolist()
        for i, at_ms in enumerate(ts.tolist()):
            yield partition[i], event(i, at_ms, x=x[i], c=c[i])


def event(i: int, ts_ms: int, *, model: str = "m", x: float = 0.0, c: str = "a") -> bytes:
    """An inference event of the synthetic model."""
    return (
        f'{{"prediction_id":"{i}","model":"{model}","ts":{ts_ms},"features":{{"x":{x},"c":"{c}"}}}}'.encode()
    )
