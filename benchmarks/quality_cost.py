"""CPU milliseconds a window: ours from raw rows and from counts, and plain tests of every column."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp

from benchmarks.quality_peers_statistics import chi_square, kolmogorov_smirnov
from benchmarks.quality_world import World, named
from detectors import Monitor

OURS_RAW, OURS_COUNTS = "driftstream, raw rows", "driftstream, counts"
SCIPY = "KS + chi-square, scipy, raw rows"
SORTED = "KS + chi-square, reference sorted before, raw rows"
Settings = Mapping[str, tuple[World, int]]
SETTINGS: Settings = {"20f n1k": (World(), 1000), "100f n5k": (World(5), 5000)}
KNOWN_ROWS = {1000: 20_000, 5000: 25_000}


def costs(
    rng: np.random.Generator, windows: int, settings: Settings = SETTINGS
) -> dict[str, dict[str, float]]:
    """Return medians by setting and way; categories are text, pairs are watched, the first window warms up.

    The references hold 20,000 and 25,000 rows, which matters to the tests only.
    """
    return {title: _costs(world, rows, rng, windows) for title, (world, rows) in settings.items()}


def _costs(world: World, rows: int, rng: np.random.Generator, windows: int) -> dict[str, float]:
    past = world.draw(rng, KNOWN_ROWS[rows])
    reference = world.reference(past, rows)
    known = {name: prepared(values) for name, values in named(past).items()}
    monitors = Monitor(reference), Monitor(reference)
    spent: dict[str, list[float]] = {OURS_RAW: [], OURS_COUNTS: [], SCIPY: [], SORTED: []}
    scipy_ks = partial(ks_2samp, method="asymp")
    for _ in range(windows + 1):
        window = named(world.draw(rng, rows))
        counts = reference.count(window)
        spent[OURS_RAW].append(_cpu_ms(partial(monitors[0].update, window)))
        spent[OURS_COUNTS].append(_cpu_ms(partial(monitors[1].update_counts, counts)))
        spent[SCIPY].append(_cpu_ms(partial(column_tests, known, window, scipy_ks, scipy_chi_square)))
        spent[SORTED].append(_cpu_ms(partial(column_tests, known, window, kolmogorov_smirnov, chi_square)))
    return {way: round(median(values[1:]), 2) for way, values in spent.items()}


def _cpu_ms(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return 1000.0 * (time.process_time() - start)


def prepared(values: NDArray[Any]) -> Any:
    """Keep of a column what the tests need: its numbers, or its levels and how often each came."""
    if values.dtype.kind == "U":
        return np.unique(values, return_counts=True)
    return np.sort(values[~np.isnan(values)])


def column_tests(
    known: Mapping[str, Any],
    window: Mapping[str, NDArray[Any]],
    ks: Callable[..., Any],
    chi: Callable[..., Any],
) -> list[Any]:
    """Test every column as a script would."""
    found = []
    for name, values in window.items():
        if values.dtype.kind == "U":
            levels, counts = known[name]
            drawn = np.array([np.count_nonzero(values == level) for level in levels])
            found.append(chi(counts.astype(float), drawn.astype(float)))
        else:
            found.append(ks(known[name], np.sort(values[~np.isnan(values)])))
    return found


def scipy_chi_square(known: NDArray[Any], drawn: NDArray[Any]) -> float:
    seen = (known + drawn) > 0
    return float(chi2_contingency(np.stack((known[seen], drawn[seen])))[1])
