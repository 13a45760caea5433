r"""Decision: which columns drifted, given a false-alarm budget per model.

Every score component is averaged over the last 1, 2, 3, 4, 5, 6, 8, 10, 12 and 16 slices. Its distance from
"at most ``min_effect`` away" is put over what the reference says is normal (sampling noise, between-window
variance, season), and turned into a tail probability. The smallest one of a column, times the multiplicities
of its lookback (:mod:`detectors.lookbacks`) and of its component, is the column's p-value; Benjamini and
Hochberg at :math:`q = 0.8/\mathrm{ARL}` over the columns then gives at most one false alarm in ``arl``
slices.

Thresholds simulated from the reference would hardly be lower: with ``min_effect`` 0, rows without drift give
alarms at half of the nominal rate or more, which is 0.15 standard errors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import Variation
from detectors.lookbacks import LOOKBACKS, dependent_multiplicity, independent_multiplicity
from detectors.scores import Components, Sums
from detectors.significance import benjamini_hochberg, interval_critical, interval_tail
from detectors.slots import slot
from detectors.surprise import Entries, binomial_variance, surprise

Floats = NDArray[np.float64]

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
        self._season_error = np.where(
            variation.seasonal, (variation.noise + variation.tau2) / variation.repeats, 0.0
        )
        # One row a lookback: (L, M).
        simple = (variation.tau2 == 0) & ~variation.seasonal
        self._multiplicity = scores.multiplicity * np.where(
            simple,
            independent_multiplicity(self.lookbacks)[:, None],
            dependent_multiplicity(self.lookbacks)[:, None],
        )

    def deseason(self, sums: Sums, timestamp_ms: int | None) -> Sums:
        """Take the season of the slice's hour out of its sums, where both are known."""
        if timestamp_ms is None or not self.variation.days:
            return sums
        expected = (
            self.variation.profile[:, slot(timestamp_ms, self.variation.profile.shape[1])] * self.scores.scale
        )
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
        if not np.any(self._corrected(look.p) <= self._budget):
            return None
        return self._per_column(look, self._lasting(look))

    def _look(self, slices: Sequence[Sums]) -> _Look:
        looks = np.array([look for look in self.lookbacks if look <= len(slices)])
        latest = list(slices)[: -int(looks[-1]) - 1 : -1]
        pooled = Sums(
            np.cumsum([s.total for s in latest], axis=0)[looks - 1],
            np.cumsum([s.n for s in latest], axis=0)[looks - 1],
        )
        x = self.scores.effects(pooled)
        z, p = self._surprise(pooled, x, looks)
        return _Look(looks, pooled, x, z, p)

    def _corrected(self, p: Floats) -> Floats:
        corrected: Floats = p * self._multiplicity[: len(p)]
        return corrected

    def _lasting(self, look: _Look) -> Floats:
        """Return the p-values, 1 where what was seen has ended."""
        seen = np.flatnonzero(np.any(look.z > 0, axis=0))
        p = look.p.copy()
        p[:, seen] = np.where(self._recent_agree(look, seen), p[:, seen], 1.0)
        return p

    def smallest_effects(self, rows: int, slices: int) -> Floats:
        """Return the effect of each column found in half of the cases after ``slices`` slices of ``rows``.

        Of a numeric column in its location, of a categorical one in its most frequent category.
        """
        first = np.searchsorted(self.scores.owner, np.arange(len(self.scores.per_column)))
        row = max(bisect_right(self.lookbacks, slices) - 1, 0)
        look = self.lookbacks[row]
        share, unit = self.scores.share[first], self.scores.scale[first]
        variance = np.where(self.scores.is_indicator[first], share * (1.0 - share) / unit**2, 1.0)
        known = np.maximum(self.scores.reference.n[first], 1.0)
        wander = self._wander(np.array([look]), np.array([float(rows * look)]))[0][first]
        error = np.sqrt(variance * (1.0 / (rows * look) + 1.0 / known) + wander)
        level = self._budget / max(len(self.scores.per_column), 1) / self._multiplicity[row, first]
        eps = self._eps[first]
        width = np.divide(2.0 * eps, error, out=np.zeros_like(error), where=error > 0)
        effects: Floats = eps + interval_critical(level, width, self.variation.dof[first]) * error
        return effects

    def _surprise(self, pooled: Sums, x: Floats, looks: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """How far ``x`` lies beyond what is tolerated, in standard errors (>= 0), and its tail."""
        tolerated = self._eps + self._of_location(x)
        look, component = np.nonzero((np.abs(x) > tolerated) & (pooled.n > 0))
        rows = pooled.n.max(axis=1, initial=0.0)
        at = (look, component)
        extra = np.broadcast_to(self._wander(looks, rows), x.shape)[at]
        found = surprise(
            Entries(component, x[at], pooled.total[at], pooled.n[at], tolerated[at], extra), self.scores
        )
        z, p = np.zeros(x.shape), np.ones(x.shape)
        z[at] = found.near
        p[at] = interval_tail(found.near, found.far, self.variation.dof[component])
        return z, p

    def _of_location(self, x: Floats) -> Floats:
        r"""What a shift does to the scale, skew and tails of a column whose location wanders by itself.

        A shift of D moves the degree-k Hermite mean of a normal by :math:`D^k/\sqrt{k!} < D^2` (k > 1, D <
        1). The squares of what wanders have tails that their variance does not tell.
        """
        return np.where(self._follows, x[:, self.scores.location] ** 2, 0.0)

    def _wander(self, looks: NDArray[np.intp], rows: Floats) -> Floats:
        r"""Variance beyond sampling noise of a mean over L slices with ``rows`` in all.

        :math:`\tau^2 (\min(I, L)/L + I/B)`, and for a season estimated from D days (or weeks)
        :math:`(v/n + \tau^2)/(D L)` on top. Slices smaller than the chunks that :math:`\tau^2` was
        learned from count as parts of one: what varies within a chunk is unknown, and taken for noise.
        """
        v = self.variation
        look = np.minimum(looks, np.maximum(rows, 1.0) / v.rows)[:, None]
        wander: Floats = v.tau2 * (np.minimum(v.inertia, np.maximum(look, 1.0)) / look + v.inertia / v.chunks)
        if v.days:
            wander = wander + self._season_error / look
        return wander

    def _recent_agree(self, look: _Look, seen: NDArray[np.intp]) -> NDArray[np.bool_]:
        r"""Tell which lookbacks hold a drift that still lasts: every shorter one must not be clearly back.

        Asked of the components ``seen``. The mean of the last l of L slices may fall short of the mean of all
        L by 2.5 standard errors of that difference, :math:`v (1/n_l - 1/n_L) + \tau^2 \min(I, l)/l`. To ask
        the newest slice alone is not enough: one slice is noisier than the little that a short piece of an
        old drift leaves in 16.
        """
        x, n, v = look.x[:, seen], np.maximum(look.pooled.n[:, seen], 1.0), self.variation
        unit = binomial_variance(look.x, self.scores)[:, seen]
        wander = v.tau2[seen] * np.minimum(v.inertia[seen], look.looks[:, None]) / look.looks[:, None]
        agrees = np.ones(x.shape, dtype=np.bool_)
        for short in np.flatnonzero(look.looks & (look.looks - 1) == 0):  # 1, 2, 4, ...
            longer = slice(short + 1, None)
            noise = unit[longer] * (1.0 / n[short] - 1.0 / n[longer]) + wander[short]
            fallen = (x[longer] - x[short]) * np.sign(x[longer])
            agrees[longer] &= (fallen <= AGREEMENT * np.sqrt(noise)) & (look.pooled.n[short, seen] > 0)
        return agrees

    def _per_column(self, look: _Look, p: Floats) -> Judgement:
        looks, x, z = look.looks, look.x, look.z
        corrected = self._corrected(p)
        row, component = _strongest(corrected, z, self.scores.owner)
        p_value = np.minimum(corrected[row, component], 1.0)
        drifted, level = self._correction(p_value, self._budget)
        effect, observed = np.abs(x[row, component]), z[row, component]
        eps = self._eps[component]
        # Where something moved, its own standard error; it holds what small counts and skewness add.
        v = self.variation
        error = np.sqrt(v.noise + self._wander(looks[:1], np.array([v.rows * 1.0]))[0])[component]
        error = np.divide(effect - eps, observed, out=error, where=observed > 0)
        width = np.divide(2.0 * eps, error, out=np.zeros_like(error), where=error > 0)
        allowed = level / self._multiplicity[row, component]
        needed = interval_critical(allowed, width, v.dof[component])
        above = (corrected <= level) & (x > 0) & self.scores.integrity
        integrity = np.zeros(drifted.size, dtype=np.bool_)
        integrity[self.scores.owner[np.any(above, axis=0)]] = True
        return Judgement(
            drifted, p_value, effect, eps + needed * error, component, looks[row], integrity & drifted
        )


def _strongest(p: Floats, z: Floats, owner: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lookback row and component with the smallest p-value of each column; among equals the largest z."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    smallest = np.minimum.reduceat(p.min(axis=0), starts)
    strength = np.where(p == smallest[owner], z, -1.0)
    largest = np.maximum.reduceat(strength.max(axis=0), starts)
    best = strength == largest[owner]
    # The first component of each column that has it, in its shortest lookback.
    component = np.flatnonzero(best.any(axis=0))
    component = component[np.searchsorted(owner[component], np.arange(starts.size))]
    return best[:, component].argmax(axis=0), component
