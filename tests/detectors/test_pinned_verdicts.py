"""Verdicts and states of fixed streams stay what they are: making the evaluation faster changes no number.

Floats are compared to four digits, because the logarithm of two processors may differ in the last bit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from benchmarks.quality_world import HOUR_MS, SCENARIOS, Columns, World, count, daily
from detectors import Counts, Monitor, Reference, Verdict
from detectors.framing import unframe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEED = 20261121
WINDOWS = 72


@dataclass(frozen=True)
class Stream:
    """A world, how its windows come, and how the monitor is set."""

    rows: int
    seasonal: bool = False
    pairs: bool = True
    moments: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def reference(self, rng: np.random.Generator) -> Reference:
        world = World()
        if not self.seasonal:
            return world.reference(world.draw(rng, 10_000), self.rows, pairs=self.pairs)
        days = 4 * 24
        parts = [world.draw(rng, self.rows, offsets) for offsets in daily(world, days)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        times = np.repeat(np.arange(days) * HOUR_MS, self.rows)
        return world.reference(columns, self.rows, timestamps_ms=times, pairs=self.pairs)

    def windows(self, rng: np.random.Generator) -> Iterator[Columns]:
        """Quiet windows, then a drift of every kind for four, with three quiet ones after it."""
        offsets = daily(World(), WINDOWS) if self.seasonal else [None] * WINDOWS
        drifts = list(SCENARIOS.values())
        for t in range(WINDOWS):
            columns = World().draw(rng, self.rows if t % 9 else self.rows // 3, offsets[t])
            since = (t - 8) % 7
            if t >= 8 and since < 4:
                drifts[(t - 8) // 7 % len(drifts)].apply(columns, rng, since + 6)
            if t == WINDOWS - 2:
                columns["x1"] = np.full_like(columns["x1"], np.inf)
            yield columns


# Per stream: windows that drifted, windows with changed pairs, and the digest of all of them.
STREAMS = {
    "defaults": (Stream(500), "25/4/2fefe02830f94173"),
    "sensitive": (Stream(500, options={"min_effect": 0.0, "arl": 50}), "43/5/fe8b8c29a1f21998"),
    "few rows": (Stream(60, options={"min_samples": 50}), "9/3/9b90a2a81f83e115"),
    "season": (Stream(300, seasonal=True), "26/3/639a29b177a8d54e"),
    "long window": (
        Stream(500, pairs=False, options={"min_effect": 0.02, "window_slices": 20}),
        "27/0/0efca3571456371f",
    ),
    "without moments": (Stream(500, moments=False), "24/3/98e4a83e8eb17573"),
}


def rounded(value: Any) -> Any:
    """The same with floats of four digits; packed arrays of floats are unpacked."""
    if isinstance(value, bytes):
        return rounded(np.frombuffer(value, dtype="<f8").tolist())
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) > 1e-9 else 0.0
    if isinstance(value, dict):
        return {str(key): rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def told(verdict: Verdict) -> Any:
    """Every field of a verdict, but not which of the components is told where none stands out."""
    plain = msgspec.to_builtins(verdict)
    for feature in plain["features"]:
        if (feature["p_value"] or 0.0) > 0.9999:
            feature.update(dict.fromkeys(("effect", "threshold", "component", "lookback")))
    return rounded(plain)


def kept(monitor: Monitor) -> Any:
    """Every field of a state, the fingerprint apart."""
    state = msgspec.msgpack.decode(unframe(b"DSMN", 1, monitor.to_bytes()))
    counts = Counts.from_bytes(state.pop("pending"))
    del state["fingerprint"]
    moments = None if counts.moments is None else counts.moments.tolist()
    return [rounded(state), counts.cells.tolist(), moments]


@pytest.mark.parametrize("name", STREAMS)
def test_verdicts_and_states_are_as_pinned(name: str) -> None:
    stream, pinned = STREAMS[name]
    rng = np.random.default_rng(SEED)
    reference = stream.reference(rng)
    monitor = Monitor(reference, **stream.options)
    digest, drifted, paired = hashlib.sha256(), 0, 0
    for t, columns in enumerate(stream.windows(rng)):
        counts = count(reference, columns)
        if not stream.moments and t % 5 == 0:
            counts = Counts(counts.cells)
        verdict = monitor.update_counts(counts, timestamp_ms=t * HOUR_MS)
        digest.update(json.dumps([told(verdict), kept(monitor)]).encode())
        drifted, paired = drifted + verdict.drifted, paired + bool(verdict.pairs)
        if t == WINDOWS // 2:
            monitor = Monitor.from_bytes(monitor.to_bytes(), reference, **stream.options)
    assert f"{drifted}/{paired}/{digest.hexdigest()[:16]}" == pinned
