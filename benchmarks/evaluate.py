"""Windows judged a second per core, at 20, 100 and 1,000 features, beside scipy and the batch libraries.

``python -m benchmarks.evaluate --peers`` draws references and windows of 1000 rows without drift and times

* from counts: :class:`detectors.Monitor` on counts that exist, to a verdict with all distances;
* from packed panes: what a worker does between reading a window's panes and writing its commit: eight
  partitions' packed counts checked and merged, the verdict, the window's record as packed JSON, the packed
  state;
* from raw rows: the same Monitor on columns of numbers and text, encoded and counted first;
* scipy: ``ks_2samp`` (asymptotic, the reference sorted before) or ``chi2_contingency`` of every column;
* Evidently's DataDriftPreset, NannyML's univariate drift and alibi-detect's TabularDrift themselves, on the
  same rows (--peers; at 20 features).

All is CPU time of the process that does the work. The ways take turns, run by run; figures are medians of the
runs. Pairs of columns are watched as by default: at 20 features all 120 of its 16 numbers, else none.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.evaluate_peers import peers_cpu_ms
from benchmarks.evaluate_ways import COUNTS, RAW, SCIPY, STREAM, Setting, setting, ways
from benchmarks.quality_peers_venv import PeersUnavailable
from benchmarks.report import machine, print_json, table

WIDTHS = (20, 100, 1000)
ROWS, REFERENCE_ROWS = 1000, 20_000
WARM_UP = 17
"""Windows before the clock runs: the longest lookback is full."""
MOST_VALUES = 4_000_000  # in memory of one reference


def measure(of: Setting, *, runs: int, windows: int) -> dict[str, dict[str, float]]:
    """Return CPU milliseconds a window by way: medians of runs of so many windows, and their spread."""
    steps = ways(of, scipy=True)
    spent: dict[str, list[float]] = {way: [] for way in steps}
    done = dict.fromkeys(steps, 0)
    for run in range(runs + 1):
        for way, step in steps.items():
            number = _number(way, windows) if run else _number(way, WARM_UP)
            cpu_ms = _cpu_ms(step, done[way], number)
            done[way] += number
            if run:
                spent[way].append(cpu_ms)
    return {way: _figures(values, len(of.reference.names)) for way, values in spent.items()}


def _number(way: str, windows: int) -> int:
    """Return how many windows of a run the slower ways judge."""
    share = {SCIPY: 20, RAW: 4}.get(way, 1)
    return max(windows // share, 1)


def _cpu_ms(step: Callable[[int], object], first: int, number: int) -> float:
    """Return milliseconds a window. The collector walks what others left: it runs before, not during."""
    gc.collect()
    start = time.process_time()
    for i in range(first, first + number):
        step(i)
    return 1000.0 * (time.process_time() - start) / number


def _figures(cpu_ms: Sequence[float], features: int) -> dict[str, float]:
    middle = median(cpu_ms)
    return {
        "cpu_ms_per_window": round(middle, 4),
        "windows_per_core_second": round(1000.0 / middle, 2),
        "cpu_us_per_feature": round(1000.0 * middle / features, 2),
        "spread": round((max(cpu_ms) - min(cpu_ms)) / middle, 3),
    }


def compare(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return how many times the CPU of ours each other way takes, by width."""
    ratios: dict[str, dict[str, float]] = {}
    for width, by_way in results.items():
        for way in by_way.keys() - {COUNTS, STREAM, RAW}:
            for ours in (COUNTS, RAW):
                ratio = by_way[way]["cpu_ms_per_window"] / by_way[ours]["cpu_ms_per_window"]
                ratios.setdefault(f"{way} / {ours}", {})[width] = round(ratio, 1)
    return dict(sorted(ratios.items()))


def _print(report: Mapping[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110)
    rates = table("way", "features", "windows/s per core", "CPU ms/window", "CPU us/feature", "spread")
    for width, by_way in report["results"].items():
        for way, row in by_way.items():
            rate = row["windows_per_core_second"]
            rates.add_row(
                way,
                width,
                f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
                f"{row['cpu_ms_per_window']:,.3f}",
                f"{row['cpu_us_per_feature']:,.1f}",
                f"{row['spread']:.0%}",
            )
    console.print(rates)
    ratios = table("CPU time / ours", *(f"{width} features" for width in report["results"]))
    for name, by_width in report["ratios"].items():
        ratios.add_row(
            name, *(f"{by_width[width]:,.1f}" if width in by_width else "–" for width in report["results"])
        )
    console.print(ratios)
    where = ", ".join(f"{name} {value}" for name, value in {**report["machine"], **report["peers"]}.items())
    console.print(
        f"{report['runs']} interleaved runs, medians; windows of {report['rows']} rows; seed"
        f" {report['seed']}\n{where}"
    )


def main(
    *,
    runs: Annotated[int, typer.Option(min=1, help="Runs of every way, in turn.")] = 5,
    windows: Annotated[int, typer.Option(min=1, help="Windows of a run at 20 features.")] = 400,
    peers: Annotated[bool, typer.Option(help="Time Evidently, NannyML and alibi-detect too.")] = False,
    quick: Annotated[bool, typer.Option(help="Up to 100 features, 3 short runs.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the data; a fresh one if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure what judging a window costs."""
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    rng = np.random.default_rng(seed)
    if quick:
        runs, windows = 3, min(windows, 60)
    results: dict[str, dict[str, dict[str, float]]] = {}
    versions: dict[str, str] = {}
    for features in WIDTHS[:2] if quick else WIDTHS:
        rows = min(REFERENCE_ROWS, MOST_VALUES // features)
        drawn = setting(rng, features, rows=ROWS, reference_rows=rows, windows=8)
        number = max(windows * WIDTHS[0] // features, 8)
        results[str(features)] = measure(drawn, runs=runs, windows=number)
        if peers and features == WIDTHS[0]:
            try:
                versions, cpu_ms = peers_cpu_ms(drawn, runs)
            except PeersUnavailable as exc:
                raise typer.BadParameter(str(exc), param_hint="--peers") from None
            results[str(features)] |= {name: _figures([ms], features) for name, ms in cpu_ms.items()}
    report = {
        "seed": seed,
        "runs": runs,
        "rows": ROWS,
        "results": results,
        "ratios": compare(results),
        "peers": versions,
        "machine": machine(scipy=version("scipy")),
    }
    if as_json:
        print_json(report)
    else:
        _print(report)


if __name__ == "__main__":
    typer.run(main)
