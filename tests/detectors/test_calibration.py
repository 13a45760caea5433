from __future__ import annotations

import numpy as np
import pytest

from detectors import Monitor, Reference
from detectors.calibration import between_variance, calibrate, persistence, persists
from detectors.chunks import chunk_rows, chunk_times, cut_rows, cut_time
from detectors.slots import DAY, WEEK, slot, slot_means, slots_of

HOUR = 3_600_000


def ar1(rng, windows, rho, sd):
    level = np.zeros(windows)
    for t in range(1, windows):
        level[t] = rho * level[t - 1] + rng.normal() * sd * np.sqrt(1 - rho**2)
    return level


def test_chunks_have_the_window_size_or_there_are_twenty():
    assert [chunk_rows(1050, 50), chunk_rows(1000, 500), chunk_rows(59, 20), chunk_rows(5, 100)] == [
        50,
        50,
        20,
        20,
    ]
    assert cut_rows(59, 20).tolist() == [0] * 20 + [1] * 20
    assert cut_rows(5, 20).size == 0


def test_chunks_by_time_are_round_and_follow_the_night():
    times = np.sort(
        np.concatenate([h * HOUR + np.arange(0, HOUR, 40_000 if h % 24 > 5 else 400_000) for h in range(96)])
    )
    chunk, duration = cut_time(times, 70)
    assert duration == HOUR
    assert np.bincount(chunk).tolist() == [9] * 6 + [90] * 18 + ([9] * 6 + [90] * 18) * 3
    assert (chunk_times(times, chunk, duration) % HOUR).tolist() == [HOUR // 2] * 96
    pieces = np.concatenate([np.arange(1000) * 37_000, 10**12 + np.arange(1000) * 37_000])
    assert cut_time(pieces, 100)[1] == HOUR
    assert cut_time(np.zeros(100, dtype=np.int64), 10) is None
    assert cut_time(np.arange(100) * 1234, 10)[1] == 12_340
    assert cut_time(np.arange(10_000) * 37_000, 100)[1] == HOUR


def test_between_variance_is_zero_for_independent_rows():
    rng = np.random.default_rng(1)
    rows = rng.integers(20, 400, (60, 1))
    effects = rng.normal(size=(60, 2000)) / np.sqrt(rows)
    tau2 = between_variance(effects, np.broadcast_to(rows * 1.0, effects.shape), np.full(2000, 59.0))
    assert np.mean(tau2 > 0) < 0.02


@pytest.mark.parametrize("rows", [np.full((60, 1), 100), np.resize([50, 400], (60, 1))])
def test_between_variance_bounds_the_truth_three_times_in_four(rows):
    rng = np.random.default_rng(2)
    effects = rng.normal(size=(60, 4000)) * np.sqrt(1 / rows + 0.02)
    tau2 = between_variance(effects, np.broadcast_to(rows * 1.0, effects.shape), np.full(4000, 59.0))
    assert np.mean(tau2 >= 0.02) == pytest.approx(0.75, abs=0.05)


def test_persistence_is_found_under_sampling_noise():
    rng = np.random.default_rng(3)
    effects = np.array([ar1(rng, 4000, 0.8, 0.1) for _ in range(5)]).T + rng.normal(size=(4000, 5)) * 0.1
    rho = persistence(effects, np.full(effects.shape, 0.02), np.full(5, 0.01))
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


def test_hours_of_the_week_start_on_monday():
    monday = 1_763_942_400_000  # 2025-11-24 00:00 UTC
    assert [slot(monday + h * HOUR, WEEK) for h in (0, 25, 167, 168)] == [0, 25, 167, 0]
    assert slots_of(monday + np.arange(48) * HOUR, WEEK).tolist() == list(range(48))


def weekly(rng, hours, rows, start=0):
    """A daily cycle, half as large on two days of seven."""
    times = np.repeat((start + np.arange(hours)) * HOUR, rows)
    cycle = np.sin(times / HOUR / 24 * 2 * np.pi) * np.where(times // (24 * HOUR) % 7 >= 5, 0.5, 1.0)
    return times, cycle + rng.normal(size=times.size)


def test_quiet_weekends_are_no_alarm_from_three_weeks_on():
    rng = np.random.default_rng(51)
    times, values = weekly(rng, 21 * 24, 200)
    reference = Reference.build(
        {"x": values, "y": rng.normal(size=values.size)}, window_rows=200, timestamps_ms=times
    )
    variation = reference.variation
    assert variation.profile.shape[1] == WEEK
    assert variation.repeats[0] == 3
    again = Reference.from_json(reference.to_json())
    assert again == reference
    np.testing.assert_array_equal(again.variation.profile, variation.profile)
    monitor, live = Monitor(reference), 7 * 24
    times, values = weekly(rng, live, 200, start=21 * 24)
    alarms = [
        monitor.update({"x": part, "y": rng.normal(size=200)}, timestamp_ms=int(start)).drifted
        for part, start in zip(values.reshape(live, 200), times[::200], strict=True)
    ]
    assert not any(alarms)
    assert monitor.update(
        {"x": values[:200] + 1.0, "y": rng.normal(size=200)}, timestamp_ms=28 * 24 * HOUR
    ).drifted


def test_days_that_are_alike_keep_the_hour_of_the_day():
    rng = np.random.default_rng(52)
    times, values = daily(rng, 28 * 24, 100)
    reference = Reference.build({"x": values}, window_rows=100, timestamps_ms=times)
    assert reference.variation.profile.shape[1] == DAY
    assert reference.variation.seasonal[0]
    two_weeks = weekly(rng, 14 * 24, 100)
    short = Reference.build({"x": two_weeks[1]}, window_rows=100, timestamps_ms=two_weeks[0])
    assert short.variation.profile.shape[1] == DAY


def test_a_slow_wander_is_rarely_taken_for_a_season():
    rng = np.random.default_rng(53)
    times = np.arange(28 * 24) * HOUR
    level = np.array([ar1(rng, times.size, 0.9, 1.0) for _ in range(200)]).T
    found = slot_means(level, np.ones(level.shape), times)
    assert np.mean(found.parameters > 0) <= 0.02


def test_independent_chunks_persist_one_time_in_twenty():
    rng = np.random.default_rng(54)
    effects = rng.normal(size=(60, 4000))
    assert np.mean(persists(effects, np.ones(effects.shape))) == pytest.approx(0.05, abs=0.02)
    wander = np.array([ar1(rng, 200, 0.8, 1.0) for _ in range(50)]).T
    assert persists(wander, np.ones(wander.shape)).all()


def test_variance_by_chance_does_not_take_the_degrees_of_freedom():
    """Of 20 chunks, lag-1 correlations are between -0.4 and 0.4 by chance: no reason for an inertia."""
    rng = np.random.default_rng(55)
    noise = np.full((20, 20_000), 0.001)
    learned = calibrate(rng.normal(size=noise.shape) * np.sqrt(noise), noise, np.full(20, 1000), None)
    widened = learned.tau2 > 0
    assert widened.any()
    assert np.mean(learned.dof[widened] < 10) < 0.15


def test_slices_smaller_than_the_calibrated_ones_are_no_alarm():
    """The level jumps every 40 rows; chunks of 400 rows average that out, slices of 100 do not."""
    rng = np.random.default_rng(6)

    def draw(rows):
        return np.repeat(rng.normal(size=rows // 40) * 0.7, 40) + rng.normal(size=rows)

    reference = Reference.build({"x": draw(40_000)}, window_rows=400)
    monitor = Monitor(reference)
    live = draw(40_000).reshape(400, 100)
    assert sum(monitor.update({"x": window}).drifted for window in live) <= 1
    assert monitor.smallest_shifts(rows=100)["x"] > 1.5 * monitor.smallest_shifts(rows=400)["x"]


def test_the_scale_of_a_column_that_wanders_is_not_news():
    """A mean that wanders by 0.1 sd moves the scale by its square, now and then by a lot."""
    rng = np.random.default_rng(31)
    offsets = rng.normal(0.0, 0.1, 60)
    known = np.concatenate([rng.normal(offset, 1.0, 20_000) for offset in offsets])
    reference = Reference.build({"x": known}, window_rows=20_000)
    for offset in (0.42, -0.42):
        monitor = Monitor(reference, min_effect=0.02)
        assert not monitor.update({"x": rng.normal(offset, 1.0, 20_000)}).drifted
    stretched = Monitor(reference, min_effect=0.02).update({"x": rng.normal(0.0, 1.25, 20_000)})
    assert stretched.features[0].drifted
    assert stretched.features[0].component == "scale"
