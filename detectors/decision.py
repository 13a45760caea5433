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
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import Variation
from detectors.lookbacks import LOOKBACKS, dependent_multiplicity, independent_multiplicity
from detectors.scores import Components, Sums
from detectors.significance import benjamini_hochberg, critical_value, interval_critical, interval_tail
from detectors.slices import Slices
from detectors.slots import slot
from detectors.surprise import Entries, Expected, binomial_variance

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
    """What several lookbacks (L of them) see: slices, pooled sums and effects ``(L, M)``, and what is large.

    ``at``, ``row`` and ``entries`` are those effects that exceed what is tolerated, one after the other.
    """

    looks: NDArray[np.intp]
    pooled: Sums
    x: Floats
    at: NDArray[np.intp]
    row: NDArray[np.intp]
    entries: Entries


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
        self._followers = np.flatnonzero((scores.location >= 0) & (variation.tau2[scores.location] > 0))
        seasonal = variation.seasonal
        self._season_error = np.where(seasonal, (variation.noise + variation.tau2) / variation.repeats, 0.0)
        self._wanders = (variation.tau2 > 0) | (self._season_error > 0)
        # One row a lookback: (L, M).
        self._multiplicity = scores.multiplicity * np.where(
            (variation.tau2 == 0) & ~seasonal,
            independent_multiplicity(self.lookbacks)[:, None],
            dependent_multiplicity(self.lookbacks)[:, None],
        )
        self._expected = Expected(scores)
        self._starts = np.flatnonzero(np.diff(scores.owner, prepend=-1))
        self._columns = np.arange(self._starts.size)

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

    def judge(self, slices: Slices) -> Judgement:
        """Judge the newest of ``slices`` (seasons taken out) with those before it."""
        return self._judge(self._large(*self._effects(slices)))

    def alarm(self, slices: Slices) -> Judgement | None:
        """Do what :meth:`judge` does, in a tenth of the time: ``None`` where nothing can have drifted.

        For polynomials only.
        """
        looks, pooled, x = self._effects(slices)
        z = self._expected.largest(pooled, x, self._tolerated(x))
        if z <= self._nearest:
            return None
        judgement = self._judge(self._large(looks, pooled, x))
        return judgement if judgement.drifted.any() else None

    @cached_property
    def _nearest(self) -> float:
        # Of interval_tail, one tail at least; a thousandth for rounding.
        largest = 1.001 * self._budget / float(self._multiplicity.min(initial=np.inf))
        return float(critical_value(min(2.0 * largest, 1.0), np.inf))

    def _effects(self, slices: Slices) -> tuple[NDArray[np.intp], Sums, Floats]:
        looks = self._looks[: bisect_right(self.lookbacks, len(slices))]
        pooled = slices.pooled(looks.tolist())
        return looks, pooled, self.scores.effects(pooled)

    def _large(self, looks: NDArray[np.intp], pooled: Sums, x: Floats) -> _Look:
        tolerated = self._tolerated(x)
        large = (np.abs(x) > tolerated).reshape(-1).nonzero()[0]  # without rows, an effect is 0
        row, component = np.divmod(large, x.shape[1])
        # Of pairs there is one number of rows for all.
        n = pooled.n.take(large if pooled.n.shape == x.shape else row)
        entries = Entries(
            component,
            x.take(large),
            pooled.total.take(large),
            n,
            tolerated.take(large if tolerated.ndim == 2 else component),
            self._wander(component, looks.take(row), pooled.n.max(axis=1, initial=0.0).take(row)),
        )
        return _Look(looks, pooled, x, large, row, entries)

    @cached_property
    def _looks(self) -> NDArray[np.intp]:
        return np.array(self.lookbacks)

    def _judge(self, look: _Look) -> Judgement:
        found = self._expected.surprise(look.entries)
        p = interval_tail(found.near, found.far, self.variation.dof.take(look.entries.component))
        z, corrected = np.zeros(look.x.shape), self._multiplicity[: len(look.looks)].copy()
        z.reshape(-1)[look.at] = found.near
        corrected.reshape(-1)[look.at] *= p
        return self._per_column(look, z, corrected)

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
        wander = self._wander(first, np.full(first.size, look), np.full(first.size, float(rows * look)))
        error = np.sqrt(variance * (1.0 / (rows * look) + 1.0 / known) + wander)
        level = self._budget / max(len(self.scores.per_column), 1) / self._multiplicity[row, first]
        eps = self._eps[first]
        width = np.divide(2.0 * eps, error, out=np.zeros_like(error), where=error > 0)
        effects: Floats = eps + interval_critical(level, width, self.variation.dof[first]) * error
        return effects

    def _tolerated(self, x: Floats) -> Floats:
        r"""Effects up to which nothing happened, ``(M,)`` or ``(L, M)``.

        Of the scale, skew and tails of a column whose location wanders by itself more: a shift of D moves the
        degree-k Hermite mean of a normal by :math:`D^k/\sqrt{k!} < D^2` (k > 1, D < 1). The squares of what
        wanders have tails that their variance does not tell.
        """
        if not self._followers.size:
            return self._eps
        tolerated = np.tile(self._eps, (len(x), 1))
        tolerated[:, self._followers] += x[:, self.scores.location[self._followers]] ** 2
        return tolerated

    def _wander(self, component: NDArray[np.intp], looks: NDArray[np.intp], rows: Floats) -> Floats:
        r"""Variance beyond sampling noise of a component's mean over L slices with ``rows`` in all.

        :math:`\tau^2 (\min(I, L)/L + I/B)`, and for a season estimated from D days (or weeks)
        :math:`(v/n + \tau^2)/(D L)` on top. Slices smaller than the chunks that :math:`\tau^2` was
        learned from count as parts of one: what varies within a chunk is unknown, and taken for noise.
        """
        beyond = np.zeros(component.size)
        some = self._wanders.take(component).nonzero()[0]
        if some.size:
            v, of = self.variation, component[some]
            look = np.minimum(looks[some], np.maximum(rows[some], 1.0) / v.rows)
            inertia = v.inertia[of]
            wander = v.tau2[of] * (np.minimum(inertia, np.maximum(look, 1.0)) / look + inertia / v.chunks)
            beyond[some] = wander + self._season_error[of] / look if v.days else wander
        return beyond

    def _lasting(
        self, look: _Look, z: Floats, corrected: Floats
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return what is strongest of each column and has not ended.

        The p-values of what has ended are set to 1 in columns where that is the strongest; the others are
        not asked.
        """
        row, component = self._strongest(corrected, z)
        ended = ~self._recent_agree(look, row, component)
        if ended.any():
            of = look.entries.component
            some = np.flatnonzero(ended[self.scores.owner[of]])
            self._forget_ended(look, z, corrected, look.row[some], of[some])
            row, component = self._strongest(corrected, z)
        return row, component

    def _forget_ended(
        self, look: _Look, z: Floats, corrected: Floats, row: NDArray[np.intp], component: NDArray[np.intp]
    ) -> None:
        """Set the p-values to 1 of what has ended; a component that is nowhere seen has nothing to end."""
        ended = ~self._recent_agree(look, row, component) & np.any(z > 0, axis=0)[component]
        row, component = row[ended], component[ended]
        corrected[row, component] = self._multiplicity[row, component]

    def _recent_agree(
        self, look: _Look, row: NDArray[np.intp], component: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        r"""Tell which lookbacks hold a drift that still lasts: every shorter one must not be clearly back.

        The mean of the last l of L slices may fall short of the mean of all L by 2.5 standard errors of that
        difference, :math:`v (1/n_l - 1/n_L) + \tau^2 \min(I, l)/l`. To ask the newest slice alone is not
        enough: one slice is noisier than the little that a short piece of an old drift leaves in 16.
        """
        slices = look.looks[look.looks & (look.looks - 1) == 0][:, None]  # 1, 2, 4, ...
        short = look.looks.searchsorted(slices)
        components, width = look.x.shape[1], look.pooled.n.shape[1]
        at, of = row * components + component, component if width > 1 else np.zeros_like(component)
        x, n = look.x.take(at), np.maximum(look.pooled.n.take(row * width + of), 1.0)
        recent = look.pooled.n.take(short * width + of)
        noise = self._row_variance(component, x) * (1.0 / np.maximum(recent, 1.0) - 1.0 / n)
        tau2 = self.variation.tau2.take(component)
        if tau2.any():
            noise += tau2 * np.minimum(self.variation.inertia.take(component), slices) / slices
        fallen = (x - look.x.take(short * components + component)) * np.sign(x)
        lasts = (fallen <= AGREEMENT * np.sqrt(np.maximum(noise, 0.0))) & (recent > 0)
        agrees: NDArray[np.bool_] = (lasts | (short >= row)).all(axis=0)
        return agrees

    def _row_variance(self, component: NDArray[np.intp], x: Floats) -> Floats:
        """Variance of one row's score at effect ``x``; 1 of what is no indicator."""
        variance = np.ones(component.size)
        hits = self._expected.is_indicator.take(component).nonzero()[0]
        of = component.take(hits)
        variance[hits] = binomial_variance(x[hits], self.scores.share[of], self.scores.scale[of])
        return variance

    @cached_property
    def _usual_error(self) -> Floats:
        """Standard error of one slice of usual size, ``(M,)``."""
        components = np.arange(self._eps.size)
        looks = np.full(components.size, self.lookbacks[0])
        rows = np.full(components.size, self.variation.rows * 1.0)
        return np.sqrt(self.variation.noise + self._wander(components, looks, rows))

    def _per_column(self, look: _Look, z: Floats, corrected: Floats) -> Judgement:
        row, component = self._lasting(look, z, corrected)
        at = row * look.x.shape[1] + component
        p_value = np.minimum(corrected.take(at), 1.0)
        drifted, level = self._correction(p_value, self._budget)
        effect, observed = np.abs(look.x.take(at)), z.take(at)
        eps = self._eps.take(component)
        # Where something moved, its own standard error; it holds what small counts and skewness add.
        error = np.divide(effect - eps, observed, out=self._usual_error.take(component), where=observed > 0)
        width = np.divide(2.0 * eps, error, out=np.zeros(error.size), where=error > 0)
        needed = interval_critical(
            level / self._multiplicity.take(at), width, self.variation.dof.take(component)
        )
        integrity = np.zeros(drifted.size, dtype=np.bool_)
        if drifted.any():
            above = (look.x > 0) & self.scores.integrity
            self._forget_ended(look, z, corrected, *np.nonzero((corrected <= level) & above))
            integrity[self.scores.owner[np.any((corrected <= level) & above, axis=0)]] = True
        return Judgement(
            drifted,
            p_value,
            effect,
            eps + needed * error,
            component,
            look.looks.take(row),
            integrity & drifted,
        )

    def _strongest(self, p: Floats, z: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Lookback row and component with the smallest p-value of each column; of equals the largest z."""
        owner = self.scores.owner
        smallest = np.minimum.reduceat(p.min(axis=0), self._starts)
        strength = np.where(p == smallest.take(owner), z, -1.0)
        largest = np.maximum.reduceat(strength.max(axis=0), self._starts)
        best = strength == largest.take(owner)
        # The first component of each column that has it, in its shortest lookback.
        component = best.any(axis=0).nonzero()[0]
        component = component[owner.take(component).searchsorted(self._columns)]
        return best.take(component, axis=1).argmax(axis=0), component
