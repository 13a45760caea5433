from __future__ import annotations

import numpy as np
import pytest

from detectors import CorruptBytes, Reference
from detectors.estimation import PerformanceMonitor

LABELS = 1000
RNG = np.random.default_rng(23)


def reference(errors):
    """A classifier that errs at a rate of its own in each chunk of 1000 rows."""
    truth = RNG.random(LABELS * len(errors)) < 0.5
    wrong = RNG.random(truth.size) < np.repeat(errors, LABELS)
    return Reference.build(
        {"p": truth ^ wrong, "y": truth}, window_rows=LABELS, outputs=(), prediction="p", label="y"
    )


STEADY = reference([0.05] * 60).performance


def run(monitor, rates, rng, labels=LABELS):
    wrong = rng.binomial(labels, rates)
    return [monitor.update(1 - k / labels, labels, errors=int(k)) for k in wrong]


def delay(verdicts):
    return next((w for w, verdict in enumerate(verdicts) if verdict.degraded), None)


@pytest.mark.parametrize("labels", [30, 1000])
def test_steady_performance_stays_quiet(labels):
    rng = np.random.default_rng(1)
    rate = 1 - STEADY.metrics["accuracy"]
    found = [v for _ in range(3) for v in run(PerformanceMonitor(STEADY), np.full(200, rate), rng, labels)]
    assert sum(verdict.degraded for verdict in found) <= 1  # 600 windows at an ARL of 10,000


def test_performance_that_wanders_as_in_the_reference_stays_quiet():
    rng = np.random.default_rng(2)
    known = reference(0.05 + rng.normal(0, 0.01, 120)).performance
    assert known.variation["accuracy"].tau2 > 0
    rates = np.clip(0.05 + rng.normal(0, 0.01, 400), 0, 1)
    assert sum(verdict.degraded for verdict in run(PerformanceMonitor(known), rates, rng)) <= 1


def test_a_jump_is_found_at_once():
    monitor, rng = PerformanceMonitor(STEADY), np.random.default_rng(3)
    assert delay(run(monitor, np.full(50, 0.05), rng)) is None
    after = run(monitor, np.full(10, 0.10), rng)
    assert delay(after) <= 1
    assert any("jump" in verdict.looks for verdict in after)
    assert after[-1].loss == pytest.approx(0.05, abs=0.02)


def test_slow_degradation_is_found_before_a_third_of_the_way():
    """95 % to 92 % to 88 % over 90 windows."""
    monitor, rng = PerformanceMonitor(STEADY), np.random.default_rng(4)
    assert delay(run(monitor, np.full(60, 0.05), rng)) is None
    assert delay(run(monitor, np.linspace(0.05, 0.12, 90), rng)) <= 30


def test_a_trend_shows_where_the_level_is_still_as_in_the_reference():
    """A model that started better than its reference and loses that."""
    monitor = PerformanceMonitor(STEADY)
    worst = 1 - STEADY.metrics["accuracy"]
    verdicts = [monitor.update(1 - rate, LABELS) for rate in np.linspace(0.0, worst, 40)]
    assert {look for verdict in verdicts for look in verdict.looks} == {"trend"}
    assert verdicts[-1].slope == pytest.approx(worst / 39, rel=0.05)
    assert verdicts[-1].loss < 0.001


def test_improvement_and_tolerated_losses_are_no_degradation():
    rng = np.random.default_rng(5)
    better = run(PerformanceMonitor(STEADY), np.linspace(0.05, 0.01, 60), rng)
    assert not any(verdict.degraded for verdict in better)
    lax = [PerformanceMonitor(STEADY, min_effect=0.1).update(value, LABELS) for value in (0.90, 0.87)]
    assert not any(verdict.degraded for verdict in lax)


def test_the_level_clears_when_performance_is_back():
    monitor, rng = PerformanceMonitor(STEADY), np.random.default_rng(6)
    run(monitor, np.full(20, 0.05), rng)
    assert run(monitor, np.full(8, 0.15), rng)[-1].degraded
    assert "level" not in run(monitor, np.full(1, 0.05), rng)[-1].looks


def test_the_trend_clears_when_performance_is_back():
    """A line through old good windows, a fall and the recovery still rises; the newest windows do not."""
    monitor, rng = PerformanceMonitor(STEADY), np.random.default_rng(8)
    run(monitor, np.full(50, 0.05), rng)
    assert run(monitor, np.full(15, 0.20), rng)[-1].degraded
    assert not any("trend" in verdict.looks for verdict in run(monitor, np.full(20, 0.05), rng))


def test_a_regression_is_followed_by_its_mean_error():
    rng = np.random.default_rng(7)
    truth = rng.normal(50, 10, 40_000)
    columns = {"p": truth + rng.normal(0, 2, truth.size), "y": truth}
    known = Reference.build(columns, window_rows=LABELS, outputs=(), prediction="p", label="y").performance
    monitor = PerformanceMonitor(known)
    assert monitor.metric == "mae"
    same = [monitor.update(np.abs(rng.normal(0, 2, LABELS)).mean(), LABELS) for _ in range(50)]
    worse = [monitor.update(np.abs(rng.normal(0, 2.4, LABELS)).mean(), LABELS) for _ in range(5)]
    assert not any(verdict.degraded for verdict in same)
    assert worse[-1].degraded


def test_a_restored_monitor_goes_on_as_if_it_had_never_stopped():
    rates = np.linspace(0.05, 0.12, 60)
    through = run(PerformanceMonitor(STEADY), rates, np.random.default_rng(8))
    monitor, rng, verdicts = PerformanceMonitor(STEADY), np.random.default_rng(8), []
    wrong = rng.binomial(LABELS, rates)
    for k in wrong:
        verdicts.append(monitor.update(1 - k / LABELS, LABELS, errors=int(k)))
        data = monitor.to_bytes()
        monitor = PerformanceMonitor.from_bytes(data, STEADY)
        assert monitor.to_bytes() == data
        assert len(data) < 6000
    assert verdicts == through


def test_bytes_of_something_else_are_refused():
    data = PerformanceMonitor(STEADY).to_bytes()
    for broken in (b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        with pytest.raises(CorruptBytes):
            PerformanceMonitor.from_bytes(broken, STEADY)


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match="does not know 'mae': it knows accuracy"):
        PerformanceMonitor(STEADY, "mae")
    with pytest.raises(ValueError, match="leave such a window out"):
        PerformanceMonitor(STEADY).update(float("nan"), 10)
    with pytest.raises(ValueError, match="leave such a window out"):
        PerformanceMonitor(STEADY).update(0.9, 0)
