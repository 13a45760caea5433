"""Realized performance: outcomes (predictions with their labels) counted exactly, mergeable in any order."""

from __future__ import annotations

from detectors.performance.counts import PerformanceCounts
from detectors.performance.spec import Outcomes, PerformanceSpec

__all__ = ["Outcomes", "PerformanceCounts", "PerformanceSpec"]
