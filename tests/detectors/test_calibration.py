from __future__ import annotations

import numpy as np
import pytest

from detectors import Monitor, Reference
from detectors.calibration import between_variance, cut_rows, persistence, slot

HOUR = 3_600_000


def ar1(rng, windows, rho, sd):
    level = np.zeros(windows)
    for t in range(1, windows):
        level[t] = rho * level[t - 1] + rng.normal() * sd * np.sqrt(1 - rho**2)
    return level


def test_chunks_have_the_window_size_or_there_are_twenty():
    assert np.bincount(cut_rows(1050, 50)[:1050]).tolist() == [50] * 21
    assert np.bincount(cut_rows(1000, 500)).tolist() == [50] * 20
    assert cut_rows(59, 20).tolist() == [0] * 20 + [1] * 20 + [-1] * 19
    assert cut_rows(5, 100).tolist() == [-1] * 5


def test_between_variance_is_zero_for_independent_rows():
    rng = np.random.default_rng(1)
    squares = np.sum((rng.normal(size=(60, 2000)) * 0.1) ** 2, axis=0)
    tau2 = between_variance(squares, np.full(2000, 59.0), np.full(2000, 0.01))
    assert np.mean(tau2 > 0) < 0.02


def test_between_variance_bounds_the_truth_three_times_in_four():
    rng = np.random.default_rng(2)
    squares = np.sum((rng.normal(size=(60, 4000)) * np.sqrt(0.01 + 0.02)) ** 2, axis=0)
    tau2 = between_variance(squares, np.full(4000, 59.0), np.full(4000, 0.01))
    assert np.mean(tau2 >= 0.02) == pytest.approx(0.75, abs=0.04)


def test_persistence_is_found_under_sampling_noise():
    rng = np.random.default_rng(3)
    effects = np.array([ar1(rng, 4000, 0.8, 0.1) for _ in range(5)]).T + rng.normal(size=(4000, 5)) * 0.1
    rho = persistence(effects, np.full(5, 0.01))
    assert rho == pytest.approx(0.8, abs=0.12)


def test_wander_of_the_reference_is_no_alarm():
    rng = np.random.default_rng(4)
    level = ar1(rng, 400, 0.5, 0.1)
    values = np.repeat(level, 300) + rng.normal(size=400 * 300)
    reference = Reference.build({"x": values[:60_000]}, window_rows=300)
    assert reference.variation.tau2[0] == pytest.approx(0.01, rel=0.6)
    monitor = Monitor(reference)
    live = values[60_000:].reshape(200, 300)
    assert not any(monitor.update({"x": window}).drifted for window in live)
    assert Monitor(reference).update({"x": live[0] + 1.0}).drifted
    shuffled = Reference.build({"x": rng.permutation(values[:60_000])}, window_rows=300)
    assert shuffled.variation.tau2[0] == 0


def daily(rng, hours, rows, start=0):
    times = np.repeat((start + np.arange(hours)) * HOUR, rows)
    return times, np.sin(times / HOUR / 24 * 2 * np.pi) + rng.normal(size=times.size)


def test_a_daily_cycle_is_no_alarm_and_a_shift_inside_it_is():
    rng = np.random.default_rng(5)
    times, values = daily(rng, 14 * 24, 200)
    reference = Reference.build({"x": values}, window_rows=200, timestamps_ms=times)
    assert reference.variation.days == 14
    assert reference.variation.seasonal[0]
    assert Reference.from_json(reference.to_json()) == reference
    monitor = Monitor(reference)
    times, values = daily(rng, 5 * 24, 200, start=14 * 24)
    for hour in range(5 * 24):
        window = values[hour * 200 : hour * 200 + 200]
        assert not monitor.update({"x": window}, timestamp_ms=int(times[hour * 200])).drifted
    found = [
        monitor.update({"x": values[h * 200 : h * 200 + 200] + 0.5}, timestamp_ms=int(times[h * 200])).drifted
        for h in range(6)
    ]
    assert any(found[:3])


def test_slots_are_hours_of_the_day():
    assert [slot(h * HOUR) for h in (0, 23, 24, 49)] == [0, 23, 0, 1]
    assert slot(-1) == 23
