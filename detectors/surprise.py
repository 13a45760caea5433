"""How far an observed effect lies beyond a tolerated one, in standard errors: entry by entry, flat arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.scores import Components, Sums
from detectors.significance import root_of_shares, unskewed

Floats = NDArray[np.float64]
TINY = float(np.finfo(np.float64).tiny)


class Entries(NamedTuple):
    """Effects to be judged: their components, pooled sums and rows; what is tolerated; extra variance."""

    component: NDArray[np.intp]
    x: Floats
    total: Floats
    n: Floats
    tolerated: Floats
    extra: Floats

    def take(self, chosen: NDArray[np.intp]) -> Entries:
        """Return some of the entries."""
        return Entries(
            component=self.component.take(chosen),
            x=self.x.take(chosen),
            total=self.total.take(chosen),
            n=self.n.take(chosen),
            tolerated=self.tolerated.take(chosen),
            extra=self.extra.take(chosen),
        )


class Surprise(NamedTuple):
    """Standard errors beyond the tolerated effect, and beyond it on the other side of zero."""

    near: Floats
    far: Floats


class Expected:
    """What a reference expects of each component: the other sample of every comparison."""

    def __init__(self, scores: Components) -> None:
        self.scores = scores
        self.is_indicator = np.asarray(scores.is_indicator)
        self._some_indicate = bool(self.is_indicator.any())
        rows = np.maximum(scores.reference.n, 1.0)
        self._per_row, self._per_square = 1.0 / rows, 1.0 / rows**2

    def surprise(self, entries: Entries) -> Surprise:
        """Judge entries whose effect is larger than what is tolerated."""
        if not self._some_indicate:
            return self._smooth(entries)
        hits = self.is_indicator.take(entries.component)
        some, others = hits.nonzero()[0], (~hits).nonzero()[0]
        near, far = np.empty(hits.size), np.empty(hits.size)
        if some.size:
            near[some], far[some] = self._indicator(entries.take(some))
        if others.size:
            near[others], far[others] = self._smooth(entries.take(others))
        return Surprise(near, far)

    def largest(self, pooled: Sums, x: Floats, tolerated: Floats) -> float:
        """Return a bound of what :meth:`surprise` finds of all polynomial effects ``(L, M)``.

        Neither variance beyond sampling nor skewness is taken out, which makes nothing more surprising.
        """
        error = np.sqrt(1.0 / np.maximum(pooled.n, 1.0) + self._per_row)
        z = (np.abs(x) - tolerated) / error
        return float(z.max(initial=0.0))

    def _smooth(self, e: Entries) -> Surprise:
        """Standardised distance of polynomial components, with the skewness of their scores taken out."""
        error = np.sqrt(1.0 / e.n + self._per_row.take(e.component) + e.extra)
        z = np.sign(e.x) * (np.abs(e.x) - e.tolerated) / error
        beyond = 1.0 / e.n**2 - self._per_square.take(e.component)
        near = np.abs(unskewed(z, self.scores.skew.take(e.component) * beyond / error**3))
        return Surprise(near, near + 2.0 * e.tolerated / error)

    def _indicator(self, e: Entries) -> Surprise:
        """Likelihood ratio of the cell's hits against the reference's, shares apart by what is tolerated.

        Variance beyond the binomial shrinks the root by the ratio of the standard errors.
        """
        known = self.scores.reference
        m, r = known.n.take(e.component), known.total.take(e.component)
        unit = self.scores.scale.take(e.component)
        k = np.minimum(np.maximum(e.total, 0.0), e.n)
        root = root_of_shares(e.x < 0, (k, e.n), (r, m), e.tolerated * unit)
        share = (k + r) / (e.n + m)
        noise = share * (1.0 - share) * (1.0 / e.n + self._per_row.take(e.component)) / unit**2
        near = root
        if e.extra.any():
            whole = noise + e.extra
            near = root * np.sqrt(np.divide(noise, whole, out=np.ones(noise.size), where=whole > 0))
            noise = whole
        return Surprise(near, near + 2.0 * e.tolerated / np.sqrt(np.maximum(noise, TINY)))


def binomial_variance(x: Floats, share: Floats, scale: Floats) -> Floats:
    """Variance of one row's indicator at effect ``x``, in effect units."""
    moved = np.minimum(np.maximum(share + x * scale, 0.0), 1.0)
    variance: Floats = moved * (1.0 - moved) / scale**2
    return variance
