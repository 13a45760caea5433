r"""How the reference itself varies from window to window: what a live window must exceed to be news.

The reference, in time order, is cut into B chunks of a window's size; :math:`x_b` is a score component of
chunk b. If rows were independent, its variance would be :math:`v/n`. What is found beyond that is the
between-window variance :math:`\tau^2`; how it persists from chunk to chunk is the inertia :math:`I =
(1+\rho)/(1-\rho)`; what repeats by the hour of the day is the season, which is subtracted. A shuffled
reference shows none of the three.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, fdtrc

from detectors.significance import chi_square_tail

Floats = NDArray[np.float64]

WANTED_CHUNKS = 20
SMALLEST_CHUNK = 20
SLOTS = 24
SLOT_MS = 3_600_000
SEASON_CHUNKS = 72
EXCESS_LEVEL = 0.01
SEASON_LEVEL = 1e-3
LARGEST_RHO = 0.95


class Variation(NamedTuple):
    """What calibration learned, per component ``(M,)``; in the scores' effect units.

    ``chunks`` and ``days`` are numbers behind the estimates; ``noise`` the mean :math:`v/n` of a chunk;
    ``dof`` the degrees of freedom of ``tau2`` (inf where ``tau2`` is 0); ``profile`` the season, ``(M,
    24)``, zero where there is none.
    """

    chunks: int
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
        return cls(1, 0, zeros, ones, np.full(components, np.inf), zeros, np.zeros((components, SLOTS)))

    @property
    def seasonal(self) -> NDArray[np.bool_]:
        """Tell the components with a season."""
        seasonal: NDArray[np.bool_] = np.any(self.profile != 0.0, axis=1)
        return seasonal


def cut_rows(rows: int, window_rows: int) -> NDArray[np.intp]:
    """Return the chunk of each row, -1 for rest rows at the end.

    Chunks have ``window_rows`` rows; fewer where the reference would give less than 20 of them. Shorter
    chunks vary more, so what is learned from them is on the safe side.
    """
    size = min(window_rows, max(rows // WANTED_CHUNKS, SMALLEST_CHUNK))
    chunk = np.arange(rows) // size
    chunk[(rows // size) * size :] = -1
    return chunk


def cut_time(timestamps_ms: NDArray[np.int64], window_ms: int) -> NDArray[np.intp]:
    """Return the chunk of each row by event time: windows of ``window_ms`` aligned to the epoch, in order."""
    return np.unique(timestamps_ms // window_ms, return_inverse=True)[1].reshape(-1)


def calibrate(effects: Floats, noise: Floats, starts_ms: NDArray[np.int64] | None) -> Variation:
    """Learn the variation from the chunks' effects.

    Parameters
    ----------
    effects
        ``(B, M)`` in time order.
    noise
        ``(B, M)``, the variance :math:`v/n` that independent rows would give; inf where the chunk has no
        rows.
    starts_ms
        Event time of each chunk's first row; ``None`` when unknown, and then there is no season.
    """
    chunks, components = effects.shape
    if chunks < 3:
        return Variation.none(components)
    known = np.isfinite(noise)
    effects = np.where(known, effects, 0.0)
    number = np.maximum(known.sum(axis=0), 1)
    expected = np.where(known, noise, 0.0).sum(axis=0) / number
    profile, days, used = _season(effects, starts_ms)
    rest = effects - profile[:, _slots(starts_ms)].T if starts_ms is not None and days else effects
    dof = np.maximum(number - 1.0 - used, 1.0)
    tau2 = between_variance(np.sum(rest**2, axis=0), dof, expected)
    rho = persistence(rest, np.sum(rest**2, axis=0) / dof - expected)
    inertia = np.where(tau2 > 0, (1.0 + rho) / (1.0 - rho), 1.0)
    ratio = np.divide(expected, tau2, out=np.zeros_like(tau2), where=tau2 > 0)
    freedom = np.where(tau2 > 0, np.maximum(dof * (1.0 + ratio) ** 2 / inertia, 2.0), np.inf)
    return Variation(chunks, days, tau2, inertia, freedom, expected, profile)


def between_variance(squares: Floats, dof: Floats, noise: Floats) -> Floats:
    r"""Upper bound of the between-window variance, 0 where nothing speaks for one.

    If the sum of squares over the noise exceeds :math:`\chi^2` at 1 %: :math:`\tau^2 = SS / \chi^2_{.25} -
    v/n`, the 75 % bound; else 0.
    """
    excess = chi_square_tail(np.divide(squares, noise, out=np.zeros_like(squares), where=noise > 0), dof)
    bound = squares / np.asarray(chdtri(dof, 0.75), dtype=np.float64) - noise
    return np.where((excess < EXCESS_LEVEL) & (noise > 0), np.maximum(bound, 0.0), 0.0)


def persistence(effects: Floats, tau2: Floats) -> Floats:
    r"""Lag-1 correlation of the between-window part, :math:`\hat c_1 / \hat\tau^2`, in [0, 0.95].

    Sampling noise is independent from chunk to chunk, so it does not enter the lag-1 covariance.
    """
    lagged = np.mean(effects[1:] * effects[:-1], axis=0)
    rho = np.divide(lagged, tau2, out=np.zeros_like(lagged), where=tau2 > 0)
    clipped: Floats = np.clip(rho, 0.0, LARGEST_RHO)
    return clipped


def slot(timestamp_ms: int) -> int:
    """Return the hour of the day (UTC) that an event time falls into."""
    return int(timestamp_ms // SLOT_MS) % SLOTS


def _slots(starts_ms: NDArray[np.int64]) -> NDArray[np.intp]:
    return np.asarray(starts_ms // SLOT_MS % SLOTS, dtype=np.intp)


def _season(effects: Floats, starts_ms: NDArray[np.int64] | None) -> tuple[Floats, int, Floats]:
    """Hour-of-day means where an F test finds them at 1e-3 over all components; days; parameters used."""
    chunks, components = effects.shape
    nothing = np.zeros((components, SLOTS)), 0, np.zeros(components)
    if starts_ms is None or chunks < SEASON_CHUNKS:
        return nothing
    slots, days = _slots(starts_ms), int(np.unique(starts_ms // (SLOTS * SLOT_MS)).size)
    present = np.bincount(slots, minlength=SLOTS)
    groups = int(np.count_nonzero(present))
    if days < 3 or groups < 2 or chunks - groups < SLOTS:
        return nothing
    sums = np.zeros((SLOTS, components))
    np.add.at(sums, slots, effects)
    means = sums / np.maximum(present, 1)[:, None]
    between = np.sum(present[:, None] * (means - effects.mean(axis=0)) ** 2, axis=0) / (groups - 1)
    within = np.sum((effects - means[slots]) ** 2, axis=0) / (chunks - groups)
    ratio = np.divide(between, within, out=np.zeros_like(between), where=within > 0)
    found = fdtrc(groups - 1, chunks - groups, ratio) < SEASON_LEVEL / components
    return (
        np.where(found[:, None], means.T, 0.0),
        days if bool(found.any()) else 0,
        np.where(found, groups - 1.0, 0.0),
    )
