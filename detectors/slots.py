"""The season: what repeats by the hour of the day (UTC)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

Floats = NDArray[np.float64]

SLOTS = 24
SLOT_MS = 3_600_000
SEASON_CHUNKS = 72
SEASON_DAYS = 3
SEASON_LEVEL = 1e-3


class SlotMeans(NamedTuple):
    """``profile`` is ``(M, 24)``, zero without a season; ``parameters`` is what it cost a component."""

    profile: Floats
    parameters: Floats
    days: int


def slot(timestamp_ms: int) -> int:
    """Return the hour of the day that an event time falls into."""
    return int(timestamp_ms // SLOT_MS) % SLOTS


def slots_of(times_ms: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the hours of the day of many event times."""
    return np.asarray(times_ms // SLOT_MS % SLOTS, dtype=np.intp)


def slot_means(effects: Floats, weight: Floats, times_ms: NDArray[np.int64] | None) -> SlotMeans:
    """Learn the hour-of-day means of components ``(B, M)``, where an F test finds them at 1e-3 in all.

    One-way analysis of variance with known weights (Scheffe 1959, chapter 3). Needs 72 chunks over 3 days.
    An hour without chunks takes the mean between its neighbours.
    """
    chunks, components = effects.shape
    nothing = SlotMeans(np.zeros((components, SLOTS)), np.zeros(components), 0)
    if times_ms is None or chunks < SEASON_CHUNKS:
        return nothing
    slots, days = slots_of(times_ms), int(np.unique(times_ms // (SLOTS * SLOT_MS)).size)
    present = np.unique(slots)
    if days < SEASON_DAYS or present.size < 2 or chunks - present.size < SLOTS:
        return nothing
    totals, sums = np.zeros((SLOTS, components)), np.zeros((SLOTS, components))
    np.add.at(totals, slots, weight)
    np.add.at(sums, slots, weight * effects)
    means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    grand = np.sum(sums, axis=0) / np.maximum(np.sum(totals, axis=0), np.finfo(np.float64).tiny)
    between = np.sum(totals * (means - grand) ** 2, axis=0) / (present.size - 1)
    within = np.sum(weight * (effects - means[slots]) ** 2, axis=0) / (chunks - present.size)
    ratio = np.divide(between, within, out=np.zeros_like(between), where=within > 0)
    found = fdtrc(present.size - 1, chunks - present.size, ratio) < SEASON_LEVEL / components
    profile = np.where(found[:, None], _filled(means, present).T, 0.0)
    return SlotMeans(profile, np.where(found, present.size - 1.0, 0.0), days if bool(found.any()) else 0)


def _filled(means: Floats, present: NDArray[np.intp]) -> Floats:
    """Interpolate the hours that have no chunks, around midnight too."""
    hours = np.arange(SLOTS)
    columns = [np.interp(hours, present, column[present], period=SLOTS) for column in means.T]
    return np.array(columns).T.reshape(means.shape)
