"""What every sequential detector promises, ours and river's, by name."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import CorruptBytes, MismatchError
from detectors.sequential import DETECTOR_NAMES, make_detector, restore_detector

BINARY = {"error_scan", "ddm", "eddm", "hddm_a", "hddm_w"}
# Steady streams that the detector is silent on; the others alarm by themselves, see the benchmark.
QUIET = ("adwin", "error_scan", "mean_scan")


def _stream(name, rng, size, level):
    """Zeros and ones, or numbers, around a level of 0 to 1."""
    if name in BINARY:
        return (rng.random(size) < 0.05 + 0.5 * level).astype(np.float64)
    return rng.normal(size=size) + 3.0 * level


def test_names():
    assert set(DETECTOR_NAMES) == {
        *("error_scan", "mean_scan"),
        *("adwin", "page_hinkley", "kswin", "hddm_a", "hddm_w", "ddm", "eddm"),
    }


@pytest.mark.parametrize("name", DETECTOR_NAMES)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 1500), max_size=6))
def test_alarms_and_state_are_the_same_however_the_stream_is_cut(name, seed, cuts):
    rng = np.random.default_rng(seed)
    size = 70 if name == "kswin" else 500  # a KS test for each value takes its time
    values = np.concatenate([_stream(name, rng, size, level) for level in (0.0, 1.0, 0.2)])
    whole = make_detector(name)
    expected = whole.update(values)
    cut, alarms = make_detector(name), []
    bounds = [0, *sorted(min(cut, values.size) for cut in cuts), values.size]
    for start, end in pairwise(bounds):
        alarms += cut.update(values[start:end])
        cut = restore_detector(name, cut.to_bytes())
    assert alarms == expected
    assert cut.to_bytes() == whole.to_bytes()
    assert cut.seen == whole.seen == values.size


@pytest.mark.parametrize("name", ["error_scan", "mean_scan"])
def test_also_after_more_blocks_than_are_remembered(name):
    rng = np.random.default_rng(90)
    values = np.concatenate([_stream(name, rng, 30_000, 0.3), _stream(name, rng, 3000, 0.36)])
    whole = make_detector(name)
    expected = whole.update(values)
    assert any(30_000 <= alarm < 33_000 for alarm in expected)
    cut, alarms = make_detector(name), []
    bounds = [0, *np.sort(rng.integers(0, values.size, 40)), values.size]
    for start, end in pairwise(bounds):
        alarms += cut.update(values[start:end])
        cut = restore_detector(name, cut.to_bytes())
    assert alarms == expected
    assert cut.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_an_obvious_change_is_found_and_named_by_position(name):
    rng = np.random.default_rng(91)
    change = 200 if name == "kswin" else 2000
    values = np.concatenate([_stream(name, rng, change, 0.0), _stream(name, rng, 400, 1.0)])
    detector = make_detector(name)
    detector.update(values[: change - 10])
    alarms = detector.update(values[change - 10 :])
    assert any(change <= alarm < change + 400 for alarm in alarms)
    assert all(change - 10 <= alarm for alarm in alarms)


@pytest.mark.parametrize("name", QUIET)
def test_a_steady_stream_gives_nothing(name):
    assert make_detector(name).update(_stream(name, np.random.default_rng(92), 20_000, 0.3)) == []


@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_other_bytes_are_refused(name):
    rng = np.random.default_rng(93)
    detector = make_detector(name)
    detector.update(_stream(name, rng, 700, 0.2))
    data = detector.to_bytes()
    for bad in (b"", data[:10], data[:-1], data + b"\0", b"DSXX" + data[4:]):
        with pytest.raises(CorruptBytes):
            restore_detector(name, bad)
    for at in rng.integers(0, len(data), 20):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(CorruptBytes):
            restore_detector(name, bytes(flipped))


@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_refused_values_leave_the_detector_as_it_was(name):
    detector = make_detector(name)
    before = detector.to_bytes()
    for bad in ([0.0, float("nan")], [0.0, 1e101], [[0.0]]):
        with pytest.raises(ValueError, match="one-dimensional"):
            detector.update(bad)
    assert detector.to_bytes() == before
    assert detector.update([]) == []


def test_the_state_of_another_detector_is_refused():
    data = make_detector("ddm").to_bytes()
    with pytest.raises(MismatchError, match="that of ddm"):
        restore_detector("eddm", data)
    with pytest.raises(MismatchError, match="start anew"):
        restore_detector("ddm", data, warm_start=50)
    with pytest.raises(CorruptBytes, match="magic"):
        restore_detector("mean_scan", data)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adwim", {}, "'adwim' is unknown: use one of error_scan, mean_scan, adwin"),
        ("adwin", {"theta": 1.0}, "no option 'theta': use delta, clock"),
        ("adwin", {"delta": "low"}, "delta is 'low': give a value like 0.002"),
        ("adwin", {"clock": 32.5}, "clock is 32.5: give a value like 32"),
        ("adwin", {"clock": 0}, "clock is 0: give 1 to"),
        ("hddm_w", {"drift_confidence": 2.0}, "drift_confidence is 2.0"),
        ("kswin", {"stat_size": 60}, "stat_size is 60: give at most half"),
        ("kswin", {"alpha": -0.1}, "alpha is -0.1"),
        ("page_hinkley", {"mode": "sideways"}, "Invalid 'mode'"),
        ("error_scan", {"arl": -5.0}, "arl is -5.0"),
        ("mean_scan", {"arl": True}, "arl is True"),
    ],
)
def test_options_are_checked(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_detector(name, **options)


def test_options_are_used():
    rng = np.random.default_rng(94)
    values = np.concatenate([rng.normal(size=3000), rng.normal(size=1000) + 0.4])
    patient = make_detector("adwin", delta=1e-9).update(values)
    eager = make_detector("adwin", delta=0.2).update(values)
    assert min(eager) < min(patient)
    data = make_detector("mean_scan", arl=500_000).to_bytes()
    assert restore_detector("mean_scan", data, arl=1000).seen == 0
