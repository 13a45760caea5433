"""Quality of the verdicts: false alarms, detection and its delay, on streams whose truth is known.

``python -m benchmarks.quality`` draws everything from a fresh seed (it is printed; ``--seed`` repeats a run)
and prints one table each for

* false alarms per 1000 windows without drift: independent rows, an hourly cycle of a day, means that wander;
* detection: share of the runs in which the drifted column was named within 10 windows (20 for ramps), and the
  median and 95 % delay in windows; wrong names per alarm; what an ended drift leaves; pages;
* CPU time of a window;
* streams of errors and of real values, ours and river's detectors side by side: false alarms per million
  labels or 10,000 values, share of the runs with an alarm, median delay;
* with ``--data DIR``, the same on the real streams found there.

With ``--peers`` every table has rows for Evidently, NannyML, alibi-detect, river and plain tests too, on the
same windows, each rule stated below the tables. The first three run in a venv of their own (the dependency
group ``peers``, made by uv in ``.tools/peers``) on some of the windows, as their reports are slow. On all
windows their rules are computed as rewritten here; the run says on how many windows both said the same.

References hold 10,000 rows for windows of 200, 20 windows for larger ones, and 14 days, 60 windows or (rho
0.8) 200 windows where the stream is not independent. Pairs are watched throughout.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import quality_judges, quality_peers, quality_peers_errors
from benchmarks.quality_bench import Bench, Judges, Size
from benchmarks.quality_judges import Bank, Known, OwnPanel
from benchmarks.quality_peers import AdwinPanel, PeerPanel
from benchmarks.quality_peers_check import Check
from benchmarks.quality_peers_venv import VENV, PeersUnavailable, peers_python
from benchmarks.quality_report import print_quality
from benchmarks.report import print_json

QUICK, SMALL = 0.08, 0.2
LARGE = 1_000_000


@dataclass(frozen=True)
class Budget:
    """Windows of a stream that go to the libraries; fewer where Evidently takes very long."""

    small_run: bool

    def __call__(self, known: Known) -> int:
        """Return the number of windows."""
        values = len(known.columns) * len(next(iter(known.columns.values())))
        if values > LARGE:
            return 0 if self.small_run else 2
        return 3 if self.small_run else 6


def _run(seed: int, scale: float, data: Path | None, *, peers: bool, progress: Progress) -> dict[str, Any]:
    size, small = Size.of(scale), scale < SMALL
    if not peers:
        judges = Judges(OwnPanel(), quality_peers_errors.all_detectors(slow=False))
        return Bench(size, seed, data, judges, progress).run()
    with ExitStack() as stack:
        task = progress.add_task(f"Peers into {VENV}", total=1)
        if progress.disable:
            progress.console.print(f"Peers into {VENV}", highlight=False, soft_wrap=True)
        check = stack.enter_context(Check(peers_python(), Budget(small)))
        progress.advance(task)
        panel = Bank((OwnPanel(), PeerPanel(check.watch), AdwinPanel()))
        judges = Judges(panel, quality_peers_errors.all_detectors(slow=not small))
        report = Bench(size, seed, data, judges, progress).run()
        task = progress.add_task("Verdicts of the libraries", total=1)
        checked = check.finish()
        progress.advance(task)
    return {**report, "peers": {**checked, "rules": quality_peers.statements(checked["versions"])}}


def main(
    *,
    seed: Annotated[int | None, typer.Option(help="Seed of everything; a fresh one if not given.")] = None,
    scale: Annotated[float, typer.Option(help="Share of the full run.", min=0.01, max=10.0)] = 1.0,
    quick: Annotated[bool, typer.Option("--quick", help=f"The same as --scale {QUICK}: minutes.")] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Evidently, NannyML, alibi-detect, river too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as markdown.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Directory with the parquet files of the real streams.", exists=True)
    ] = None,
) -> None:
    """Measure false alarms and detection."""
    scale = QUICK if quick else scale
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    start = time.monotonic()
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            report = _run(seed, scale, data, peers=peers, progress=progress)
    except PeersUnavailable as error:
        console.print(f"--peers: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    seconds = round(time.monotonic() - start, 1)
    report = {"seed": seed, "scale": scale, "seconds": seconds, "rules": quality_judges.STATEMENTS, **report}
    if as_json:
        print_json(report)
    else:
        print_quality(report, markdown=markdown)


if __name__ == "__main__":
    typer.run(main)
