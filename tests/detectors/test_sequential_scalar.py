from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy.signal import lfilter

from detectors import CorruptBytes, ScalarMonitor
from detectors.framing import frame
from detectors.sequential.value_history import BLOCK, LEVELS, OLDER_BLOCKS


def _follow(rng, size, rho):
    """AR(1) with variance 1."""
    noise = rng.normal(size=size)
    noise[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


STEADY = {
    "independent": lambda rng, n: rng.normal(size=n),
    "rho .7": lambda rng, n: _follow(rng, n, 0.7),
    "rho .9": lambda rng, n: _follow(rng, n, 0.9),
    "latency": lambda rng, n: np.exp(3.0 + rng.normal(size=n)),
    "latency, rho .7": lambda rng, n: np.exp(3.0 + _follow(rng, n, 0.7)),
    "score": lambda rng, n: rng.beta(0.3, 3.0, size=n),
    "heavy tails": lambda rng, n: rng.standard_t(3, size=n),
    "rare ones": lambda rng, n: (rng.random(n) < 0.01).astype(float),
}


@pytest.mark.parametrize("name", STEADY)
def test_a_steady_stream_gives_at_most_an_alarm_in_10000_values(name):
    rng = np.random.default_rng(81)
    alarms = [alarm for _ in range(20) for alarm in ScalarMonitor().update(STEADY[name](rng, 10_000))]
    assert len(alarms) <= 4, "20 is the limit; the design gives 2 at most"


@pytest.mark.parametrize(
    ("shift", "within"), [(0.25, 900), (-0.25, 900), (0.5, 300), (-0.5, 300), (1.0, 100)]
)
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_shift_is_found_in_both_directions_and_any_unit(shift, within, scale):
    rng = np.random.default_rng(82)
    delays = []
    for _ in range(10):
        values = rng.normal(size=14_000)
        values[10_000:] += shift
        alarms = ScalarMonitor().update(scale * (values + 3.0))
        delays += [alarm - 10_000 for alarm in alarms if alarm >= 10_000][:1]
    # One false alarm just before the change may leave too little to compare with.
    assert len(delays) >= 9
    assert sorted(delays)[8] < 2 * within
    assert np.median(delays) < within


def test_correlated_values_widen_the_margin():
    rng = np.random.default_rng(83)
    delays = {0.0: [], 0.7: []}
    for rho, found in delays.items():
        for _ in range(10):
            values = _follow(rng, 14_000, rho)
            values[10_000:] += 0.5
            found.append(ScalarMonitor().update(values)[0] - 10_000)
    assert min(delays[0.7]) >= 0
    assert np.median(delays[0.0]) < np.median(delays[0.7]) < 1500


def test_after_an_alarm_the_scan_starts_anew():
    rng = np.random.default_rng(84)
    steps = [rng.normal(size=5000) + mean for mean in (0.0, 1.0, -1.0)]
    alarms = ScalarMonitor().update(np.concatenate(steps))
    assert len(alarms) == 2
    assert 5000 <= alarms[0] < 5200 < 10_000 <= alarms[1] < 10_200


def test_one_wild_value_is_no_shift():
    rng = np.random.default_rng(85)
    values = rng.normal(size=12_000)
    values[8000] = 1e6
    assert ScalarMonitor().update(values) == []
    assert ScalarMonitor().update(np.where(np.arange(9000) == 6000, 5.0, 0.0)) == []


def test_values_that_never_vary():
    assert ScalarMonitor().update(np.full(5000, 0.1)) == []
    alarms = ScalarMonitor().update(np.repeat([0.1, 0.2], [3200, 64]))
    assert alarms == [3200 + BLOCK - 1]
    assert ScalarMonitor().update(np.tile([0.0, 1.0], 3000)) == []


def test_no_alarm_before_enough_is_known():
    values = np.repeat([0.0, 1.0], BLOCK * (OLDER_BLOCKS - 1))
    assert ScalarMonitor().update(values[: BLOCK * OLDER_BLOCKS]) == []


def test_a_change_below_the_least_effect_is_tolerated():
    rng = np.random.default_rng(86)
    values = rng.normal(size=60_000)
    values[30_000:] += 0.1
    assert ScalarMonitor().update(values)[0] >= 30_000
    assert ScalarMonitor(min_effect=0.2).update(values) == []


def test_a_longer_run_length_gives_fewer_and_later_alarms():
    rng = np.random.default_rng(87)
    values = rng.normal(size=5000)
    values[2000:] += 0.4
    often, seldom = ScalarMonitor(arl=1000).update(values), ScalarMonitor(arl=1e9).update(values)
    assert len(seldom) == 1
    assert seldom[0] >= 2000
    assert next(alarm for alarm in often if alarm >= 2000) < seldom[0]


@pytest.mark.parametrize("values", [[float("nan")], [float("inf")], [1e101], [[0.0]], 3.0])
def test_values_are_finite_numbers_in_one_row(values):
    monitor = ScalarMonitor()
    with pytest.raises(ValueError, match="finite numbers"):
        monitor.update(values)
    assert monitor.seen == 0


def test_state_stays_small():
    monitor = ScalarMonitor()
    monitor.update(np.random.default_rng(88).normal(size=300_000))
    assert len(monitor.to_bytes()) < 6000


@pytest.mark.parametrize(
    "change",
    [
        {"seen": 1},
        {"open": [0.0] * BLOCK},
        {"open": [float("inf"), 0.0]},
        {"more": 1},
        {"blocks": {"means": [1.0]}},
        {"blocks": {"means": [float("nan")], "deviations": [1.0]}},
        {"blocks": {"means": [0.0], "deviations": [-1.0]}},
        {"blocks": {"means": [0.0] * 288, "deviations": [0.0] * 288}},
        {"blocks": {"older": 31}},
        {"blocks": {"sums": [0.0] * (LEVELS - 1)}},
        {"blocks": {"squares": [-1.0] * LEVELS}},
    ],
)
def test_a_state_that_no_stream_leads_to_is_refused(change):
    state = {"blocks": {}, "seen": 2, "open": [1.0, 2.0]}
    assert ScalarMonitor.from_bytes(frame(b"DSSM", 1, msgspec.msgpack.encode(state))).seen == 2
    with pytest.raises(CorruptBytes):
        ScalarMonitor.from_bytes(frame(b"DSSM", 1, msgspec.msgpack.encode({**state, **change})))


@pytest.mark.parametrize("options", [{"arl": 10}, {"arl": float("nan")}, {"min_effect": -0.1}])
def test_options_have_limits(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ScalarMonitor(**options)
