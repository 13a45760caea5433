"""False alarms of streams that do not drift, and detection of drifts that are put in, by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_judges import Alarms, Columns, Detection, Judge, Known, OwnPanel, Panel
from benchmarks.quality_world import (
    HOUR_MS,
    SCENARIOS,
    Scenario,
    World,
    count,
    daily,
    is_levels,
    wander,
)
from detectors import Monitor, Verdict

REFERENCE_ROWS = {200: 10_000, 1000: 20_000, 5000: 100_000, 20_000: 200_000}
WARM_UP = 16
OURS = OwnPanel()
Windows = Iterator[tuple[int | None, Columns]]


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


def known(
    title: str,
    world: World,
    rows: int,
    columns: Mapping[str, Any],
    *,
    timestamps_ms: NDArray[np.int64] | None = None,
) -> Known:
    """Return drawn rows as what judges learn from."""
    return Known(
        title,
        columns,
        frozenset(name for name in columns if is_levels(name)),
        rows,
        partial(world.reference, columns, rows, timestamps_ms=timestamps_ms),
        count,
    )


def false_alarms(null: Null, rng: np.random.Generator, panel: Panel = OURS) -> dict[str, Alarms]:
    """Return the alarms of every rule."""
    found: dict[str, Alarms] = {}
    for _ in range(null.streams):
        past, windows = _stream(null, rng)
        tally(panel.fit(past), windows, found)
    return found


def tally(judge: Judge, windows: Windows, found: dict[str, Alarms]) -> None:
    """Add every rule's word on the windows to ``found``."""
    for start_ms, columns in windows:
        for rule, judged in judge.judge(columns, start_ms).items():
            found.setdefault(rule, Alarms()).add(judged)


def _stream(null: Null, rng: np.random.Generator) -> tuple[Known, Windows]:
    """Return what is known and the live windows, which go on where that ends."""
    world, rows = null.world, null.rows
    if null.kind == "iid":
        past = known(null.title, world, rows, world.draw(rng, REFERENCE_ROWS[rows]))
        return past, ((None, world.draw(rng, rows)) for _ in range(null.windows))
    total = null.known + null.windows
    if null.kind == "daily":
        offsets = daily(world, total)
    else:
        offsets = wander(rng, world, total, 0.8 if null.kind == "persistent" else 0.0, 0.1)
    parts = [world.draw(rng, rows, offset) for offset in offsets[: null.known]]
    starts = np.arange(total) * HOUR_MS
    times = np.repeat(starts[: null.known], rows) + np.tile(np.arange(rows) * (HOUR_MS // rows), null.known)
    timed = null.kind == "daily"
    past = known(null.title, world, rows, joined(parts), timestamps_ms=times if timed else None)
    return past, (
        (int(starts[t]) if timed else None, world.draw(rng, rows, offsets[t]))
        for t in range(null.known, total)
    )


def joined(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """Return windows one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def detect(
    title: str, world: World, rows: int, rng: np.random.Generator, panel: Panel = OURS
) -> dict[str, dict[str, Detection]]:
    """Return a run by rule and scenario: quiet windows first, then drift until found or too late."""
    warm = panel.fit(known(title, world, rows, world.draw(rng, REFERENCE_ROWS[rows])))
    for _ in range(WARM_UP):
        warm.judge(world.draw(rng, rows))
    found: dict[str, dict[str, Detection]] = {}
    for name, scenario in SCENARIOS.items():
        drifted = _drifted(world, rows, scenario, rng)
        for rule, detection in _follow(warm.fork(), drifted, scenario).items():
            found.setdefault(rule, {})[name] = detection
    return found


def _drifted(world: World, rows: int, scenario: Scenario, rng: np.random.Generator) -> list[Columns]:
    windows = []
    for window in range(scenario.limit):
        columns = world.draw(rng, rows)
        scenario.apply(columns, rng, window)
        windows.append(columns)
    return windows


def _follow(judge: Judge, windows: Sequence[Columns], scenario: Scenario) -> dict[str, Detection]:
    """Follow every rule until it has named the column; what it says later counts no more."""
    found: dict[str, Detection] = {}
    for delay, columns in enumerate(windows, start=1):
        for rule, judged in judge.judge(columns).items():
            detection = found.setdefault(rule, Detection())
            if detection.delays:
                continue
            detection.alarms += judged.drifted
            detection.wrong += len(judged.names - {scenario.column})
            if scenario.column in judged.names:
                detection.delays.append(delay)
        if all(detection.delays for detection in found.values()):
            break
    for detection in found.values():
        detection.delays = detection.delays or [None]
    return found


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
