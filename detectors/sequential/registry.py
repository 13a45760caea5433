"""Detectors by name, as a configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectors.sequential.error_monitor import ErrorMonitor
from detectors.sequential.options import Option, checked_options
from detectors.sequential.protocol import SequentialDetector
from detectors.sequential.river_catalog import RIVER
from detectors.sequential.river_detector import RiverDetector
from detectors.sequential.scalar_monitor import ScalarMonitor

_DEFAULTS: Mapping[str, Mapping[str, Option]] = {
    "error_scan": {"arl": 1_000_000.0},
    "mean_scan": {"arl": 100_000.0, "min_effect": 0.01},
    **{name: kind.options for name, kind in RIVER.items()},
}
DETECTOR_NAMES = tuple(_DEFAULTS)


def make_detector(name: str, **options: Option) -> SequentialDetector:
    """Return a new detector: ``error_scan``, ``mean_scan`` or one of river's.

    The first is the default for errors and other zeros and ones, the second for real values. Raises
    ``ValueError`` for an unknown name or option, or a value that the option cannot have.

    >>> make_detector("page_hinkley", threshold=20.0).update([0.0] * 100 + [1.0] * 60)
    [122]
    """
    checked = _checked(name, options)
    if name == "error_scan":
        return ErrorMonitor(**checked)
    if name == "mean_scan":
        return ScalarMonitor(**checked)
    return RiverDetector(name, **checked)


def restore_detector(name: str, data: bytes, **options: Option) -> SequentialDetector:
    """Return the detector whose :meth:`SequentialDetector.to_bytes` wrote ``data``.

    Raises :class:`detectors.CorruptBytes` for bytes that are not its state, and
    :class:`detectors.MismatchError` for the state of a river detector with other options. Our own take a new
    ``arl`` over: it is no part of what they know.
    """
    checked = _checked(name, options)
    if name == "error_scan":
        return ErrorMonitor.from_bytes(data, **checked)
    if name == "mean_scan":
        return ScalarMonitor.from_bytes(data, **checked)
    return RiverDetector.from_bytes(data, name, **checked)


def _checked(name: str, options: Mapping[str, Option]) -> dict[str, Any]:
    if name not in _DEFAULTS:
        raise ValueError(f"detector {name!r} is unknown: use one of {', '.join(DETECTOR_NAMES)}")
    limits = RIVER[name].limits if name in RIVER else {}
    return checked_options(name, options, _DEFAULTS[name], limits)
