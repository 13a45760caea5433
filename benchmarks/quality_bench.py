"""The parts of the quality benchmark, one after the other: every judge on the same windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from benchmarks.quality_cost import costs
from benchmarks.quality_errors import STREAMS, real_streams
from benchmarks.quality_judges import Alarms, Panel
from benchmarks.quality_peers_errors import STATEMENTS, Detectors, delays, in_control, persistent
from benchmarks.quality_real import replay, resampled, streams
from benchmarks.quality_runs import detect, false_alarms, nulls, pages, recurring
from benchmarks.quality_values import OURS, RIVER, SLOW_TITLE, STEPS, values_report
from benchmarks.quality_world import World


@dataclass(frozen=True)
class Size:
    """How much to run: ``scale`` of the windows without drift, and repeats of everything else."""

    scale: float
    repeats: int
    many_columns: int
    labels: int
    error_runs: int
    value_streams: int
    cost_windows: int

    @classmethod
    def of(cls, scale: float) -> Size:
        """Return a share of the full run, which has scale 1; nothing shrinks to what says nothing."""
        return cls(
            scale=scale,
            repeats=max(round(20 * scale), 3),
            many_columns=max(round(6 * scale), 1),
            labels=max(round(1_000_000 * scale), 500_000),
            error_runs=max(round(20 * scale), 4),
            value_streams=max(round(100 * scale), 20),
            cost_windows=max(round(20 * scale), 3),
        )


@dataclass(frozen=True)
class Judges:
    """Who is measured: rules on windows, detectors on single labels."""

    panel: Panel
    detectors: Detectors


class Bench:
    """Runs the parts, each on random numbers of its own: the same with and without peers."""

    def __init__(self, size: Size, seed: int, data: Path | None, judges: Judges, progress: Progress) -> None:
        self.size = size
        self.data = data
        self._panel = judges.panel
        self._detectors = judges.detectors
        self._progress = progress
        self._seeds = np.random.SeedSequence(seed)

    def rng(self) -> np.random.Generator:
        """Return the next part's random numbers."""
        return np.random.default_rng(self._seeds.spawn(1)[0])

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Any]:
        """Show a part's progress; gives a function that moves it on."""
        task = self._progress.add_task(title, total=total)
        yield lambda: self._progress.advance(task)

    def false_alarms(self) -> dict[str, Any]:
        """Return alarms by stream and rule."""
        found: dict[str, Any] = {}
        without_drift = nulls(self.size.scale)
        with self.step("False alarms", len(without_drift) + 2) as advance:
            for null in without_drift:
                found[null.title] = _summaries(false_alarms(null, self.rng(), self._panel))
                advance()
            for rows, windows in ((200, 1000), (1000, 500)):
                rng, some = self.rng(), max(int(windows * self.size.scale), 24)
                if self.data is not None:
                    alarms = resampled(self.data, rows, some, rng, self._panel)
                    found[f"real rows n{rows}"] = _summaries(alarms)
                advance()
        return found

    def detection(self) -> dict[str, Any]:
        """Return summaries by setting, rule and scenario."""
        settings = {
            "20f n200": (World(), 200, self.size.repeats),
            "20f n1k": (World(), 1000, self.size.repeats),
            "20f n5k": (World(), 5000, max(self.size.repeats // 3, 1)),
            "100f n1k": (World(5), 1000, self.size.many_columns),
        }
        found: dict[str, Any] = {}
        with self.step("Detection", sum(repeats for _, _, repeats in settings.values())) as advance:
            for title, (world, rows, repeats) in settings.items():
                rng = self.rng()
                merged = detect(f"drifts {title}", world, rows, rng, self._panel)
                advance()
                for _ in range(repeats - 1):
                    for rule, scenarios in detect(f"drifts {title}", world, rows, rng, self._panel).items():
                        for name, detection in scenarios.items():
                            merged[rule][name].merge(detection)
                    advance()
                found[title] = {
                    rule: {name: each.summary() for name, each in scenarios.items()}
                    for rule, scenarios in merged.items()
                }
        return found

    def real(self) -> dict[str, Any]:
        """Return the replays of the real streams."""
        found = [] if self.data is None else streams(self.data)
        with self.step("Real streams", len(found)) as advance:
            replays = {}
            for stream in found:
                replays[stream.title] = replay(stream, self._panel)
                advance()
        return replays

    def errors(self) -> dict[str, Any]:
        """Return false alarms and delays on error streams, by detector."""
        drifting = {**STREAMS, **(real_streams(self.data) if self.data is not None else {})}
        with self.step("Error streams", len(drifting) + 2) as advance:
            control = in_control(self._detectors, self.size.labels, self.rng())
            advance()
            lagged = persistent(self._detectors, self.rng())
            advance()
            found: dict[str, Any] = {}
            for title, stream in drifting.items():
                found[title] = delays(stream, self._detectors, self.size.error_runs, self.rng())
                advance()
        return {"rules": STATEMENTS, "per_million": control, "ar1_rho.7_per_10000": lagged, "streams": found}

    def values(self) -> dict[str, Any]:
        """Return false alarms and delays on streams of real values, by detector."""
        detectors = {**OURS, **RIVER}
        if SLOW_TITLE not in self._detectors:
            del detectors[SLOW_TITLE]
        with self.step("Streams of values", STEPS) as advance:
            size = self.size
            return values_report(detectors, size.value_streams, size.error_runs, self.rng(), advance)

    def run(self) -> dict[str, Any]:
        """Run everything."""
        report: dict[str, Any] = {"false_alarms": self.false_alarms(), "detection": self.detection()}
        with self.step("After a drift, pages, cost", 3) as advance:
            report["recurring"] = recurring(World(), 1000, self.size.repeats, self.rng())
            advance()
            report["pages"] = pages(World(), 1000, self.size.repeats, self.rng())
            advance()
            report["cpu_ms"] = costs(self.rng(), self.size.cost_windows)
            advance()
        return {**report, "real": self.real(), "errors": self.errors(), "values": self.values()}


def _summaries(alarms: Mapping[str, Alarms]) -> dict[str, Any]:
    return {rule: each.summary() for rule, each in alarms.items()}
