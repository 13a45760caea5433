"""The season: what repeats by the hour of the day, or by the hour of the week (UTC)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

Floats = NDArray[np.float64]

DAY, WEEK = 24, 168
HOUR_MS = 3_600_000
MONDAY = 72
"""Hours by which the first Monday precedes the epoch, less a week: it fell on a Thursday."""
SEASON_CHUNKS = 72
SEASON_DAYS = 3
SEASON_WEEKS = 3
SEASON_LEVEL = 1e-3


class SlotMeans(NamedTuple):
    """``profile`` is ``(M, 24)`` or ``(M, 168)``, 0 without a season; ``parameters`` what it cost each."""

    profile: Floats
    parameters: Floats
    days: int


class _Means(NamedTuple):
    """Means by slot ``(slots, M)``, the slot of each chunk, and how many slots there are."""

    values: Floats
    slots: NDArray[np.intp]
    present: NDArray[np.intp]

    def rest(self, effects: Floats, weight: Floats) -> Floats:
        """Return what the means leave of standardised effects, ``(B, M)``."""
        left: Floats = np.sqrt(weight) * (effects - self.values[self.slots])
        return left


def slot(timestamp_ms: int, slots: int = DAY) -> int:
    """Return the hour of the day that an event time falls into; of 168 slots the hour of the week."""
    return (int(timestamp_ms // HOUR_MS) + MONDAY) % slots


def slots_of(times_ms: NDArray[np.int64], slots: int = DAY) -> NDArray[np.intp]:
    """Return what :func:`slot` returns, of many event times."""
    return np.asarray((times_ms // HOUR_MS + MONDAY) % slots, dtype=np.intp)


def repeats(profile: Floats, days: int) -> Floats:
    """Return how many days, or weeks, stand behind each row of a profile; 1 at least."""
    by_day = np.full(len(profile), max(days, 1.0))
    if profile.shape[1] == DAY:
        return by_day
    weekly = np.any(profile != np.tile(profile[:, :DAY], WEEK // DAY), axis=1)
    return np.where(weekly, max(days // 7, 1.0), by_day)


def slot_means(effects: Floats, weight: Floats, times_ms: NDArray[np.int64] | None) -> SlotMeans:
    """Learn the means by hour of components ``(B, M)``, where an F test finds them at 1e-3 in all.

    First by the hour of the day, from 72 chunks over 3 days. Then, from 3 weeks on, by the hour of the
    week, where that explains more at the same strict level than the hour of the day alone. An hour without
    chunks takes the mean between its neighbours.
    """
    chunks, components = effects.shape
    nothing = SlotMeans(np.zeros((components, DAY)), np.zeros(components), 0)
    if times_ms is None or chunks < SEASON_CHUNKS:
        return nothing
    days = int(np.unique(times_ms // (DAY * HOUR_MS)).size)
    if days < SEASON_DAYS:
        return nothing
    overall = _means(effects, weight, np.zeros(chunks, dtype=np.intp), 1)
    daily = _means(effects, weight, slots_of(times_ms), DAY)
    by_hour = _explains(daily, overall, effects, weight, spare=DAY)
    profile = np.where(by_hour[:, None], _filled(daily).T, 0.0)
    parameters = np.where(by_hour, daily.present.size - 1.0, 0.0)
    weekly = _means(effects, weight, slots_of(times_ms, WEEK), WEEK)
    every_day = weekly.present.size == 7 * daily.present.size
    if days >= 7 * SEASON_WEEKS and every_day:
        by_week = _explains(weekly, daily, effects, weight, spare=weekly.present.size)
        if by_week.any():
            profile = np.where(by_week[:, None], _filled(weekly).T, np.tile(profile, WEEK // DAY))
            parameters = np.where(by_week, weekly.present.size - 1.0, parameters)
    return SlotMeans(profile, parameters, days if bool(np.any(parameters)) else 0)


def _means(effects: Floats, weight: Floats, slots: NDArray[np.intp], number: int) -> _Means:
    totals, sums = np.zeros((number, effects.shape[1])), np.zeros((number, effects.shape[1]))
    np.add.at(totals, slots, weight)
    np.add.at(sums, slots, weight * effects)
    means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    return _Means(means, slots, np.unique(slots))


def _explains(
    finer: _Means, coarser: _Means, effects: Floats, weight: Floats, *, spare: int
) -> NDArray[np.bool_]:
    r"""Tell the components that finer slots explain better: an F test of nested models (Scheffe 1959, ch. 2).

    Chunks that wander slowly look like a season for a few days. So both degrees of freedom are divided by
    their inertia :math:`(1+r)/(1-r)`, r being the lag-1 correlation of what the finer slots leave.
    """
    chunks, components = effects.shape
    more, left = finer.present.size - coarser.present.size, chunks - finer.present.size
    if more < 1 or left < spare:
        return np.zeros(components, dtype=np.bool_)
    rest = finer.rest(effects, weight)
    within = np.sum(rest**2, axis=0)
    between = np.sum(coarser.rest(effects, weight) ** 2, axis=0) - within
    lagged = np.sum(rest[1:] * rest[:-1], axis=0)
    r = np.clip(np.divide(lagged, within, out=np.zeros(components), where=within > 0), 0.0, 0.99)
    effective = (1.0 - r) / (1.0 + r)
    ratio = np.divide(between / more, within / left, out=np.zeros(components), where=within > 0)
    tail = fdtrc(np.maximum(more * effective, 1.0), np.maximum(left * effective, 1.0), ratio)
    found: NDArray[np.bool_] = tail < SEASON_LEVEL / components
    return found


def _filled(means: _Means) -> Floats:
    """Interpolate the hours that have no chunks, around midnight too."""
    number = len(means.values)
    hours, present = np.arange(number), means.present
    columns = [np.interp(hours, present, column[present], period=number) for column in means.values.T]
    return np.array(columns).T.reshape(means.values.shape)
