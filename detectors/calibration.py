r"""How the reference itself varies from window to window: what a live window must exceed to be news.

The reference, in time order, is cut into B chunks of a window's size; :math:`x_b` is a score component of
chunk b. If rows were independent, its variance would be :math:`v/n`. What is found beyond that is the
between-window variance :math:`\tau^2`; how it persists from chunk to chunk is the inertia :math:`I =
(1+\rho)/(1-\rho)`; what repeats by the hour of the day or of the week is the season, which is
subtracted. A shuffled reference shows none of the three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.significance import chi_square_tail
from detectors.slots import DAY, repeats, slot_means, slots_of

Floats = NDArray[np.float64]

EXCESS_LEVEL = 0.01
LARGEST_RHO = 0.95
PERSISTENT = 1.645
"""Standard errors, 5 % one-sided, from which a lag-1 correlation is taken for more than chance."""
SMALL_CHUNK = 0.05


class Variation(NamedTuple):
    """What calibration learned, per component ``(M,)``; in the scores' effect units.

    ``chunks`` and ``days`` are numbers behind the estimates; ``rows`` is what a small chunk holds; ``noise``
    the mean :math:`v/n` of a chunk; ``dof`` the degrees of freedom of ``tau2`` (inf where ``tau2`` is 0);
    ``profile`` the season, ``(M, 24)`` or, by the hour of the week, ``(M, 168)``, zero where there is none.
    """

    chunks: int
    rows: int
    days: int
    tau2: Floats
    inertia: Floats
    dof: Floats
    noise: Floats
    profile: Floats

    @classmethod
    def none(cls, components: int) -> Variation:
        """Return what is known without chunks: nothing beyond independent rows."""
        zeros, ones = np.zeros(components), np.ones(components)
        return cls(1, 1, 0, zeros, ones, np.full(components, np.inf), zeros, np.zeros((components, DAY)))

    @property
    def seasonal(self) -> NDArray[np.bool_]:
        """Tell the components with a season."""
        seasonal: NDArray[np.bool_] = np.any(self.profile != 0.0, axis=1)
        return seasonal

    @property
    def repeats(self) -> Floats:
        """How many days, or weeks, the season of each component is a mean of."""
        return repeats(self.profile, self.days)


def calibrate(
    effects: Floats, noise: Floats, rows: NDArray[np.int64], times_ms: NDArray[np.int64] | None
) -> Variation:
    """Learn the variation from the chunks' effects.

    Parameters
    ----------
    effects
        ``(B, M)`` in time order.
    noise
        ``(B, M)``, the variance :math:`v/n` that independent rows would give; inf where the chunk has no
        rows.
    rows
        Rows of each chunk, ``(B,)``.
    times_ms
        Event time that stands for each chunk; ``None`` when unknown, and then there is no season.
    """
    chunks, components = effects.shape
    if chunks < 3:
        return Variation.none(components)
    weight = np.divide(1.0, noise, out=np.zeros_like(noise), where=(noise > 0) & np.isfinite(noise))
    known = np.maximum(np.count_nonzero(weight, axis=0), 1.0)
    expected = np.divide(known, weight.sum(axis=0), out=np.zeros(components), where=weight.any(axis=0))
    season = slot_means(effects, weight, times_ms)
    rest = (
        effects
        if times_ms is None
        else effects - season.profile[:, slots_of(times_ms, season.profile.shape[1])].T
    )
    rest = np.where(weight > 0, rest, 0.0)
    dof = np.maximum(known - 1.0 - season.parameters, 1.0)
    tau2 = between_variance(rest, weight, dof)
    rho = persistence(rest, tau2 + np.where(weight > 0, noise, 0.0), between_moment(rest, weight, dof))
    rho = np.where(persists(rest, weight), rho, 0.0)
    inertia = np.where(tau2 > 0, (1.0 + rho) / (1.0 - rho), 1.0)
    ratio = np.divide(expected, tau2, out=np.zeros_like(tau2), where=tau2 > 0)
    freedom = np.where(tau2 > 0, np.maximum(dof * (1.0 + ratio) ** 2 / inertia, 2.0), np.inf)
    small = max(int(np.quantile(rows, SMALL_CHUNK)), 1)
    return Variation(chunks, small, season.days, tau2, inertia, freedom, expected, season.profile)


def between_variance(effects: Floats, weight: Floats, dof: Floats) -> Floats:
    r"""Upper bound of the between-window variance per component, 0 where nothing speaks for one.

    With :math:`w_b = n_b/v` the heterogeneity is :math:`Q = \sum_b w_b x_b^2`. Only if it exceeds
    :math:`\chi^2` at 1 %, the moment estimate of DerSimonian & Laird (1986) is taken, with Q at its 75 %
    bound.
    """
    excess = chi_square_tail(_heterogeneity(effects, weight), dof) < EXCESS_LEVEL
    inflation = dof / np.asarray(chdtri(dof, 0.75), dtype=np.float64)
    bound = between_moment(effects, weight, dof, inflation=inflation)
    return np.where(excess, bound, 0.0)


def between_moment(effects: Floats, weight: Floats, dof: Floats, inflation: Floats | float = 1.0) -> Floats:
    r"""Moment estimate :math:`\max(0, (Q - \nu) / (\sum w - \sum w^2 / \sum w))`."""
    total = weight.sum(axis=0)
    squares = np.divide((weight**2).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    # The profile took its parameters too: keep Q and its divisor in step.
    divisor = (total - squares) * dof / np.maximum(np.count_nonzero(weight, axis=0) - 1.0, 1.0)
    surplus = np.maximum(_heterogeneity(effects, weight) * inflation - dof, 0.0)
    moment: Floats = np.divide(surplus, divisor, out=np.zeros_like(surplus), where=divisor > 0)
    return moment


def _heterogeneity(effects: Floats, weight: Floats) -> Floats:
    total: Floats = np.sum(weight * effects**2, axis=0)
    return total


def persistence(effects: Floats, variance: Floats, tau2: Floats) -> Floats:
    r"""Lag-1 correlation of the between-window part, :math:`\hat c_1 / \hat\tau^2`, in [0, 0.95].

    Sampling noise is independent from chunk to chunk, so it does not enter the lag-1 covariance; noisier
    chunks (by their ``variance``) weigh less.
    """
    weight = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
    pairs = np.sqrt(weight[1:] * weight[:-1])
    total = np.maximum(pairs.sum(axis=0), np.finfo(np.float64).tiny)
    lagged = np.sum(pairs * effects[1:] * effects[:-1], axis=0) / total
    rho = np.divide(lagged, tau2, out=np.zeros_like(lagged), where=tau2 > 0)
    clipped: Floats = np.clip(rho, 0.0, LARGEST_RHO)
    return clipped


def persists(effects: Floats, weight: Floats) -> NDArray[np.bool_]:
    r"""Tell which components' chunks are correlated with the next beyond chance, at 5 %.

    Of B independent values the lag-1 correlation has variance about 1/B (Bartlett 1946). Without this test a
    column of independent rows whose :math:`\tau^2` is above 0 by chance gets a large inertia by chance too,
    hence hardly a degree of freedom, and then nothing is seen in it.
    """
    squares = np.sum(weight * effects**2, axis=0)
    lagged = np.sum(np.sqrt(weight[1:] * weight[:-1]) * effects[1:] * effects[:-1], axis=0)
    correlation = np.divide(lagged, squares, out=np.zeros_like(lagged), where=squares > 0)
    beyond: NDArray[np.bool_] = correlation * np.sqrt(np.count_nonzero(weight, axis=0)) > PERSISTENT
    return beyond
