from __future__ import annotations

import msgspec
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
    with pytest.raises(CorruptBytes, match="version 1"):
        ErrorMonitor.from_bytes(frame(b"DSER", 1, b"\x80"))
    with pytest.raises(ValueError, match="at least 50"):
        ErrorMonitor(arl=10)


@pytest.mark.parametrize(
    "change",
    [
        {"seen": -1},
        {"open_errors": 5},
        {"open_labels": 50, "open_errors": 1},
        {"more": 1},
        {"blocks": {"errors": [51], "rows": [50]}},
        {"blocks": {"errors": [5], "rows": [49]}},
        {"blocks": {"errors": [5, 6], "rows": [50]}},
        {"blocks": {"errors": [5] * 257, "rows": [50] * 257}},
        {"blocks": {"older": [1, 60, 50, 1.0]}},
        {"blocks": {"older": [2, 10, 50, 1.0]}},
        {"blocks": {"older": [1, 10, 50, float("nan")]}},
        {"blocks": {"older": [1, 10, 50]}},
    ],
)
def test_a_state_that_no_stream_leads_to_is_refused(change):
    state = {"blocks": {}, "seen": 50, "open_labels": 0, "open_errors": 0}
    assert ErrorMonitor.from_bytes(frame(b"DSER", 2, msgspec.msgpack.encode(state))).seen == 50
    with pytest.raises(CorruptBytes):
        ErrorMonitor.from_bytes(frame(b"DSER", 2, msgspec.msgpack.encode({**state, **change})))


def _entries(labels, size):
    rows = np.full(labels.size // size, size)
    return labels.reshape(-1, size).sum(axis=1), rows


def test_entries_of_a_block_each_give_what_single_labels_give():
    rng = np.random.default_rng(68)
    for _ in range(5):
        labels = np.concatenate([rng.random(6000) < 0.1, rng.random(6000) < 0.2, rng.random(6000) < 0.4])
        single, counted = ErrorMonitor(), ErrorMonitor()
        positions = single.update(labels)
        entries = counted.update_counts(*_entries(labels, BLOCK))
        assert positions
        assert [BLOCK * entry + BLOCK - 1 for entry in entries] == positions
        assert counted.to_bytes() == single.to_bytes()


def test_small_entries_wait_for_a_block_and_empty_ones_add_nothing():
    rng = np.random.default_rng(69)
    labels = np.concatenate([rng.random(6000) < 0.1, rng.random(3000) < 0.3])
    tens, monitor = ErrorMonitor(), ErrorMonitor()
    expected = monitor.update(labels)
    errors, rows = _entries(labels, 10)
    with_empty = (
        np.column_stack([errors, np.zeros_like(errors)]).ravel(),
        np.column_stack([rows, rows * 0]).ravel(),
    )
    found = tens.update_counts(*with_empty)
    assert expected
    assert [(entry // 2 + 1) * 10 - 1 for entry in found] == expected
    assert tens.to_bytes() == monitor.to_bytes()


def test_entries_of_any_size_show_a_rise_and_nothing_else():
    rng = np.random.default_rng(70)
    rows = rng.integers(0, 2000, 400)
    errors = rng.binomial(rows, np.where(np.arange(400) < 300, 0.1, 0.13))
    whole = ErrorMonitor().update_counts(errors, rows)
    assert 300 <= whole[0] < 310
    one_by_one = ErrorMonitor()
    cut = []
    for entry in range(400):
        found = one_by_one.update_counts(errors[entry : entry + 1], rows[entry : entry + 1])
        cut += [entry] * len(found)
        one_by_one = ErrorMonitor.from_bytes(one_by_one.to_bytes())
    assert cut == whole
    assert one_by_one.seen == rows.sum()
    steady = rng.binomial(rows, 0.1)
    assert ErrorMonitor().update_counts(steady, rows) == []


def test_labels_and_entries_may_be_mixed():
    rng = np.random.default_rng(71)
    labels = rng.random(10_000) < np.where(np.arange(10_000) < 8000, 0.05, 0.2)
    mixed, single = ErrorMonitor(), ErrorMonitor()
    alarms = mixed.update(labels[:4025])
    assert (
        mixed.update_counts([labels[4025:4050].sum(), *_entries(labels[4050:6050], 50)[0]], [25] + [50] * 40)
        == []
    )
    alarms += mixed.update(labels[6050:])
    assert alarms == single.update(labels)
    assert mixed.to_bytes() == single.to_bytes()


@pytest.mark.parametrize(
    ("errors", "rows"),
    [
        ([3], [2]),
        ([-1], [2]),
        ([1, 2], [3]),
        ([[1]], [[2]]),
        ([0.5], [2]),
        ([1], [2.5]),
        ([float("nan")], [2]),
    ],
)
def test_counts_are_whole_numbers_that_fit(errors, rows):
    with pytest.raises(ValueError, match="errors and rows"):
        ErrorMonitor().update_counts(errors, rows)


def test_labels_that_follow_each_other_are_within_the_stated_rate():
    """Errors of 10 % with lag-1 correlation 0.7: 50 streams of 10,000 labels, at most one alarm in 10,000."""
    rng = np.random.default_rng(72)
    alarms = 0
    for _ in range(50):
        fresh, kept = rng.random(10_000) < 0.1, rng.random(10_000) < 0.7
        alarms += len(
            ErrorMonitor().update(fresh[np.maximum.accumulate(np.where(kept, 0, np.arange(10_000)))])
        )
    assert alarms <= 50
