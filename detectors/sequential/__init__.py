"""Detectors on streams of single values: zeros and ones, scores, latencies.

:class:`ErrorMonitor` and :class:`ScalarMonitor` are ours and the defaults; :func:`make_detector` gives them
and river's ADWIN, Page-Hinkley, KSWIN, HDDM_A, HDDM_W, DDM and EDDM by name, behind one interface.
"""

from __future__ import annotations

from detectors.sequential.error_history import BLOCK
from detectors.sequential.error_monitor import ErrorMonitor
from detectors.sequential.protocol import SequentialDetector
from detectors.sequential.registry import DETECTOR_NAMES, make_detector, restore_detector
from detectors.sequential.river_detector import RiverDetector
from detectors.sequential.scalar_monitor import ScalarMonitor

__all__ = [
    "BLOCK",
    "DETECTOR_NAMES",
    "ErrorMonitor",
    "RiverDetector",
    "ScalarMonitor",
    "SequentialDetector",
    "make_detector",
    "restore_detector",
]
