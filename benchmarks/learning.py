"""What learning a reference from the stream costs, and what a sample of the events costs the verdicts.

``python -m benchmarks.learning [SEED]``: one thread, no services. First the events a second that are sampled,
the time in which a sample becomes a reference, and the memory of both. Then a day of one-minute slices whose
mean wanders by itself (0.1 standard deviations, correlated 0.7 from slice to slice), learned from all of its
events and from fewer: false alarms in slices that wander on, and slices until a shift is found.
"""

from __future__ import annotations

import json
import resource
import secrets
import sys
import time
from itertools import count

import numpy as np
from numpy.typing import NDArray

from detectors import Monitor, Reference
from detectors.verdict import Verdict
from stream.codec import Limits
from stream.learning.building import LearnSpec, learn
from stream.learning.sample import EventSample, Harvest, Span, hash_of

MODEL = "benchmark"
SLIDE_MS = 60_000
START_MS = 1_700_000_000_000 // SLIDE_MS * SLIDE_MS
EVENTS = 400_000
BATCH = 500
SLICES, SLICE_ROWS = 1_440, 600
LIVE_SLICES, SHIFTED_SLICES = 1_000, 40
SAMPLES = (20_000, 100_000, SLICES * SLICE_ROWS)
SPEC = LearnSpec(model=MODEL, version="v1")
Floats = NDArray[np.float64]


def resident_mib() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def event_tails(rng: np.random.Generator) -> list[bytes]:
    """Return what follows the head of an event: 16 numbers, 4 categories, a prediction and a score."""
    categories = {f"category_{j}": "abc"[j % 3] for j in range(4)}
    tails = []
    for row in rng.normal(size=(1_000, 16)).round(4).tolist():
        features = {f"feature_{j}": x for j, x in enumerate(row)} | categories
        tails.append(json.dumps({"features": features, "prediction": 1, "score": 0.3}).encode()[1:])
    return tails


def costs(rng: np.random.Generator) -> None:
    """Print what sampling and building cost."""
    tails, before = event_tails(rng), resident_mib()
    spans: dict[str, dict[str | None, Span]] = {MODEL: {None: Span(0, 2**60)}}
    harvest = Harvest(spans, slides_ms={MODEL: SLIDE_MS}, rows={MODEL: 100_000}, limits=Limits())
    seconds, size = 0.0, 0
    for first in range(0, EVENTS, BATCH):
        batch: list[bytes | None] = []
        for i in range(first, first + BATCH):
            head = b'{"prediction_id":"p-%d","model":"%b",' % (i, MODEL.encode())
            batch.append(head + b'"version":"v1","ts":%d,' % (START_MS + i * 200) + tails[i % len(tails)])
        size += sum(map(len, filter(None, batch)))
        started = time.process_time()
        harvest.take(batch, [-1] * BATCH)
        seconds += time.process_time() - started
    started = time.process_time()
    reference = learn(harvest.samples[MODEL, "v1"], SPEC)
    built = time.process_time() - started
    print(f"sampled: {EVENTS / seconds:,.0f} events/s of CPU time, {size / EVENTS:.0f} bytes an event")
    print(
        f"learned: {reference.counts.n:,} rows, {len(reference.names)} columns in {built:.1f} s of CPU time"
    )
    print(f"memory: {resident_mib() - before:.0f} MiB\n")


def wandering(rng: np.random.Generator, slices: int) -> Floats:
    """Return the means of slices: normal, standard deviation 0.1, correlated 0.7 from one to the next."""
    means = np.zeros(slices)
    for i, step in zip(range(1, slices), rng.normal(0, 0.1 * np.sqrt(1 - 0.7**2), slices), strict=False):
        means[i] = 0.7 * means[i - 1] + step
    return means


def learned(rng: np.random.Generator) -> dict[int, Reference]:
    """Learn one day from samples of several sizes."""
    x = (wandering(rng, SLICES)[:, None] + rng.normal(size=(SLICES, SLICE_ROWS))).ravel()
    y = rng.normal(size=x.size)
    step_ms = SLIDE_MS // SLICE_ROWS
    ts_ms = START_MS + np.arange(x.size, dtype=np.int64) * step_ms
    values = [
        b'{"prediction_id":"%d","features":{"x":%.5f,"y":%.5f}}' % (i, x[i], y[i]) for i in range(x.size)
    ]
    hashes = np.array([hash_of(str(i)) for i in range(x.size)], np.uint64)
    references = {}
    for rows in SAMPLES:
        sample = EventSample(rows=rows, slide_ms=SLIDE_MS)
        for first in range(0, x.size, 5_000):
            part = slice(first, first + 5_000)
            sample.add(hashes[part], ts_ms[part], values[part])
        references[rows] = learn(sample, SPEC)
    return references


class Watch:
    """Monitors on the references of one day, given the same slices."""

    def __init__(self, references: dict[int, Reference], rng: np.random.Generator) -> None:
        self.references = references
        self.alarms = dict.fromkeys(references, 0)
        self.found: dict[int, dict[str, int]] = {rows: {} for rows in references}
        self._monitors = {rows: Monitor(reference) for rows, reference in references.items()}
        self._rng = rng
        self._ends_ms = count(START_MS + SLICES * SLIDE_MS, SLIDE_MS)

    def live(self, mean: float) -> None:
        """Judge a slice in which nothing but the mean of x wanders."""
        for rows, verdict in self._judged(mean, 0.0):
            self.alarms[rows] += verdict.new_episode

    def shifted(self, mean: float, number: int) -> None:
        """Judge the ``number``-th slice in which both columns have moved."""
        for rows, verdict in self._judged(mean + 0.5, 0.2):
            for name in verdict.drifted_names:
                self.found[rows].setdefault(name, number)

    def _judged(self, x: float, y: float) -> list[tuple[int, Verdict]]:
        noise, at_ms = self._rng.normal(size=(2, SLICE_ROWS)), next(self._ends_ms)
        columns = {"x": x + noise[0], "y": y + noise[1]}
        return [
            (rows, monitor.update_counts(self.references[rows].count(columns), timestamp_ms=at_ms))
            for rows, monitor in self._monitors.items()
        ]


def verdicts(rng: np.random.Generator) -> None:
    """Print what monitors on samples of several sizes say of the same slices."""
    watch = Watch(learned(rng), rng)
    for mean in wandering(rng, LIVE_SLICES):
        watch.live(mean)
    for number, mean in enumerate(wandering(rng, SHIFTED_SLICES), start=1):
        watch.shifted(mean, number)
    print(f"{'rows':>8}  wander of x  false alarms in {LIVE_SLICES}  y + 0.2 found in  x + 0.5 found in")
    for rows, reference in watch.references.items():
        wander = float(np.sqrt(reference.variation.tau2[0]))
        y, x = (watch.found[rows].get(name, "-") for name in ("y", "x"))
        print(f"{rows:>8,}  {wander:>11.3f}  {watch.alarms[rows]:>20}  {y:>16}  {x:>16}")


def main() -> None:
    """Print both tables."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else secrets.randbelow(10_000)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    costs(rng)
    verdicts(rng)


if __name__ == "__main__":
    main()
