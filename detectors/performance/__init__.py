"""Realized performance: outcomes (predictions with their labels) counted exactly, mergeable in any order.

:class:`PerformanceCounts` judges classes, values and rankings; :class:`DetectionCounts` boxes;
:class:`CatalogueCounts` what a recommender shows; :class:`ValueCounts` what outcomes were worth;
:class:`DelayCounts` how late labels come.
"""

from __future__ import annotations

from detectors.performance.box_matching import Detections
from detectors.performance.catalogue import CatalogueCounts
from detectors.performance.counts import PerformanceCounts
from detectors.performance.delays import DelayCounts
from detectors.performance.detection import DetectionCounts, DetectionSpec
from detectors.performance.spec import Outcomes, PerformanceSpec
from detectors.performance.values import ValueCounts

__all__ = [
    "CatalogueCounts",
    "DelayCounts",
    "DetectionCounts",
    "DetectionSpec",
    "Detections",
    "Outcomes",
    "PerformanceCounts",
    "PerformanceSpec",
    "ValueCounts",
]
