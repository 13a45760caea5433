r"""How surprising a difference is: tail probabilities, each with its source, elementwise over arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, kolmogorov, ndtr, ndtri, stdtr, stdtrit, xlogy

Floats = NDArray[np.float64]
TINY = float(np.finfo(np.float64).tiny)


def normal_tail(z: ArrayLike) -> Floats:
    """Two-sided tail probability of a standard normal."""
    tail: Floats = 2.0 * ndtr(-np.abs(z))
    return tail


def student_tail(t: ArrayLike, dof: ArrayLike) -> Floats:
    """Two-sided tail probability of Student's t; infinite ``dof`` is the normal."""
    t, dof = _alike(t, dof)
    return _tail(np.abs(t), dof, _finite(dof))


def interval_tail(near: ArrayLike, far: ArrayLike, dof: ArrayLike) -> Floats:
    r"""Probability of an effect so large when the true one is at most the tolerated one, on either side.

    It is largest where the true effect is the tolerated one: one tail beyond it, plus the tail on the other
    side of zero (Hodges & Lehmann 1954). ``near`` and ``far`` are the two distances in standard errors;
    where nothing is tolerated they are equal, and this is :func:`student_tail`.
    """
    near, far, dof = _alike(near, far, dof)
    finite = _finite(dof)
    tail: Floats = 0.5 * (_tail(np.abs(near), dof, finite) + _tail(np.abs(far), dof, finite))
    return tail


def interval_critical(p: Floats, width: Floats, dof: Floats) -> Floats:
    """Return the ``near`` with :func:`interval_tail` ``p`` where ``far`` is ``width`` more."""
    p, width, dof = _alike(p, width, dof)
    finite = _finite(dof)
    near = _critical(p / 2.0, dof, finite)
    dofs, finites = np.array((dof, dof)), None if finite is None else np.array((finite, finite))
    twice = 2.0 * p
    for _ in range(3):
        both, other = _tail(np.array((near, near + width)), dofs, finites)
        one_sided = np.divide(both, both + other, out=np.ones(both.shape), where=both > 0)
        near = _critical(np.minimum(twice * one_sided, 1.0) / 2.0, dof, finite)
    return near


def critical_value(p: ArrayLike, dof: ArrayLike) -> Floats:
    """Return the t with two-sided tail probability ``p``: the inverse of :func:`student_tail`."""
    p, dof = _alike(p, dof)
    return _critical(p / 2.0, dof, _finite(dof))


def _alike(*values: ArrayLike) -> list[Floats]:
    """Return arrays of one shape: most are already, and to ask is cheaper than to broadcast."""
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    same = all(array.shape == arrays[0].shape for array in arrays)
    return arrays if same else list(np.broadcast_arrays(*arrays))


def _finite(dof: Floats) -> NDArray[np.bool_] | None:
    """Tell where ``dof`` is finite; ``None`` where it nowhere is, as without window-to-window variation."""
    finite = np.isfinite(dof)
    return finite if finite.any() else None


def _tail(t: Floats, dof: Floats, finite: NDArray[np.bool_] | None) -> Floats:
    """Two-sided tail of ``t`` >= 0."""
    tail: Floats = np.asarray(2.0 * ndtr(-t))
    if finite is not None:
        tail[finite] = 2.0 * stdtr(dof[finite], -t[finite])
    return tail


def _critical(half: Floats, dof: Floats, finite: NDArray[np.bool_] | None) -> Floats:
    """Return the t that leaves ``half`` beyond it."""
    value: Floats = np.asarray(-ndtri(half))
    if finite is not None:
        value[finite] = -stdtrit(dof[finite], half[finite])
    return value


def chi_square_tail(statistic: ArrayLike, dof: ArrayLike) -> Floats:
    """Upper tail of chi-square."""
    tail: Floats = np.asarray(chdtrc(dof, statistic), dtype=np.float64)
    return tail


def kolmogorov_tail(distance: ArrayLike, n: ArrayLike, m: ArrayLike) -> Floats:
    r"""Asymptotic p-value of the two-sample KS distance, :math:`Q(\sqrt{nm/(n+m)}\, D)` (Smirnov 1939).

    Conservative over bins, since the distance over bins is a lower bound.
    """
    n, m = np.asarray(n, dtype=np.float64), np.asarray(m, dtype=np.float64)
    tail: Floats = np.asarray(kolmogorov(np.sqrt(n * m / (n + m)) * np.asarray(distance)), dtype=np.float64)
    return tail


def unskewed(z: ArrayLike, skew: ArrayLike) -> Floats:
    r"""Make a standardised, skewed mean comparable with a normal, on the side of its heavier tail.

    Reads ``z`` as a standardised gamma variable of that skewness and applies Wilson & Hilferty (1931):
    :math:`\frac6g\left[(1 + \tfrac{gz}2)^{1/3} - 1\right] + \frac g6`. Unlike a Cornish-Fisher expansion it
    is monotone. On the lighter tail ``z`` is returned as it is: the answer never overstates.
    """
    z, g = _alike(z, skew)
    heavier = z * g > 1e-9
    safe = np.where(heavier, g, 1.0)
    gamma = 6.0 / safe * (np.cbrt(1.0 + safe * np.where(heavier, z, 0.0) / 2.0) - 1.0) + safe / 6.0
    result: Floats = np.where(heavier & (np.abs(gamma) < np.abs(z)) & (gamma * z > 0), gamma, z)
    return result


def signed_root_binomial(
    k: ArrayLike, n: ArrayLike, r: ArrayLike, m: ArrayLike, *, apart: ArrayLike = 0.0
) -> Floats:
    r"""Signed root of the likelihood ratio of two binomial samples, ``k`` of ``n`` against ``r`` of ``m``.

    :math:`\pm\sqrt{2 \sum O \ln (O/E)}` with ``k`` half a row closer to its expectation (continuity
    correction). Its normal approximation holds far into the tails and for few hits, where that of
    chi-square does not (Barndorff-Nielsen 1986). Under the null the first share exceeds the second by
    ``apart`` (negative: falls short of it). Zero where a sample is empty, the correction passes the
    expectation, or the difference is between 0 and ``apart``.
    """
    hits, rows, known, all_known, offset = _alike(k, n, r, m, apart)
    n1, n2 = np.maximum(rows, 1.0), np.maximum(all_known, 1.0)
    sign = np.sign(hits / n1 - known / n2)
    # A fall in hits is a rise in misses.
    fell = sign < 0
    root = sign * root_of_shares(fell, (hits, n1), (known, n2), np.maximum(offset * sign, 0.0))
    return np.where((rows > 0) & (all_known > 0), root, 0.0)


def root_of_shares(
    fell: NDArray[np.bool_], sample: tuple[Floats, Floats], known: tuple[Floats, Floats], apart: Floats
) -> Floats:
    """Return what :func:`signed_root_binomial` does without the sign; float arrays of one shape.

    ``sample`` and ``known`` are hits and rows, at least one row. ``fell`` tells where the first share is
    the smaller one; ``apart`` is at least 0, on that side.
    """
    (hits, rows), (others, all_others) = sample, known
    # A fall in hits is a rise in misses.
    hits, others = np.where(fell, rows - hits, hits), np.where(fell, all_others - others, others)
    least = rows * (others / all_others + apart)
    beyond = hits > least
    hits = np.maximum(hits - 0.5, np.minimum(least, hits))
    share = _restricted_share(hits, rows, others, all_others, apart)
    both = np.maximum(share - apart, 0.0)
    deviance = _deviance(np.array([hits, others]), np.array([rows, all_others]), np.array([share, both]))
    root: Floats = np.sqrt(np.maximum(deviance[0] + deviance[1], 0.0))
    return np.where(beyond, root, 0.0)


def _restricted_share(k: Floats, n: Floats, r: Floats, m: Floats, apart: Floats) -> Floats:
    """Most likely first share if it exceeds the second by ``apart``: the root of a cubic.

    In closed form by Miettinen & Nurminen (1985), in the notation of Farrington & Manning (1990).
    """
    if not apart.any():
        return (k + r) / (n + m)
    ratio, first, second = m / n, k / n, r / m
    a = 1.0 + ratio
    thrice, raised = 3.0 * a, ratio * second
    b = -(a + first + raised + apart * (ratio + 2.0)) / thrice
    c = (apart**2 + apart * (2.0 * first + a) + first + raised) / thrice
    v = b**3 - 1.5 * b * c - first * apart * (1.0 + apart) / (2.0 * a)
    u = np.copysign(np.sqrt(np.maximum(b**2 - c, TINY)), np.where(v < 0, -1.0, 1.0))
    angle = (np.pi + np.arccos(np.minimum(np.maximum(v / u**3, -1.0), 1.0))) / 3.0
    share: Floats = np.minimum(np.maximum(2.0 * u * np.cos(angle) - b, apart), 1.0)
    return share if apart.min() > 0.0 else np.where(apart > 0.0, share, (k + r) / (n + m))


def _deviance(k: Floats, n: Floats, share: Floats) -> Floats:
    misses = n - k
    some, others = k > 0, misses > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = xlogy(k, np.where(some, k, 1.0) / np.where(some, n * share, 1.0))
        rest = xlogy(misses, np.where(others, misses, 1.0) / np.where(others, n * (1.0 - share), 1.0))
    deviance: Floats = 2.0 * (hits + rest)
    return deviance


def benjamini_hochberg(p: ArrayLike, q: float) -> tuple[NDArray[np.bool_], float]:
    """Return which hypotheses fall at false discovery rate ``q``, and the p-value that decided it.

    Under no drift anywhere, the chance of any rejection is at most ``q`` (Benjamini & Hochberg 1995;
    dependence of the positive kind allowed, 2001). Without a rejection the level is the strictest one, ``q
    / d``.

    >>> benjamini_hochberg([0.001, 0.04, 0.9], q=0.1)
    (array([ True,  True, False]), 0.0667)
    """
    values = np.asarray(p, dtype=np.float64)
    if values.size == 0:
        return np.zeros(0, dtype=np.bool_), q
    if values.min() > q:
        return np.zeros(values.size, dtype=np.bool_), q / values.size
    steps = q * np.arange(1, values.size + 1) / values.size
    passing = np.flatnonzero(np.sort(values) <= steps)
    level = float(steps[passing[-1]] if passing.size else steps[0])
    return values <= level, level


def bonferroni(p: ArrayLike, q: float) -> tuple[NDArray[np.bool_], float]:
    """Return which hypotheses fall at family-wise error rate ``q``, under any dependence, and the level.

    >>> bonferroni([0.001, 0.04, 0.9], q=0.1)
    (array([ True, False, False]), 0.0333)
    """
    values = np.asarray(p, dtype=np.float64)
    level = q / max(values.size, 1)
    return values <= level, level
