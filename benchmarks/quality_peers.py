"""The peers as judges of the same windows: the default rules of libraries, plain tests, ADWIN per column.

Every rule says in one sentence what it is. None of them has a memory between windows but ADWIN.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from benchmarks.quality_judges import Columns, Judged, Judgement, Known
from benchmarks.quality_peers_columns import KnownTable, Said

Words = Mapping[str, Said]
ADWIN_COLUMNS = 20


@dataclass(frozen=True)
class Rule:
    """A peer's rule: its row in the tables, the sentence that states it, the columns that it names."""

    title: str
    statement: str
    names: Callable[[Words], frozenset[str]]


def _tests(level: float, *, corrected: bool, holes: bool = True) -> Callable[[Words], frozenset[str]]:
    def names(words: Words) -> frozenset[str]:
        alpha = level / len(words) if corrected else level
        return frozenset(
            name for name, said in words.items() if (holes or not said.holes) and said.test.rejects(alpha)
        )

    return names


def _evidently(words: Words) -> frozenset[str]:
    return frozenset(name for name, said in words.items() if said.evidently)


def _half(words: Words) -> frozenset[str]:
    names = _evidently(words)
    return names if len(names) / len(words) >= 0.5 else frozenset()


def _nannyml(words: Words) -> frozenset[str]:
    return frozenset(name for name, said in words.items() if said.nannyml)


def _psi(words: Words) -> frozenset[str]:
    return frozenset(name for name, said in words.items() if said.psi > 0.2)


RULES = (
    Rule(
        "KS p<.05",
        "two-sample Kolmogorov-Smirnov test, asymptotic; chi-square of categories: any column p < .05",
        _tests(0.05, corrected=False),
    ),
    Rule(
        "KS Bonferroni .001",
        "the same tests: any column p < .001 / columns (our false alarms, about)",
        _tests(0.001, corrected=True),
    ),
    Rule(
        "PSI>.2",
        "population stability index on 10 reference quantiles or the categories, shares >= .0001:"
        " any column > .2",
        _psi,
    ),
    Rule(
        "alibi-detect",
        "alibi-detect {alibi-detect} TabularDrift, p_val .05, Bonferroni: the window drifted;"
        " columns p < .05 / columns",
        _tests(0.05, corrected=True, holes=False),
    ),
    Rule(
        "Evidently any",
        "Evidently {evidently} DataDriftPreset, default methods (normed Wasserstein, Jensen-Shannon >= .1):"
        " any column drifted",
        _evidently,
    ),
    Rule(
        "Evidently share",
        "Evidently {evidently} DataDriftPreset, its dataset drift: share of drifted columns >= .5",
        _half,
    ),
    Rule(
        "NannyML JS",
        "NannyML {nannyml} UnivariateDriftCalculator, defaults (Jensen-Shannon, mean + 3 sd of the"
        " reference's chunks), chunk = window: any column alerts",
        _nannyml,
    ),
)
ADWIN_TITLE = "river ADWIN"
ADWIN_STATEMENT = (
    f"river {version('river')} ADWIN, defaults, one per numeric column, fed row by row from the reference on:"
    f" any column detects in the window (up to {ADWIN_COLUMNS} columns)"
)


class PeerPanel:
    """The stateless rules; ``seen`` is shown the reference, and then every window with its words."""

    def __init__(self, seen: Callable[[Known], Callable[[Columns, Words], None]] | None = None) -> None:
        self._seen = seen

    def fit(self, known: Known) -> PeerJudge:
        """Prepare the reference's columns."""
        table = KnownTable.of(known.columns, known.categories, known.window_rows)
        return PeerJudge(table, None if self._seen is None else self._seen(known))


class PeerJudge:
    """The rules on one reference; an alarm after a window without one is a new episode."""

    def __init__(
        self,
        table: KnownTable,
        seen: Callable[[Columns, Words], None] | None,
        alarmed: frozenset[str] = frozenset(),
    ) -> None:
        self._table = table
        self._seen = seen
        self._alarmed = alarmed

    def judge(self, columns: Columns, start_ms: int | None = None) -> Judgement:  # noqa: ARG002
        """Let every rule judge the window; hours are nothing to them."""
        words = self._table.judge(columns)
        if self._seen is not None:
            self._seen(columns, words)
        named = {rule.title: rule.names(words) for rule in RULES}
        judged = {
            title: Judged(bool(names), names, bool(names) and title not in self._alarmed)
            for title, names in named.items()
        }
        self._alarmed = frozenset(title for title, names in named.items() if names)
        return judged

    def fork(self) -> PeerJudge:
        """Return a judge on the same reference."""
        return PeerJudge(self._table, self._seen, self._alarmed)


class AdwinPanel:
    """ADWIN on the numeric columns, where there are not too many of them."""

    def fit(self, known: Known) -> AdwinJudge:
        """Feed the reference, row by row."""
        if len(known.columns) > ADWIN_COLUMNS:
            return AdwinJudge(None)
        judge = AdwinJudge({name: ADWIN() for name in known.columns if name not in known.categories})
        judge.judge(known.columns)
        return judge


class AdwinJudge:
    """One ADWIN a column; ``None``: it does not judge this stream."""

    def __init__(self, detectors: Mapping[str, ADWIN] | None, *, alarmed: bool = False) -> None:
        self._detectors = detectors
        self._alarmed = alarmed

    def judge(self, columns: Columns, start_ms: int | None = None) -> Judgement:  # noqa: ARG002
        """Feed a window's rows."""
        if self._detectors is None:
            return {}
        names = frozenset(
            name for name, detector in self._detectors.items() if _detects(detector, columns[name])
        )
        judged = Judged(bool(names), names, bool(names) and not self._alarmed)
        self._alarmed = judged.drifted
        return {ADWIN_TITLE: judged}

    def fork(self) -> AdwinJudge:
        """Return detectors with the same state."""
        return AdwinJudge(copy.deepcopy(self._detectors), alarmed=self._alarmed)


def _detects(detector: ADWIN, values: NDArray[Any]) -> bool:
    numbers = values.astype(np.float64)
    found = False
    for value in numbers[~np.isnan(numbers)].tolist():
        detector.update(value)
        found |= detector.drift_detected
    return found


def statements(versions: Mapping[str, str]) -> dict[str, str]:
    """Return what every rule is, with the versions of the libraries filled in."""
    stated = {rule.title: rule.statement for rule in RULES}
    for name, number in versions.items():
        stated = {title: text.replace(f"{{{name}}}", number) for title, text in stated.items()}
    return {**stated, ADWIN_TITLE: ADWIN_STATEMENT}
