"""Quality of the verdicts: false alarms, detection and its delay, on streams whose truth is known.

``python -m benchmarks.quality`` draws everything from a fresh seed (it is printed; ``--seed`` repeats a run)
and prints one table each for

* false alarms per 1000 windows without drift: independent rows, an hourly cycle of a day, means that wander;
* detection: share of the runs in which the drifted column was named within 10 windows (20 for ramps), and the
  median delay in windows; wrong names per alarm; what an ended drift leaves; pages;
* error streams: false alarms per million labels, share of the runs with an alarm, median delay in labels;
* with ``--data DIR``, the same on the real streams found there.

The rules tested are those of :class:`detectors.Monitor` and :class:`detectors.ErrorMonitor` with the options
named in the first column; references hold 10,000 rows for windows of 200, 20 windows for larger ones, and 14
days, 60 windows or (rho 0.8) 200 windows where the stream is not independent. Pairs are watched throughout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quality_errors import STREAMS, delays, in_control, persistent, real_streams
from benchmarks.quality_real import replays, resampled
from benchmarks.quality_report import print_quality
from benchmarks.quality_runs import RULES, detect, false_alarms, nulls, pages, recurring
from benchmarks.quality_world import World
from benchmarks.report import print_json


@dataclass(frozen=True)
class Size:
    """How much to run: ``scale`` of the windows without drift, and repeats of everything else."""

    scale: float
    repeats: int
    many_columns: int
    labels: int
    error_runs: int


FULL = Size(scale=1.0, repeats=20, many_columns=6, labels=1_000_000, error_runs=10)
QUICK = Size(scale=0.08, repeats=3, many_columns=1, labels=500_000, error_runs=4)


class Bench:
    """Runs the parts one after the other, each on random numbers of its own."""

    def __init__(self, size: Size, seed: int, data: Path | None, progress: Progress) -> None:
        self.size = size
        self.data = data
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
        streams = nulls(self.size.scale)
        with self.step("False alarms", len(streams) + 2) as advance:
            for null in streams:
                alarms = false_alarms(null, self.rng())
                found[null.title] = {rule: each.summary() for rule, each in alarms.items()}
                advance()
            for rows, windows in ((200, 1000), (1000, 500)):
                rng = self.rng()
                if self.data is not None:
                    alarms = resampled(self.data, rows, max(int(windows * self.size.scale), 24), rng)
                    found[f"real rows n{rows}"] = {rule: each.summary() for rule, each in alarms.items()}
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
                found[title] = {rule: {} for rule in RULES}
                runs = []
                rng = self.rng()
                for _ in range(repeats):
                    runs.append(detect(world, rows, rng))
                    advance()
                for rule in RULES:
                    merged = runs[0][rule]
                    for run in runs[1:]:
                        for name, detection in run[rule].items():
                            merged[name].merge(detection)
                    found[title][rule] = {name: each.summary() for name, each in merged.items()}
        return found

    def errors(self) -> dict[str, Any]:
        """Return false alarms and delays of the error monitor."""
        streams = {**STREAMS, **(real_streams(self.data) if self.data is not None else {})}
        with self.step("Error streams", len(streams) + 2) as advance:
            control = in_control(self.size.labels, self.rng())
            advance()
            rng = self.rng()
            runs = 100
            lagged = sum(persistent(10_000, rng) for _ in range(runs)) / runs
            advance()
            found: dict[str, Any] = {}
            for title, stream in streams.items():
                found[title] = delays(stream, self.size.error_runs, self.rng())
                advance()
        return {"per_million": control, "ar1_rho.7_per_10000": lagged, "streams": found}

    def run(self) -> dict[str, Any]:
        """Run everything."""
        report: dict[str, Any] = {"false_alarms": self.false_alarms(), "detection": self.detection()}
        with self.step("After a drift, pages, replays", 3) as advance:
            report["recurring"] = recurring(World(), 1000, self.size.repeats, self.rng())
            advance()
            report["pages"] = pages(World(), 1000, self.size.repeats, self.rng())
            advance()
            report["real"] = {} if self.data is None else replays(self.data)
            advance()
        return {**report, "errors": self.errors()}


def main(
    *,
    seed: Annotated[int | None, typer.Option(help="Seed of everything; a fresh one if not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the runs, in a minute.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Directory with the parquet files of the real streams.", exists=True)
    ] = None,
) -> None:
    """Measure false alarms and detection."""
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    start = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        report = Bench(QUICK if quick else FULL, seed, data, progress).run()
    report = {"seed": seed, "quick": quick, "seconds": round(time.monotonic() - start, 1), **report}
    if as_json:
        print_json(report)
    else:
        print_quality(report)


if __name__ == "__main__":
    typer.run(main)
