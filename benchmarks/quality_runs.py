"""False alarms of streams that do not drift, and detection of drifts that are put in: on counts, by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.quality_world import (
    HOUR_MS,
    SCENARIOS,
    Columns,
    Scenario,
    World,
    count,
    daily,
    wander,
)
from detectors import Counts, Monitor, Reference, Verdict

Rules = Mapping[str, Mapping[str, Any]]
RULES: Rules = {
    "ARL 1e4, effect .05 (default)": {},
    "ARL 1e4, effect .02": {"min_effect": 0.02},
    "ARL 1e3, effect .02": {"min_effect": 0.02, "arl": 1000},
}
REFERENCE_ROWS = {200: 10_000, 1000: 20_000, 5000: 100_000, 20_000: 200_000}
WARM_UP = 16


@dataclass
class Alarms:
    """Windows judged, and those with an alarm, a new episode or a page."""

    windows: int = 0
    alarms: int = 0
    episodes: int = 0
    pages: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one more window."""
        self.windows += 1
        self.alarms += verdict.drifted
        self.episodes += verdict.new_episode
        self.pages += verdict.severity == "page"

    def summary(self) -> dict[str, int | float]:
        """Return the numbers, and alarms per 1000 windows."""
        return {**asdict(self), "per_1000": round(1000.0 * self.alarms / max(self.windows, 1), 2)}


@dataclass(frozen=True)
class Null:
    """A stream without drift: windows of ``rows`` rows; what its windows' means do; reference windows."""

    title: str
    world: World
    rows: int
    windows: int
    kind: str = "iid"
    known: int = 0
    streams: int = 1


def nulls(scale: float) -> list[Null]:
    """Return the streams of the table; ``scale`` 1 is the full one."""
    small, large = World(), World(5)

    def some(windows: int) -> int:
        return max(int(windows * scale), 24)

    parts = max(round(3 * scale), 1)
    return [
        Null("20f n200", small, 200, some(2000)),
        Null("20f n1k", small, 1000, some(1000)),
        Null("20f n5k", small, 5000, some(300)),
        Null("20f n20k", small, 20_000, some(60)),
        Null("100f n200", large, 200, some(500)),
        Null("100f n1k", large, 1000, some(250)),
        Null("100f n5k", large, 5000, some(40)),
        Null("daily n1k", small, 1000, some(480) // parts, "daily", 14 * 24, parts),
        Null("wander .1sd n1k", small, 1000, some(600) // parts, "wander", 60, parts),
        Null("wander .1sd n5k", small, 5000, some(150) // parts, "wander", 60, parts),
        Null("wander rho .8 n1k", small, 1000, some(600) // parts, "persistent", 200, parts),
    ]


def false_alarms(null: Null, rng: np.random.Generator, rules: Rules = RULES) -> dict[str, Alarms]:
    """Return the alarms of every rule."""
    found = {rule: Alarms() for rule in rules}
    for _ in range(null.streams):
        reference, windows = _stream(null, rng)
        monitors = {rule: Monitor(reference, **options) for rule, options in rules.items()}
        for start_ms, counts in windows:
            for rule, monitor in monitors.items():
                found[rule].add(monitor.update_counts(counts, timestamp_ms=start_ms))
    return found


def _stream(null: Null, rng: np.random.Generator) -> tuple[Reference, Iterator[tuple[int | None, Counts]]]:
    """Return the reference and the live windows, which go on where it ends."""
    if null.kind == "iid":
        reference = null.world.reference(null.world.draw(rng, REFERENCE_ROWS[null.rows]), null.rows)
        return reference, (
            (None, count(reference, null.world.draw(rng, null.rows))) for _ in range(null.windows)
        )
    total = null.known + null.windows
    if null.kind == "daily":
        offsets = daily(null.world, total)
    else:
        offsets = wander(rng, null.world, total, 0.8 if null.kind == "persistent" else 0.0, 0.1)
    parts = [null.world.draw(rng, null.rows, offset) for offset in offsets[: null.known]]
    starts = np.arange(total) * HOUR_MS
    times = np.repeat(starts[: null.known], null.rows) + np.tile(
        np.arange(null.rows) * (HOUR_MS // null.rows), null.known
    )
    timed = null.kind == "daily"
    reference = null.world.reference(joined(parts), null.rows, timestamps_ms=times if timed else None)
    return reference, (
        (int(starts[t]) if timed else None, count(reference, null.world.draw(rng, null.rows, offsets[t])))
        for t in range(null.known, total)
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """Return windows one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass
class Detection:
    """Runs of one scenario: windows until the column was named (None: not in time), wrong names, alarms."""

    delays: list[int | None] = field(default_factory=list)
    wrong: int = 0
    alarms: int = 0

    def merge(self, other: Detection) -> None:
        """Take in further runs."""
        self.delays += other.delays
        self.wrong += other.wrong
        self.alarms += other.alarms

    def summary(self) -> dict[str, float | None]:
        """Return the share found, the median and 95 % delay in windows, and wrong names an alarm."""
        found = sorted(delay for delay in self.delays if delay is not None)
        return {
            "runs": len(self.delays),
            "found_percent": round(100.0 * len(found) / len(self.delays), 1),
            "median_delay": median(found) if found else None,
            "p95_delay": float(np.quantile(found, 0.95)) if found else None,
            "wrong_per_alarm": round(self.wrong / max(self.alarms, 1), 3),
        }


def detect(
    world: World, rows: int, rng: np.random.Generator, rules: Rules = RULES
) -> dict[str, dict[str, Detection]]:
    """Return a run by rule and scenario: quiet windows first, then drift until found or too late."""
    found = {rule: {name: Detection() for name in SCENARIOS} for rule in rules}
    reference = world.reference(world.draw(rng, REFERENCE_ROWS[rows]), rows)
    quiet = [count(reference, world.draw(rng, rows)) for _ in range(WARM_UP)]
    warm = {rule: _warmed(Monitor(reference, **options), quiet) for rule, options in rules.items()}
    for name, scenario in SCENARIOS.items():
        drifted = _drifted(world, rows, reference, scenario, rng)
        for rule, options in rules.items():
            monitor = Monitor.from_bytes(warm[rule], reference, **options)
            _follow(monitor, drifted, scenario, found[rule][name])
    return found


def _warmed(monitor: Monitor, quiet: Sequence[Counts]) -> bytes:
    for counts in quiet:
        monitor.update_counts(counts)
    return monitor.to_bytes()


def _drifted(
    world: World, rows: int, reference: Reference, scenario: Scenario, rng: np.random.Generator
) -> list[Counts]:
    windows = []
    for window in range(scenario.limit):
        columns = world.draw(rng, rows)
        scenario.apply(columns, rng, window)
        windows.append(count(reference, columns))
    return windows


def _follow(monitor: Monitor, windows: Sequence[Counts], scenario: Scenario, found: Detection) -> None:
    for delay, counts in enumerate(windows, start=1):
        verdict = monitor.update_counts(counts)
        found.alarms += verdict.drifted
        found.wrong += len(set(verdict.drifted_names) - {scenario.column})
        if scenario.column in verdict.drifted_names:
            found.delays.append(delay)
            return
    found.delays.append(None)


def recurring(world: World, rows: int, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """Return stale alarms after 0.5 sd for 5 windows, and how often its return after 5 is a new episode."""
    stale, seen = 0, 0
    for _ in range(repeats):
        reference = world.reference(world.draw(rng, REFERENCE_ROWS[rows]), rows)
        monitor, verdicts = Monitor(reference), list[Verdict]()
        for on in [False] * 10 + [True] * 5 + [False] * 5 + [True] * 5:
            columns = world.draw(rng, rows)
            if on:
                SCENARIOS[".5 sd"].apply(columns, rng, 0)
            verdicts.append(monitor.update_counts(count(reference, columns)))
        stale += sum(verdict.drifted for verdict in verdicts[15:20])
        seen += any(verdict.drifted and verdict.new_episode for verdict in verdicts[20:])
    return {
        "runs": repeats,
        "stale_windows": round(stale / repeats, 2),
        "second_episode_percent": 100.0 * seen / repeats,
    }


def pages(world: World, rows: int, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often 0.5 sd pages: in a column that the score ignores, and in one that it follows."""
    shares: dict[str, float] = {"runs": repeats}
    for title, column in (("harmless_percent", "x4"), ("harmful_percent", "x0")):
        hits = 0
        for _ in range(repeats):
            reference = world.reference(world.draw(rng, REFERENCE_ROWS[rows]), rows)
            monitor, paged = Monitor(reference), False
            for _ in range(5):
                columns = world.draw(rng, rows)
                columns[column] = columns[column] + 0.5
                if column == "x0":
                    logit = columns["x0"] + 0.7 * columns["x1"] + 0.5 * columns["lognormal"] - 1.0
                    columns["score"] = 1.0 / (1.0 + np.exp(-logit - 0.3 * rng.normal(size=rows)))
                verdict = monitor.update_counts(count(reference, columns))
                paged |= verdict.severity == "page"
            hits += paged
        shares[title] = 100.0 * hits / repeats
    return shares
