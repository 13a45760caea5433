"""Performance without labels, and what a reference with labels knows of it.

:class:`Estimator` estimates a window's performance from its counts; :func:`disagreement` compares that with
labels once they come; :class:`TrackRecord` keeps how far estimates were off; :class:`PerformanceMonitor`
follows realized performance from window to window.
"""

from __future__ import annotations

from detectors.estimation.degradation import Degradation, PerformanceMonitor
from detectors.estimation.disagreement import LOWER_IS_BETTER, Disagreement, disagreement
from detectors.estimation.disagreement_monitor import DisagreementMonitor
from detectors.estimation.estimator import Estimate, Estimator
from detectors.estimation.table import MetricVariation, PerformanceEntry
from detectors.estimation.track_record import Score, TrackRecord

__all__ = [
    "LOWER_IS_BETTER",
    "Degradation",
    "Disagreement",
    "DisagreementMonitor",
    "Estimate",
    "Estimator",
    "MetricVariation",
    "PerformanceEntry",
    "PerformanceMonitor",
    "Score",
    "TrackRecord",
    "disagreement",
]
