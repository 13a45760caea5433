from __future__ import annotations

import numpy as np
import pytest

from detectors import CorruptBytes, ErrorMonitor
from detectors.framing import frame
from detectors.sequential import BLOCK


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1, 0.25, 1.0])
def test_a_steady_rate_gives_nothing(rate):
    labels = np.random.default_rng(61).random(500_000) < rate
    assert ErrorMonitor().update(labels) == []


@pytest.mark.parametrize(
    ("before", "after", "within"), [(0.1, 0.2, 800), (0.1, 0.15, 3000), (0.02, 0.07, 1500)]
)
def test_a_rise_is_found(before, after, within):
    rng = np.random.default_rng(62)
    for _ in range(10):
        labels = np.concatenate([rng.random(10_000) < before, rng.random(8_000) < after])
        first = ErrorMonitor().update(labels)[0]
        assert 10_000 <= first < 10_000 + within


def test_a_fall_is_no_alarm():
    rng = np.random.default_rng(63)
    assert ErrorMonitor().update(np.concatenate([rng.random(9000) < 0.3, rng.random(9000) < 0.1])) == []


def test_after_an_alarm_the_scan_starts_anew():
    rng = np.random.default_rng(64)
    steps = [rng.random(5000) < rate for rate in (0.05, 0.15, 0.35)]
    alarms = ErrorMonitor().update(np.concatenate(steps))
    assert len(alarms) == 2
    assert 5000 <= alarms[0] < 6000 < 10_000 <= alarms[1] < 11_000


def test_clustered_errors_are_not_taken_for_a_rise():
    """The rate wanders from block to block around a steady mean, as labels in time order do."""
    rng = np.random.default_rng(65)
    rates = np.repeat(rng.beta(2, 8, 4000), BLOCK)
    assert len(ErrorMonitor().update(rng.random(rates.size) < rates)) <= 1


@pytest.mark.parametrize("size", [1, 7, 50, 333, 20_000])
def test_alarms_are_the_same_however_the_labels_are_cut(size):
    rng = np.random.default_rng(66)
    labels = np.concatenate([rng.random(6000) < 0.05, rng.random(3010) < 0.2])
    whole, cut = ErrorMonitor(), ErrorMonitor()
    expected = whole.update(labels)
    alarms = []
    for start in range(0, labels.size, size):
        cut = ErrorMonitor.from_bytes(cut.to_bytes()) if size > 10 else cut
        alarms += cut.update(labels[start : start + size])
    assert alarms == expected
    assert cut.to_bytes() == whole.to_bytes()
    assert cut.seen == labels.size


def test_state_stays_small():
    monitor = ErrorMonitor()
    monitor.update(np.random.default_rng(67).random(200_000) < 0.2)
    assert len(monitor.to_bytes()) < 1024


@pytest.mark.parametrize("labels", [[0, 2], [0.5], [float("nan")], [[0, 1]]])
def test_only_zeros_and_ones_are_labels(labels):
    with pytest.raises(ValueError, match="zeros and ones"):
        ErrorMonitor().update(labels)


def test_impossible_states_are_refused():
    data = ErrorMonitor().to_bytes()
    with pytest.raises(CorruptBytes):
        ErrorMonitor.from_bytes(data[:-1])
    for payload in (b"\x00", b"\x81\xabopen_errors\x05", b"\x81\xa6recent\x91\x33"):
        with pytest.raises(CorruptBytes):
            ErrorMonitor.from_bytes(frame(b"DSER", 1, payload))
    with pytest.raises(ValueError, match="at least 50"):
        ErrorMonitor(arl=10)
