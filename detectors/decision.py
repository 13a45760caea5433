r"""Decision: which columns drifted, given a false-alarm budget per model.

Every score component is averaged over the last 1, 2, 4, 8 and 16 slices. Its distance from "at most
``min_effect`` away" is put over what the reference says is normal (sampling noise, between-window variance,
season), and turned into a tail probability. The smallest one of a column, times the number of lookbacks and
the component's multiplicity, is the column's p-value; Benjamini and Hochberg at :math:`q = 0.8/\mathrm{ARL}`
over the columns then gives at most one false alarm in ``arl`` slices.

These are union bounds, and thresholds simulated from the reference would not be lower: components are
uncorrelated, and so far out even nested lookbacks exceed a level one at a time (of 5, 4.8 count).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import Variation
from detectors.scores import Components, Sums
from detectors.significance import (
    benjamini_hochberg,
    critical_value,
    signed_root_binomial,
    student_tail,
    unskewed,
)
from detectors.slots import slot

Floats = NDArray[np.float64]

LOOKBACKS = (1, 2, 4, 8, 16)
BUDGET_SHARE = 0.8
"""Part of the false-alarm budget that single columns may use; the rest belongs to pairs of columns."""
Correction = Callable[[Floats, float], tuple[NDArray[np.bool_], float]]
AGREEMENT = 2.5


class Judgement(NamedTuple):
    """One entry a column: verdict, corrected p-value, and the component and lookback behind it."""

    drifted: NDArray[np.bool_]
    p_value: Floats
    effect: Floats
    threshold: Floats
    component: NDArray[np.intp]
    lookback: NDArray[np.intp]
    integrity: NDArray[np.bool_]


class _Look(NamedTuple):
    """What several lookbacks (L of them) see: the pooled slices, their effects, z and p, all ``(L, M)``."""

    looks: NDArray[np.intp]
    pooled: Sums
    x: Floats
    z: Floats
    p: Floats


class Decision:
    """Judges the latest slices of score sums. Holds no state: the slices are given.

    Parameters
    ----------
    scores, variation
        From the reference.
    min_effect
        Smallest effect that matters, per column ``(d,)``: part of the null hypothesis, not a filter after it.
    arl
        Average run length: slices between false alarms, at least.
    lookbacks
        Numbers of slices to pool.
    share, correction
        Part of the budget to spend, and how it is divided among the columns.
    """

    def __init__(
        self,
        scores: Components,
        variation: Variation,
        *,
        min_effect: Floats,
        arl: float,
        lookbacks: Sequence[int] = LOOKBACKS,
        share: float = BUDGET_SHARE,
        correction: Correction = benjamini_hochberg,
    ) -> None:
        self.scores = scores
        self.variation = variation
        self.lookbacks = tuple(sorted(set(lookbacks)))
        self._budget = share / arl
        self._correction = correction
        self._eps = np.asarray(min_effect, dtype=np.float64)[scores.owner]
        self._follows = (scores.location >= 0) & (variation.tau2[scores.location] > 0)
        self._looks = scores.multiplicity * len(self.lookbacks)

    def deseason(self, sums: Sums, timestamp_ms: int | None) -> Sums:
        """Take the season of the slice's hour out of its sums, where both are known."""
        if timestamp_ms is None or not self.variation.days:
            return sums
        expected = self.variation.profile[:, slot(timestamp_ms)] * self.scores.scale
        total = sums.total - sums.n * expected
        hits = self.scores.is_indicator
        return Sums(np.where(hits, np.clip(total, 0.0, sums.n), total), sums.n)

    def judge(self, slices: Sequence[Sums]) -> Judgement:
        """Judge the newest of ``slices`` (oldest first, seasons taken out) with those before it."""
        look = self._look(slices)
        return self._per_column(look, self._lasting(look))

    def alarm(self, slices: Sequence[Sums]) -> Judgement | None:
        """Do what :meth:`judge` does, in half of the time: ``None`` where nothing can have drifted."""
        look = self._look(slices)
        if not np.any(look.p * self._looks <= self._budget):
            return None
        return self._per_column(look, self._lasting(look))

    def _look(self, slices: Sequence[Sums]) -> _Look:
        total, n = np.array([s.total for s in slices]), np.array([s.n for s in slices])
        looks = np.array([look for look in self.lookbacks if look <= len(slices)])
        pooled = Sums(
            np.array([total[-look:].sum(axis=0) for look in looks]),
            np.array([n[-look:].sum(axis=0) for look in looks]),
        )
        x = self.scores.effects(pooled)
        z = self._surprise(pooled, x, looks)
        return _Look(looks, pooled, x, z, student_tail(z, self.variation.dof))

    def _lasting(self, look: _Look) -> Floats:
        """Return the p-values, 1 where what was seen has ended."""
        return np.where(self._recent_agree(look.pooled, look.x, look.looks), look.p, 1.0)

    def smallest_effects(self, rows: int, slices: int) -> Floats:
        """Return the effect of each column found in half of the cases after ``slices`` slices of ``rows``.

        Of a numeric column in its location, of a categorical one in its most frequent category.
        """
        first = np.searchsorted(self.scores.owner, np.arange(len(self.scores.per_column)))
        look = max((look for look in self.lookbacks if look <= slices), default=self.lookbacks[0])
        share, unit = self.scores.share[first], self.scores.scale[first]
        variance = np.where(self.scores.is_indicator[first], share * (1.0 - share) / unit**2, 1.0)
        known = np.maximum(self.scores.reference.n[first], 1.0)
        wander = self._wander(np.array([look]), np.array([float(rows * look)]))[0][first]
        noise = variance * (1.0 / (rows * look) + 1.0 / known) + wander
        level = self._budget / max(len(self.scores.per_column), 1) / self._looks[first]
        effects: Floats = self._eps[first] + critical_value(level, self.variation.dof[first]) * np.sqrt(noise)
        return effects

    def _surprise(self, pooled: Sums, x: Floats, looks: NDArray[np.intp]) -> Floats:
        """How far ``x`` lies beyond ``min_effect``, in standard errors (>= 0), per lookback and component."""
        beyond = np.maximum(np.abs(x) - self._eps - self._of_location(x), 0.0)
        extra = self._wander(looks, pooled.n.max(axis=1, initial=0.0))
        smooth = _smooth_surprise(x, beyond, pooled, self.scores, extra)
        if not self.scores.is_indicator.any():
            return np.where(beyond > 0, smooth, 0.0)
        rare = _indicator_surprise(x, self._eps, pooled, self.scores, extra)
        return np.where(beyond > 0, np.where(self.scores.is_indicator, rare, smooth), 0.0)

    def _of_location(self, x: Floats) -> Floats:
        r"""What a shift does to the scale, skew and tails of a column whose location wanders by itself.

        A shift of D moves the degree-k Hermite mean of a normal by :math:`D^k/\sqrt{k!} < D^2` (k > 1, D <
        1). The squares of what wanders have tails that their variance does not tell.
        """
        return np.where(self._follows, x[:, self.scores.location] ** 2, 0.0)

    def _wander(self, looks: NDArray[np.intp], rows: Floats) -> Floats:
        r"""Variance beyond sampling noise of a mean over L slices with ``rows`` in all.

        :math:`\tau^2 (\min(I, L)/L + I/B)`, and for a season estimated from D days
        :math:`(v/n + \tau^2)/(D L)` on top. Slices smaller than the chunks that :math:`\tau^2` was
        learned from count as parts of one: what varies within a chunk is unknown, and taken for noise.
        """
        v = self.variation
        look = np.minimum(looks, np.maximum(rows, 1.0) / v.rows)[:, None]
        wander: Floats = v.tau2 * (np.minimum(v.inertia, np.maximum(look, 1.0)) / look + v.inertia / v.chunks)
        if v.days:
            wander = wander + np.where(v.seasonal, (v.noise + v.tau2) / (v.days * look), 0.0)
        return wander

    def _recent_agree(self, pooled: Sums, x: Floats, looks: NDArray[np.intp]) -> NDArray[np.bool_]:
        r"""Tell which lookbacks hold a drift that still lasts: every shorter one must not be clearly back.

        The mean of the last l of L slices may fall short of the mean of all L by 2.5 standard errors of
        that difference, :math:`v (1/n_l - 1/n_L) + \tau^2 \min(I, l)/l`. To ask the newest slice alone is not
        enough: one slice is noisier than the little that a short piece of an old drift leaves in 16.
        """
        unit = np.where(self.scores.is_indicator, _binomial_variance(x, self.scores), 1.0)
        wander = self.variation.tau2 * np.minimum(self.variation.inertia, looks[:, None]) / looks[:, None]
        share = 1.0 / np.maximum(pooled.n, 1.0)
        agrees = np.ones(x.shape, dtype=np.bool_)
        for short in range(len(looks) - 1):
            longer = slice(short + 1, None)
            noise = unit[longer] * (share[short] - share[longer]) + wander[short]
            fallen = (x[longer] - x[short]) * np.sign(x[longer])
            agrees[longer] &= (fallen <= AGREEMENT * np.sqrt(noise)) & (pooled.n[short] > 0)
        return agrees

    def _per_column(self, look: _Look, p: Floats) -> Judgement:
        looks, x, z = look.looks, look.x, look.z
        corrected = p * self._looks
        row, component = _strongest(corrected, z, self.scores.owner)
        p_value = np.minimum(corrected[row, component], 1.0)
        drifted, level = self._correction(p_value, self._budget)
        effect, observed = np.abs(x[row, component]), z[row, component]
        needed = critical_value(level / self._looks[component], self.variation.dof[component])
        eps = self._eps[component]
        # Where something moved, its own standard error; it holds what small counts and skewness add.
        v = self.variation
        error = np.sqrt(v.noise + self._wander(looks[:1], np.array([v.rows * 1.0]))[0])[component]
        error = np.divide(effect - eps, observed, out=error, where=observed > 0)
        above = (corrected <= level) & (x > 0) & self.scores.integrity
        integrity = np.zeros(drifted.size, dtype=np.bool_)
        integrity[self.scores.owner[np.any(above, axis=0)]] = True
        return Judgement(
            drifted, p_value, effect, eps + needed * error, component, looks[row], integrity & drifted
        )


def _strongest(p: Floats, z: Floats, owner: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lookback row and component with the smallest p-value of each column; among equals the largest z."""
    owners = np.tile(owner, len(p))
    order = np.lexsort((-z.ravel(), p.ravel(), owners))
    first = order[np.searchsorted(owners[order], np.arange(int(owner.max(initial=-1)) + 1))]
    row, component = np.divmod(first, p.shape[1])
    return row, component


def _smooth_surprise(x: Floats, beyond: Floats, pooled: Sums, scores: Components, extra: Floats) -> Floats:
    """Standardised distance of polynomial components, with the skewness of their scores taken out."""
    n, m = np.maximum(pooled.n, 1.0), np.maximum(scores.reference.n, 1.0)
    error = np.sqrt(1.0 / n + 1.0 / m + extra)
    skew = scores.skew * (1.0 / n**2 - 1.0 / m**2) / error**3
    signed = np.where(pooled.n > 0, np.sign(x) * beyond / error, 0.0)
    return np.abs(unskewed(signed, skew))


def _indicator_surprise(x: Floats, eps: Floats, pooled: Sums, scores: Components, extra: Floats) -> Floats:
    """Likelihood ratio of the cell's hits against the reference's, its share moved by the tolerated effect.

    Variance beyond the binomial shrinks the root by the ratio of the standard errors.
    """
    m = scores.reference.n
    tolerated = np.sign(x) * eps * scores.scale * m
    r = np.where(scores.is_indicator, np.clip(scores.reference.total + tolerated, 0.0, m), 0.0)
    k = np.where(scores.is_indicator, np.clip(pooled.total, 0.0, pooled.n), 0.0)
    root = signed_root_binomial(k, pooled.n, r, m)
    share = (k + r) / np.maximum(pooled.n + m, 1.0)
    noise = (
        share * (1.0 - share) * (1.0 / np.maximum(pooled.n, 1.0) + 1.0 / np.maximum(m, 1.0)) / scores.scale**2
    )
    shrink = np.sqrt(np.divide(noise, noise + extra, out=np.ones_like(noise), where=noise + extra > 0))
    return np.maximum(root * np.sign(x), 0.0) * shrink


def _binomial_variance(x: Floats, scores: Components) -> Floats:
    """Variance of one row's indicator at effect ``x``, in effect units."""
    share = np.clip(scores.share + x * scores.scale, 0.0, 1.0)
    return share * (1.0 - share) / scores.scale**2
