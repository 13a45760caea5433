"""Detectors of streams of errors beside each other: ours and river's defaults, on the same labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, EDDM, HDDMA, HDDMW

from benchmarks.quality_errors import Errors, ErrorStream
from detectors import ErrorMonitor

Detect = Callable[[Errors], list[int]]
Detectors = Mapping[str, Detect]
EVENTS, STREAMS = 10_000, 100
SLOW_SHARE = 20
SLOW = frozenset({"river KSWIN"})  # 0.4 ms a label


def _ours(errors: Errors) -> list[int]:
    return ErrorMonitor().update(errors)


def _river(make: Callable[[], Any]) -> Detect:
    def detect(errors: Errors) -> list[int]:
        detector, alarms = make(), list[int]()
        for position, error in enumerate(errors.tolist()):
            detector.update(error)
            if detector.drift_detected:
                alarms.append(position)
        return alarms

    return detect


OURS: Detectors = {"driftstream": _ours}
RIVER: Detectors = {
    "river ADWIN": _river(ADWIN),
    "river DDM": _river(DDM),
    "river EDDM": _river(EDDM),
    "river HDDM_A": _river(HDDMA),
    "river HDDM_W": _river(HDDMW),
    "river PageHinkley": _river(PageHinkley),
    "river KSWIN": _river(lambda: KSWIN(seed=0)),
}
STATEMENTS: Mapping[str, str] = {
    "driftstream": "detectors.ErrorMonitor, defaults: ARL 1,000,000 labels",
    "river": f"river {version('river')}, each detector with its defaults, fed label by label",
}


def all_detectors(*, slow: bool) -> Detectors:
    """Return ours and river's, the slow ones if wanted."""
    return {name: detect for name, detect in {**OURS, **RIVER}.items() if slow or name not in SLOW}


def in_control(detectors: Detectors, labels: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return false alarms per million labels at error rates of 2, 10 and 25 %; slow ones see a twentieth."""
    found = {}
    for rate in (0.02, 0.1, 0.25):
        errors = rng.random(labels) < rate
        seen = {name: errors[: labels // SLOW_SHARE] if name in SLOW else errors for name in detectors}
        found[f"p={rate:g}"] = {
            name: round(1e6 * len(detect(seen[name])) / seen[name].size, 2)
            for name, detect in detectors.items()
        }
    return found


def persistent(detectors: Detectors, rng: np.random.Generator) -> dict[str, float]:
    """Return alarms in 10,000 errors of 10 % whose lag-1 correlation is 0.7; mean of 100 streams."""
    quick = {name: detect for name, detect in detectors.items() if name not in SLOW}
    alarms = dict.fromkeys(quick, 0)
    for _ in range(STREAMS):
        kept = rng.random(EVENTS) < 0.7
        fresh = rng.random(EVENTS) < 0.1
        errors = fresh[np.maximum.accumulate(np.where(kept, 0, np.arange(EVENTS)))]
        for name, detect in quick.items():
            alarms[name] += len(detect(errors))
    return {name: count / STREAMS for name, count in alarms.items()}


def delays(
    stream: ErrorStream, detectors: Detectors, repeats: int, rng: np.random.Generator
) -> dict[str, dict[str, float | None]]:
    """Return by detector the share of runs with an alarm after the change, its delay, alarms before it.

    A run without an alarm after the change has an infinite delay; without a median where half of them have.
    """
    quick = {name: detect for name, detect in detectors.items() if name not in SLOW}
    found: dict[str, list[float]] = {name: [] for name in quick}
    early = dict.fromkeys(quick, 0)
    for _ in range(repeats):
        errors = stream.draw(rng)
        for name, detect in quick.items():
            alarms = detect(errors)
            early[name] += sum(alarm < stream.change for alarm in alarms)
            after = (alarm - stream.change + 1 for alarm in alarms if alarm >= stream.change)
            found[name].append(next(after, np.inf))
    return {
        name: {
            "runs": repeats,
            "found_percent": round(100.0 * float(np.mean(np.isfinite(found[name]))), 1),
            "median_delay": median(found[name]) if np.isfinite(median(found[name])) else None,
            "early_alarms": early[name],
        }
        for name in quick
    }
