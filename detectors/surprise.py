"""How far an observed effect lies beyond a tolerated one, in standard errors: entry by entry, flat arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.scores import Components
from detectors.significance import signed_root_binomial, unskewed

Floats = NDArray[np.float64]


class Entries(NamedTuple):
    """Effects to be judged: their components, pooled sums and rows; what is tolerated; extra variance."""

    component: NDArray[np.intp]
    x: Floats
    total: Floats
    n: Floats
    tolerated: Floats
    extra: Floats

    def part(self, chosen: NDArray[np.bool_]) -> Entries:
        """Return some of the entries."""
        return Entries(
            component=self.component[chosen],
            x=self.x[chosen],
            total=self.total[chosen],
            n=self.n[chosen],
            tolerated=self.tolerated[chosen],
            extra=self.extra[chosen],
        )


class Surprise(NamedTuple):
    """Standard errors beyond the tolerated effect, and beyond it on the other side of zero."""

    near: Floats
    far: Floats


def surprise(entries: Entries, scores: Components) -> Surprise:
    """Judge entries whose effect is larger than what is tolerated."""
    hits = scores.is_indicator[entries.component]
    if not hits.any():
        return _smooth(entries, scores)
    near, far = np.empty(hits.size), np.empty(hits.size)
    near[hits], far[hits] = _indicator(entries.part(hits), scores)
    near[~hits], far[~hits] = _smooth(entries.part(~hits), scores)
    return Surprise(near, far)


def _smooth(e: Entries, scores: Components) -> Surprise:
    """Standardised distance of polynomial components, with the skewness of their scores taken out."""
    m = np.maximum(scores.reference.n[e.component], 1.0)
    error = np.sqrt(1.0 / e.n + 1.0 / m + e.extra)
    skew = scores.skew[e.component] * (1.0 / e.n**2 - 1.0 / m**2) / error**3
    near = np.abs(unskewed(np.sign(e.x) * (np.abs(e.x) - e.tolerated) / error, skew))
    return Surprise(near, near + 2.0 * e.tolerated / error)


def _indicator(e: Entries, scores: Components) -> Surprise:
    """Likelihood ratio of the cell's hits against the reference's, shares apart by what is tolerated.

    Variance beyond the binomial shrinks the root by the ratio of the standard errors.
    """
    m, r = scores.reference.n[e.component], scores.reference.total[e.component]
    unit = scores.scale[e.component]
    k = np.clip(e.total, 0.0, e.n)
    root = signed_root_binomial(k, e.n, r, m, apart=np.sign(e.x) * e.tolerated * unit)
    share = (k + r) / np.maximum(e.n + m, 1.0)
    noise = share * (1.0 - share) * (1.0 / e.n + 1.0 / np.maximum(m, 1.0)) / unit**2
    whole = noise + e.extra
    shrink = np.sqrt(np.divide(noise, whole, out=np.ones_like(noise), where=whole > 0))
    near = np.maximum(root * np.sign(e.x), 0.0) * shrink
    error = np.sqrt(np.maximum(whole, np.finfo(np.float64).tiny))
    return Surprise(near, near + 2.0 * e.tolerated / error)


def binomial_variance(x: Floats, scores: Components) -> Floats:
    """Variance of one row's indicator at effect ``x``, in effect units; 1 for other components."""
    share = np.clip(scores.share + x * scores.scale, 0.0, 1.0)
    return np.where(scores.is_indicator, share * (1.0 - share) / scores.scale**2, 1.0)
