r"""Coverage: do the labels of a model still come? Blind monitors, for a model nobody can judge any more.

* *Drought*: predictions without a single label, for so long that by the usual coverage c this happens once in
  ``arl`` slices: :math:`(1 - c)^n < 1 / \mathrm{arl}`.
* *Drop*: a slice whose share of labels is below half of the usual one, by more than chance (binomial test,
  normal approximation).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from scipy.special import ndtri

from stream.findings import Finding

LABEL_DROUGHT, COVERAGE_DROP = "label_drought", "coverage_drop"
NEVER_LABELLED = 20
"""Times ``min_predictions`` without a label ever, after which that is told too."""
MEMORY_SLICES = 1000
"""The usual coverage is the mean of so many slices, older ones fading out."""


class CoverageState(msgspec.Struct, array_like=True):
    """Predictions and labels of the slices judged before, and predictions since the last label."""

    predictions: float = 0.0
    labelled: float = 0.0
    dry: int = 0


class Coverage:
    """Watches which share of the predictions has its label.

    Parameters
    ----------
    arl
        Slices between two false alarms.
    min_predictions
        Predictions that a verdict needs.
    """

    def __init__(self, *, arl: float, min_predictions: int) -> None:
        self.state = CoverageState()
        self._log_arl = math.log(arl)
        self._critical = float(-ndtri(1.0 / arl))
        self._min = min_predictions

    def observe(self, predictions: int, labelled: int) -> tuple[dict[str, Finding], dict[str, Any]]:
        """Take in the next slice; what is wrong by alert kind, and the numbers behind it."""
        state = self.state
        usual = state.labelled / state.predictions if state.predictions else 0.0
        state.dry = 0 if labelled else state.dry + predictions
        findings: dict[str, Finding] = {}
        if self._is_drought(usual):
            findings[LABEL_DROUGHT] = Finding(names=[], effect=1.0, severity="page")
        elif predictions >= self._min and self._has_dropped(predictions, labelled, usual / 2.0):
            share = labelled / predictions
            findings[COVERAGE_DROP] = Finding(names=[], effect=1.0 - share / usual, severity="ticket")
        else:
            fade = 1.0 - 1.0 / MEMORY_SLICES
            state.predictions = state.predictions * fade + predictions
            state.labelled = state.labelled * fade + labelled
        return findings, {"predictions": predictions, "labelled": labelled, "usual_coverage": usual}

    def _is_drought(self, usual: float) -> bool:
        dry = self.state.dry
        if usual <= 0.0:
            return dry >= NEVER_LABELLED * self._min
        return dry >= self._min and dry * -math.log1p(-min(usual, 1.0 - 1e-9)) > self._log_arl

    def _has_dropped(self, predictions: int, labelled: int, share: float) -> bool:
        if share <= 0.0:
            return False
        spread = math.sqrt(predictions * share * (1.0 - share))
        return predictions * share - labelled > self._critical * spread
