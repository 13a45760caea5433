r"""Distances and tests between a reference and a window as the peers define them, made fast.

Samples are sorted and without missing values. Each function says which call of scipy it equals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import chi2, kstwo

Floats = NDArray[np.float64]
FLOOR = 1e-4


class Test(NamedTuple):
    """A test by its statistic: p < alpha where the statistic exceeds the critical value."""

    statistic: float
    critical: Callable[[float], float]

    def rejects(self, alpha: float) -> bool:
        """Tell whether the p-value is below ``alpha``."""
        return self.statistic > self.critical(alpha)


def kolmogorov_smirnov(known: Floats, drawn: Floats) -> Test:
    """Two-sample test; equals ``scipy.stats.ks_2samp(known, drawn, method="asymp")``."""
    upper = _cdf(known, drawn, "right") - _cdf(drawn, drawn, "right")
    lower = _cdf(known, drawn, "left") - _cdf(drawn, drawn, "left")
    rows = round(known.size * drawn.size / (known.size + drawn.size))
    return Test(float(max(np.abs(upper).max(), np.abs(lower).max())), partial(_ks_critical, rows))


def _cdf(sample: Floats, at: Floats, side: str) -> Floats:
    return np.searchsorted(sample, at, side="left" if side == "left" else "right") / sample.size


@lru_cache(maxsize=4096)
def _ks_critical(rows: int, alpha: float) -> float:
    return float(kstwo.isf(alpha, rows))


def chi_square(known: Floats, drawn: Floats) -> Test:
    """Homogeneity of two rows of counts; equals ``scipy.stats.chi2_contingency``, Yates included."""
    seen = (known + drawn) > 0
    table = np.stack((known[seen], drawn[seen]))
    freedom = table.shape[1] - 1
    if freedom == 0:
        return Test(0.0, partial(_chi_square_critical, 1))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    gap = np.abs(table - expected)
    if freedom == 1:
        gap -= np.minimum(0.5, gap)
    return Test(float((gap**2 / expected).sum()), partial(_chi_square_critical, freedom))


@lru_cache(maxsize=4096)
def _chi_square_critical(freedom: int, alpha: float) -> float:
    return float(chi2.isf(alpha, freedom))


@dataclass(frozen=True)
class Integral:
    """The empirical distribution function F of a sorted sample and its integral, in log time."""

    values: Floats
    sums: Floats

    @classmethod
    def of(cls, values: Floats) -> Integral:
        """Take a sorted sample."""
        return cls(values, np.concatenate(([0.0], np.cumsum(values))))

    def up_to(self, x: Floats) -> Floats:
        """Integrate F from minus infinity to ``x``."""
        below = np.searchsorted(self.values, x, side="right")
        return (below * x - self.sums[below]) / self.values.size


def wasserstein(known: Integral, drawn: Floats) -> float:
    r"""First Wasserstein distance, :math:`\int |F - G|`; equals ``scipy.stats.wasserstein_distance``.

    Between two drawn values G is constant and F rises, so F crosses G once at most.
    """
    values, size = known.values, known.values.size
    level = np.arange(1, drawn.size) / drawn.size
    start, end = drawn[:-1], drawn[1:]
    position = np.clip(np.ceil(level * size - 1e-9).astype(np.intp) - 1, 0, size - 1)
    cross = np.clip(values[position], start, end)
    at_cross = known.up_to(cross)
    under = level * (cross - start) - (at_cross - known.up_to(start))
    over = (known.up_to(end) - at_cross) - level * (end - cross)
    beyond = np.searchsorted(values, drawn[-1], side="right")
    right = (known.sums[-1] - known.sums[beyond] - (size - beyond) * drawn[-1]) / size
    return float(under.sum() + over.sum() + known.up_to(drawn[:1])[0] + right)


def jensen_shannon(p: Floats, q: Floats, base: float) -> float:
    """Distance of two rows of shares; equals ``scipy.spatial.distance.jensenshannon(p, q, base)``."""
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2.0
    divergence = (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2.0 / np.log(base)
    return float(np.sqrt(max(divergence, 0.0)))


def population_stability(p: Floats, q: Floats) -> float:
    r"""PSI, :math:`\sum (q - p) \ln(q / p)`, with no share taken for less than 0.0001."""
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())
