"""Drift detectors: numpy arrays in, numbers out; no I/O, no clock, no environment, no logging.

>>> import numpy as np
>>> rng = np.random.default_rng(1)
>>> columns = {"age": rng.normal(size=5000), "plan": ["free", "paid"] * 2500}
>>> reference = Reference.build(columns, window_rows=250)
>>> verdict = Monitor(reference).update({"age": rng.normal(size=250) + 1.0, "plan": ["free", "paid"] * 125})
>>> verdict.drifted, verdict.drifted_names
(True, ('age',))
"""

from __future__ import annotations

from detectors.binning import INVALID, MISSING, UNSEEN, Binning
from detectors.compact import CompactCounts, GrowingCounts
from detectors.counts import Counts
from detectors.errors import BuildError, CorruptBytes, DetectorError, FormatError, MismatchError, NewerBytes
from detectors.monitor import Monitor
from detectors.performance import (
    CatalogueCounts,
    DelayCounts,
    DetectionCounts,
    Detections,
    DetectionSpec,
    Outcomes,
    PerformanceCounts,
    PerformanceSpec,
    ValueCounts,
)
from detectors.reference import Reference
from detectors.sequential import ErrorMonitor, ScalarMonitor
from detectors.verdict import CellChange, FeatureVerdict, PairVerdict, Verdict

__all__ = [
    "INVALID",
    "MISSING",
    "UNSEEN",
    "Binning",
    "BuildError",
    "CatalogueCounts",
    "CellChange",
    "CompactCounts",
    "CorruptBytes",
    "Counts",
    "DelayCounts",
    "DetectionCounts",
    "DetectionSpec",
    "Detections",
    "DetectorError",
    "ErrorMonitor",
    "FeatureVerdict",
    "FormatError",
    "GrowingCounts",
    "MismatchError",
    "Monitor",
    "NewerBytes",
    "Outcomes",
    "PairVerdict",
    "PerformanceCounts",
    "PerformanceSpec",
    "Reference",
    "ScalarMonitor",
    "ValueCounts",
    "Verdict",
]
