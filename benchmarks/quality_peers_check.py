"""Some of the windows go to the libraries themselves, whose verdicts must be those of our rewritten rules.

They run in a process of their own while the benchmark goes on. Every seventh window of a stream is
taken until its budget is spent: Evidently alone takes a second or more for each.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.quality_judges import Columns, Known
from benchmarks.quality_peers import RULES, Words
from benchmarks.quality_peers_venv import QUIET, PeersUnavailable, last_line

PROGRAM = Path(__file__).with_name("quality_peers_libraries.py")
STRIDE = 7
PATIENCE_S = 1800.0
ANSWERS, ERRORS = "answers.jsonl", "stderr.txt"
# By library: the rule whose columns it names, and the rule that is its word on the whole window.
LIBRARY_RULES: Mapping[str, tuple[str, str]] = {
    "evidently": ("Evidently any", "Evidently share"),
    "nannyml": ("NannyML JS", "NannyML JS"),
    "alibi-detect": ("alibi-detect", "alibi-detect"),
}


@dataclass
class Sample:
    """Windows of one reference on their way to the libraries, with what our rules said of them."""

    known: Known
    windows: list[Columns] = field(default_factory=list)
    ours: list[dict[str, frozenset[str]]] = field(default_factory=list)


class Check:
    """Sends sampled windows to the libraries and compares. ``budget`` says how many of a stream's."""

    def __init__(self, python: Path, budget: Callable[[Known], int]) -> None:
        self._budget = budget
        self._taken: Counter[str] = Counter()
        self._sent: list[Sample] = []
        self._open: Sample | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="driftstream-peers-")
        self._root = Path(self._directory.name)
        with (self._root / ANSWERS).open("w") as answers, (self._root / ERRORS).open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=answers,
                stderr=errors,
                env={**os.environ, **QUIET},
                text=True,
            )

    def __enter__(self) -> Check:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._directory.cleanup()

    def watch(self, known: Known) -> Callable[[Columns, Words], None]:
        """Begin with a reference; returns what takes its windows."""
        self._send()
        sample = self._open = Sample(known)
        turn = itertools.count(1)

        def take(columns: Columns, words: Words) -> None:
            chosen = next(turn) % STRIDE == 0 and self._taken[known.title] < self._budget(known)
            if chosen and self._open is sample:
                self._taken[known.title] += 1
                sample.windows.append(columns)
                sample.ours.append({rule.title: rule.names(words) for rule in RULES})

        return take

    def _send(self) -> None:
        """Hand the open sample to the libraries."""
        sample, self._open = self._open, None
        if sample is None or not sample.windows:
            return
        known = sample.known
        directory = self._root / str(len(self._sent))
        directory.mkdir()
        _write([known.columns], known.categories, directory / "reference.npz")
        _write(sample.windows, known.categories, directory / "windows.npz")
        order = {
            "directory": str(directory),
            "rows": known.window_rows,
            "numeric": [name for name in known.columns if name not in known.categories],
            "categories": [name for name in known.columns if name in known.categories],
        }
        self._sent.append(sample)
        orders = self._process.stdin
        assert orders is not None
        try:
            orders.write(json.dumps(order) + "\n")
            orders.flush()
        except BrokenPipeError:
            self._process.wait()
            raise PeersUnavailable(f"the peers' process ended: {self._complaint()}") from None

    def finish(self) -> dict[str, Any]:
        """Wait for the libraries; return versions, equal verdicts by library, differences and CPU times.

        Raises
        ------
        PeersUnavailable
            The libraries failed, or took longer than PATIENCE_S after the last window.
        """
        self._send()
        try:
            self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise PeersUnavailable(
                f"the peers took more than {PATIENCE_S:g} s after the last window"
            ) from None
        lines = [json.loads(line) for line in (self._root / ANSWERS).read_text().splitlines()]
        if self._process.returncode != 0 or len(lines) != len(self._sent) + 1:
            raise PeersUnavailable(f"the peers' process failed: {self._complaint()}")
        versions, *answers = lines
        return {"versions": versions, **compared(self._sent, answers)}

    def _complaint(self) -> str:
        return last_line((self._root / ERRORS).read_text())


def compared(samples: Sequence[Sample], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the windows compared and equal by library, the windows that differ, and the CPU times."""
    windows, equal = Counter[str](), Counter[str]()
    different, cpu_ms = list[dict[str, Any]](), dict[str, dict[str, float]]()
    for sample, answer in zip(samples, answers, strict=True):
        title = sample.known.title
        for library, said in answer.items():
            for ours, names, alarm in zip(sample.ours, said["names"], said["alarms"], strict=True):
                same = _same(library, ours, names, alarm=alarm)
                windows[library] += 1
                equal[library] += same
                if not same:
                    rewritten = {rule: sorted(ours[rule]) for rule in LIBRARY_RULES[library]}
                    different.append({"stream": title, "library": library, "names": names, "ours": rewritten})
            if said["cpu_ms"]:
                cpu_ms.setdefault(title, {})[library] = round(median(said["cpu_ms"]), 1)
    counts = {library: {"windows": windows[library], "equal": equal[library]} for library in windows}
    return {"compared": counts, "different": different, "cpu_ms": cpu_ms}


def _same(library: str, ours: Mapping[str, frozenset[str]], names: Sequence[str], *, alarm: bool) -> bool:
    """Equal names; and the library's own word on the whole window is that of the last of its rules."""
    by_column, of_window = LIBRARY_RULES[library]
    return ours[by_column] == frozenset(names) and bool(ours[of_window]) == alarm


def _write(windows: Sequence[Columns], categories: frozenset[str], path: Path) -> None:
    columns = {}
    for name in windows[0]:
        values = np.concatenate([np.asarray(window[name]) for window in windows])
        columns[name] = values.astype(np.str_ if name in categories else np.float64)
    np.savez(path, **columns)
