"""What realized performance costs: outcomes counted a second, bytes of a pane, errors of binned areas."""

from __future__ import annotations

import time

import numpy as np

from detectors import Outcomes, PerformanceCounts, PerformanceSpec

BATCH = 10_000
BINARY = PerformanceSpec("binary")
SPECS = {
    "binary": BINARY,
    "multiclass, 10": PerformanceSpec("multiclass", classes=tuple(map(str, range(10)))),
    "regression": PerformanceSpec("regression"),
    "ranking": PerformanceSpec("ranking"),
}


def draw(rng: np.random.Generator, n: int, *, rare: bool = False) -> Outcomes:
    """Return outcomes of a calibrated binary model; about 1 % positive where ``rare``."""
    score = np.exp(-2.5 - rng.gamma(3.0, 1.0, n)) if rare else rng.beta(2.0, 5.0, n)
    return Outcomes((score >= 0.5).astype(float), score, (rng.random(n) < score).astype(float))


def rate(spec: PerformanceSpec, outcomes: Outcomes, rounds: int = 200) -> float:
    """Return outcomes counted a second in the best of some rounds, in one thread."""
    counts = PerformanceCounts.empty(spec)
    np.zeros(1 << 20)  # as in a worker: the allocator keeps what is freed from now on
    best = np.inf
    for _ in range(rounds):
        started = time.perf_counter()
        counts.add(outcomes)
        best = min(best, time.perf_counter() - started)
    return outcomes.label.size / best


def main() -> None:
    """Print the three tables."""
    rng = np.random.default_rng(1)
    print(f"outcomes a second, batches of {BATCH:,}")
    for name, spec in SPECS.items():
        drawn = draw(rng, BATCH)
        if spec.task != "binary":
            codes = rng.integers(1, 10, (2, BATCH)).astype(float)
            drawn = drawn._replace(prediction=codes[0], label=codes[1])
        print(f"  {name:<16}{rate(spec, drawn) / 1e6:6.1f} M")
    print("binary: bytes of a pane, largest error of the areas as stated, and as it is")
    for rare in (False, True):
        for n in (1_000, 10_000, 100_000):
            counts = PerformanceCounts.empty(BINARY)
            drawn = draw(rng, n, rare=rare)
            counts.add(drawn)
            found = counts.metrics()
            positive, negative = (np.sort(drawn.score[drawn.label == label]) for label in (1, 0))
            area = np.searchsorted(negative, positive).mean() / negative.size
            off = abs((found["roc_auc"] or 0.0) - area)
            name = "1 % positive" if rare else "2 of 7 positive"
            stated = f"ROC {found['roc_auc_error']:.5f} PR {found['pr_auc_error']:.5f}"
            print(
                f"  {name:<16}{n:>8,} {len(counts.to_bytes()):>6,} B  stated {stated}  ROC is {off:.6f} off"
            )


if __name__ == "__main__":
    main()
