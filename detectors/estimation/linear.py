"""Metrics of a window as functions of group masses, with their derivatives.

A *group* is what the counts of a window tell about a prediction: the cell of its score and the class that
was predicted. ``share`` is the part of the window's rows in each group, ``sums`` the part times the mean
outcome. Every metric here has degree zero in both together, so its derivatives are its influence function
and give its variance (von Mises 1947; the delta method).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Linear(NamedTuple):
    """A linear form of the group masses: ``mass`` ``(G,)`` on the shares, ``sums`` ``(G, U)`` on the sums."""

    mass: Floats
    sums: Floats

    def __add__(self, other: tuple[object, ...]) -> Linear:
        """Add up two forms."""
        if not isinstance(other, Linear):
            return NotImplemented
        return Linear(self.mass + other.mass, self.sums + other.sums)

    def times(self, factor: float) -> Linear:
        """Return the form multiplied by a number."""
        return Linear(self.mass * factor, self.sums * factor)

    def at(self, masses: Masses) -> float:
        """Return the value of the form."""
        return float(self.mass @ masses.share + np.sum(self.sums * masses.sums))


class Masses(NamedTuple):
    """What a window holds, or is expected to: ``share`` ``(G,)`` adds up to 1, ``sums`` is ``(G, U)``."""

    share: Floats
    sums: Floats

    def form(self) -> Linear:
        """Return the form that is zero everywhere."""
        return Linear(np.zeros_like(self.share), np.zeros_like(self.sums))


class Metric(NamedTuple):
    """Value of one metric and its derivative by every mass."""

    value: float
    slope: Linear


def ratio(top: Linear, bottom: Linear, masses: Masses) -> Metric | None:
    """Return the quotient of two forms; ``None`` where the bottom is zero."""
    divisor = bottom.at(masses)
    if divisor <= 1e-12:
        return None
    value = top.at(masses) / divisor
    return Metric(value, (top + bottom.times(-value)).times(1.0 / divisor))


def mean_of(metrics: Mapping[str, Metric], weights: Mapping[str, float]) -> Metric | None:
    """Return the weighted mean; weights are taken as given constants. ``None`` without any."""
    total = sum(weights[name] for name in metrics)
    if not metrics or total <= 0:
        return None
    value, slope = 0.0, next(iter(metrics.values())).slope.times(0.0)
    for name, metric in metrics.items():
        value += metric.value * weights[name] / total
        slope = slope + metric.slope.times(weights[name] / total)
    return Metric(value, slope)
