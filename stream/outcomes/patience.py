"""Patience: when enough labels of a slice have come to judge it. Pure and deterministic.

A slice is judged when nearly as many of its predictions have their label as usually have in the end. One
whose labels stay away is judged all the same after twice the time that labels usually take: a model whose
labels take weeks is not judged without them, and one whose labels stop is not waited for until the horizon.
"""

from __future__ import annotations

import math

import msgspec

from detectors.performance.delays import DelayCounts
from stream.outcomes.panes import StratumOutcomes
from stream.outcomes.records import LabelRules

READY = 0.8
"""Part of the labels that usually come which must be there."""
TIMES_USUAL = 2.0
MEMORY_WINDOWS = 1000
"""What usually comes is the mean of so many final windows, older ones fading out."""


class PatienceState(msgspec.Struct, array_like=True):
    """Predictions and labels of windows that were final, and the delays of labels that were judged."""

    predictions: float = 0.0
    labelled: float = 0.0
    delays: bytes = b""


class Patience:
    """Knows how many labels come, and after how long."""

    def __init__(self, rules: LabelRules) -> None:
        self._rules = rules
        self._predictions = 0.0
        self._labelled = 0.0
        self._delays = DelayCounts()

    @property
    def longest_ms(self) -> int:
        """How long after its end a slice is waited for; the horizon while nothing is known."""
        rules, usual = self._rules, self._delays.quantile(0.95) if self._delays.n else None
        if usual is None:
            return rules.horizon_ms
        return min(rules.horizon_ms, max(rules.settle_ms, round(TIMES_USUAL * usual.value_ms)))

    def is_enough(self, outcomes: StratumOutcomes, *, waited_ms: int) -> bool:
        """Whether a slice can be judged, ``waited_ms`` after its end.

        Where silence is an answer, once it is one: before, most labels are those of the other class.
        """
        if self._rules.negative is not None:
            return waited_ms >= self._rules.negative_after_ms
        usual = self._labelled / self._predictions if self._predictions else 1.0
        enough = math.floor(READY * usual * outcomes.predictions)
        return outcomes.labelled >= enough or waited_ms >= self.longest_ms

    def judged(self, outcomes: StratumOutcomes) -> None:
        """Learn from a slice that was judged how long labels take."""
        self._delays.merge(outcomes.delays)

    def final(self, predictions: int, labelled: int) -> None:
        """Learn from a window that is final how many labels come."""
        fade = 1.0 - 1.0 / MEMORY_WINDOWS
        self._predictions = self._predictions * fade + predictions
        self._labelled = self._labelled * fade + labelled

    def snapshot(self) -> PatienceState:
        """What is stored."""
        return PatienceState(self._predictions, self._labelled, self._delays.to_bytes())

    def restore(self, state: PatienceState) -> None:
        """Take up a snapshot. Raises :class:`detectors.DetectorError` when its bytes fail a check."""
        self._predictions, self._labelled = state.predictions, state.labelled
        self._delays = DelayCounts.from_bytes(state.delays) if state.delays else DelayCounts()
