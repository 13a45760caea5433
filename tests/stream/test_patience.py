from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.performance import PerformanceSpec
from stream.outcomes.fold import Folded, OutcomeRows
from stream.outcomes.panes import StratumOutcomes
from stream.outcomes.patience import Patience
from stream.outcomes.records import LabelRules

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RULES = LabelRules(spec=PerformanceSpec("binary"), horizon_ms=30 * DAY_MS, settle_ms=HOUR_MS)


def outcomes(predictions: int, labelled: int, delay_ms: int = 0) -> StratumOutcomes:
    held = StratumOutcomes.empty(RULES.spec)
    ones, none = np.ones(labelled), np.full(labelled, np.nan)
    rows = OutcomeRows(ones, ones, ones, none, np.full(labelled, delay_ms))
    nothing = OutcomeRows(*[np.empty(0)] * 4, np.empty(0, dtype=np.int64))
    held.apply(Folded(predictions, rows, nothing, np.empty((0, 2)), np.empty((0, 2))), negative=None)
    return held


def test_most_labels_are_enough_and_few_are_waited_for_until_the_horizon() -> None:
    patience = Patience(RULES)
    assert patience.is_enough(outcomes(100, 80), waited_ms=HOUR_MS)
    assert not patience.is_enough(outcomes(100, 79), waited_ms=30 * DAY_MS - 1)
    assert patience.is_enough(outcomes(100, 0), waited_ms=30 * DAY_MS)
    assert patience.is_enough(outcomes(0, 0), waited_ms=HOUR_MS)


def test_what_usually_comes_is_enough() -> None:
    patience = Patience(RULES)
    patience.final(1_000, 50)
    assert patience.is_enough(outcomes(100, 4), waited_ms=HOUR_MS)
    assert not patience.is_enough(outcomes(100, 3), waited_ms=HOUR_MS)


def test_silence_is_waited_for_where_it_is_an_answer() -> None:
    patience = Patience(replace(RULES, negative=0.0, negative_after_ms=7 * DAY_MS))
    assert not patience.is_enough(outcomes(100, 100), waited_ms=7 * DAY_MS - 1)
    assert patience.is_enough(outcomes(100, 2), waited_ms=7 * DAY_MS)


@pytest.mark.parametrize(
    ("usual_ms", "longest_ms"), [(60_000, HOUR_MS), (18 * DAY_MS, 30 * DAY_MS), (5 * DAY_MS, 10 * DAY_MS)]
)
def test_labels_that_stay_away_are_waited_for_twice_as_long_as_usual(usual_ms: int, longest_ms: int) -> None:
    patience = Patience(RULES)
    patience.judged(outcomes(100, 100, usual_ms))
    assert patience.longest_ms == pytest.approx(longest_ms, rel=0.05)
    again = Patience(RULES)
    again.restore(patience.snapshot())
    assert again.longest_ms == patience.longest_ms
    assert again.is_enough(outcomes(100, 0), waited_ms=patience.longest_ms)
    assert not again.is_enough(outcomes(100, 0), waited_ms=patience.longest_ms - 1)
