"""Streams of real values: false alarms where nothing changes, and the delay after the mean moved.

Our scan of means and river's detectors for real values at their defaults, on the same streams. KSWIN tests
at every value and takes a thousand times as long as the others: it sees the first values of a few streams
that stay, and none that move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.sequential import make_detector

Values = NDArray[np.float64]
EVENTS, BEFORE, AFTER = 10_000, 10_000, 8000
OURS: Mapping[str, str] = {"driftstream": "mean_scan"}
RIVER: Mapping[str, str] = {
    "river ADWIN": "adwin",
    "river PageHinkley": "page_hinkley",
    "river KSWIN": "kswin",
}
SLOW, SLOW_TITLE, SLOW_EVENTS, SLOW_SHARE = "kswin", "river KSWIN", 1000, 10
STATEMENT = "detectors.ScalarMonitor, defaults: ARL 100,000 values, min_effect 0.01"


def follow(rng: np.random.Generator, size: int, rho: float) -> Values:
    """Return normal values that follow each other with lag-1 correlation ``rho`` and have variance 1."""
    noise = rng.normal(size=size)
    noise[1:] *= np.sqrt(1.0 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise), dtype=np.float64)


@dataclass(frozen=True)
class Steady:
    """A stream whose mean stays; ``sd`` is that of a single value."""

    draw: Callable[[np.random.Generator, int], Values]
    sd: float = 1.0


_LOGNORMAL_SD = float(np.sqrt((np.e - 1.0) * np.e))
STEADY: Mapping[str, Steady] = {
    "normal": Steady(lambda rng, size: rng.normal(size=size)),
    "normal rho .7": Steady(lambda rng, size: follow(rng, size, 0.7)),
    "normal rho .9": Steady(lambda rng, size: follow(rng, size, 0.9)),
    "lognormal": Steady(lambda rng, size: np.exp(rng.normal(size=size)), _LOGNORMAL_SD),
    "lognormal rho .7": Steady(lambda rng, size: np.exp(follow(rng, size, 0.7)), _LOGNORMAL_SD),
    "beta(.3, 3)": Steady(lambda rng, size: rng.beta(0.3, 3.0, size=size), 0.139),
    "t(3)": Steady(lambda rng, size: rng.standard_t(3, size=size), float(np.sqrt(3.0))),
}
SHIFTED = ("normal", "lognormal", "normal rho .7")
SHIFTS = (0.25, 0.5, 1.0)


def steady(
    stream: Steady, detectors: Mapping[str, str], runs: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return alarms per 10,000 values by detector, in streams of 10,000 values."""
    alarms, seen = dict.fromkeys(detectors, 0), dict.fromkeys(detectors, 0)
    for run in range(runs):
        values = stream.draw(rng, EVENTS)
        for title, name in detectors.items():
            if name == SLOW and run % SLOW_SHARE:
                continue
            detector = make_detector(name)
            alarms[title] += len(detector.update(values[:SLOW_EVENTS] if name == SLOW else values))
            seen[title] += detector.seen
    return {title: round(1e4 * alarms[title] / seen[title], 3) for title in detectors}


def shifted(
    stream: Steady, shift: float, detectors: Mapping[str, str], runs: int, rng: np.random.Generator
) -> dict[str, dict[str, float | None]]:
    """Return what each detector found after the mean moved by ``shift`` standard deviations.

    The delay counts values from the change on; a run without an alarm after it has an infinite delay.
    """
    quick = {title: name for title, name in detectors.items() if name != SLOW}
    delays: dict[str, list[float]] = {title: [] for title in quick}
    early = dict.fromkeys(quick, 0)
    for _ in range(runs):
        # The change comes anywhere in a block of ours and a clock of ADWIN's.
        change = BEFORE + int(rng.integers(64))
        values = stream.draw(rng, change + AFTER)
        values[change:] += shift * stream.sd
        for title, name in quick.items():
            alarms = make_detector(name).update(values)
            delays[title].append(next((alarm - change + 1 for alarm in alarms if alarm >= change), np.inf))
            early[title] += sum(alarm < change for alarm in alarms)
    return {title: _summary(delays[title], early[title]) for title in quick}


def _summary(delays: list[float], early: int) -> dict[str, float | None]:
    middle = median(delays)
    return {
        "runs": len(delays),
        "found_percent": round(100.0 * float(np.mean(np.isfinite(delays))), 1),
        "median_delay": middle if np.isfinite(middle) else None,
        "early_alarms": early,
    }


def values_report(
    detectors: Mapping[str, str],
    streams: int,
    runs: int,
    rng: np.random.Generator,
    advance: Callable[[], Any],
) -> dict[str, Any]:
    """Return false alarms by steady stream, and delays by shifted stream, for all detectors by title."""
    still = dict[str, Any]()
    for title, stream in STEADY.items():
        still[title] = steady(stream, detectors, streams, rng)
        advance()
    moved = dict[str, Any]()
    for title in SHIFTED:
        for shift in SHIFTS:
            moved[f"{title} +{shift:g} sd"] = shifted(STEADY[title], shift, detectors, runs, rng)
            advance()
    return {"rule": STATEMENT, "per_10000": still, "streams": moved}


STEPS = len(STEADY) + len(SHIFTED) * len(SHIFTS)
