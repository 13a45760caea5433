"""Who judges windows in the quality benchmark: rules that know a reference and then see window by window.

A :class:`Panel` is a set of rules; fitted to what is :class:`Known` it gives a :class:`Judge`. Ours is here,
the peers are in :mod:`benchmarks.quality_peers`. All judges of a run see the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors import Counts, Monitor, Reference, Verdict

Columns = Mapping[str, NDArray[Any]]
Rules = Mapping[str, Mapping[str, Any]]
RULES: Rules = {
    "driftstream": {},
    "driftstream .02": {"min_effect": 0.02},
    "driftstream .02, 1e3": {"min_effect": 0.02, "arl": 1000},
}
STATEMENTS: Mapping[str, str] = {
    "driftstream": "detectors.Monitor, defaults: ARL 10,000 windows, minimum effect .05; any column or pair",
    "driftstream .02": "the same with minimum effect .02",
    "driftstream .02, 1e3": "the same with minimum effect .02 and ARL 1,000 windows",
}


class Judged(NamedTuple):
    """A rule's word on a window: the columns that it names; ``drifted`` may hold without a name (pairs)."""

    drifted: bool
    names: frozenset[str]
    new_episode: bool = False
    page: bool = False


Judgement = Mapping[str, Judged]


@dataclass(frozen=True)
class Known:
    """What a judge may learn from: rows in time order, their categories, and how we build and count them."""

    title: str
    columns: Columns
    categories: frozenset[str]
    window_rows: int
    build: Callable[[], Reference]
    count: Callable[[Reference, Columns], Counts]


class Judge(Protocol):
    """Rules fitted to a reference."""

    def judge(self, columns: Columns, start_ms: int | None = None) -> Judgement:
        """Judge the next window by every rule."""
        ...

    def fork(self) -> Judge:
        """Return a judge that goes on from here by itself."""
        ...


class Panel(Protocol):
    """Rules to be fitted."""

    def fit(self, known: Known) -> Judge:
        """Return the rules fitted to a reference."""
        ...


class OwnPanel:
    """The monitor with the options of each rule."""

    def __init__(self, rules: Rules = RULES) -> None:
        self._rules = rules

    def fit(self, known: Known) -> OwnJudge:
        """Build the reference."""
        reference = known.build()
        monitors = {rule: Monitor(reference, **options) for rule, options in self._rules.items()}
        return OwnJudge(self._rules, reference, known.count, monitors)


class OwnJudge:
    """Monitors of one reference; a window is counted once for all of them."""

    def __init__(
        self,
        rules: Rules,
        reference: Reference,
        count: Callable[[Reference, Columns], Counts],
        monitors: Mapping[str, Monitor],
    ) -> None:
        self._rules = rules
        self._reference = reference
        self._count = count
        self._monitors = monitors

    def judge(self, columns: Columns, start_ms: int | None = None) -> Judgement:
        """Count the window and show it to every monitor."""
        counts = self._count(self._reference, columns)
        return {
            rule: _judged(monitor.update_counts(counts, timestamp_ms=start_ms))
            for rule, monitor in self._monitors.items()
        }

    def fork(self) -> OwnJudge:
        """Return monitors with the same state."""
        monitors = {
            rule: Monitor.from_bytes(monitor.to_bytes(), self._reference, **self._rules[rule])
            for rule, monitor in self._monitors.items()
        }
        return OwnJudge(self._rules, self._reference, self._count, monitors)


def _judged(verdict: Verdict) -> Judged:
    return Judged(
        verdict.drifted, frozenset(verdict.drifted_names), verdict.new_episode, verdict.severity == "page"
    )


class Bank:
    """Several panels beside each other on the same windows."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        self._panels = panels

    def fit(self, known: Known) -> BankJudge:
        """Fit every panel."""
        return BankJudge([panel.fit(known) for panel in self._panels])


class BankJudge:
    """The judges of several panels."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = judges

    def judge(self, columns: Columns, start_ms: int | None = None) -> Judgement:
        """Return the word of every rule of every judge."""
        words: dict[str, Judged] = {}
        for judge in self._judges:
            words |= judge.judge(columns, start_ms)
        return words

    def fork(self) -> BankJudge:
        """Fork every judge."""
        return BankJudge([judge.fork() for judge in self._judges])


@dataclass
class Alarms:
    """Windows judged, and those with an alarm, a new episode or a page."""

    windows: int = 0
    alarms: int = 0
    episodes: int = 0
    pages: int = 0

    def add(self, judged: Judged) -> None:
        """Count one more window."""
        self.windows += 1
        self.alarms += judged.drifted
        self.episodes += judged.new_episode
        self.pages += judged.page

    def summary(self) -> dict[str, int | float]:
        """Return the numbers, and alarms per 1000 windows."""
        return {**asdict(self), "per_1000": round(1000.0 * self.alarms / max(self.windows, 1), 2)}


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
        """Return the share found, the median and 95 % delay in windows, alarms and wrong names."""
        found = sorted(delay for delay in self.delays if delay is not None)
        return {
            "runs": len(self.delays),
            "found_percent": round(100.0 * len(found) / len(self.delays), 1),
            "median_delay": median(found) if found else None,
            "p95_delay": float(np.quantile(found, 0.95)) if found else None,
            "alarms": self.alarms,
            "wrong_names": self.wrong,
            "wrong_per_alarm": round(self.wrong / max(self.alarms, 1), 3),
        }
