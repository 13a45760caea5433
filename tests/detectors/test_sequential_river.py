"""The adapters against the river objects themselves, and their states against what must not be read."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
import numpy as np
import pytest
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, EDDM, HDDMA, HDDMW

from detectors import CorruptBytes
from detectors.framing import frame, unframe
from detectors.sequential import RiverDetector
from detectors.sequential.river_catalog import RIVER

CASES = {
    "adwin": (ADWIN, [{}, {"delta": 0.2, "clock": 5, "max_buckets": 3, "min_window_length": 9}]),
    "page_hinkley": (PageHinkley, [{}, {"threshold": 10.0, "mode": "down", "min_instances": 5}]),
    "kswin": (KSWIN, [{"seed": 1}, {"seed": 9, "window_size": 60, "stat_size": 20}]),
    "hddm_a": (HDDMA, [{}, {"two_sided_test": True, "drift_confidence": 0.01}]),
    "hddm_w": (HDDMW, [{}, {"two_sided_test": True, "lambda_val": 0.1}]),
    "ddm": (DDM, [{}, {"warm_start": 100, "drift_threshold": 2.5}]),
    "eddm": (EDDM, [{}, {"alpha": 0.99, "beta": 0.95}]),
}


def _values(name, seed, size=1200):
    rng = np.random.default_rng(seed)
    rates = np.repeat([0.2, 0.6, 0.1], size // 3)
    ones = rng.random(size) < rates
    return ones.astype(np.float64) if RIVER[name].domain != "real" else rng.normal(size=size) + 4.0 * rates


def _plain(detector, values):
    alarms = []
    for position, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            alarms.append(position)
    return alarms


@pytest.mark.parametrize("name", CASES)
def test_alarms_are_those_of_river_also_across_restored_states(name):
    kind, option_sets = CASES[name]
    assert set(CASES) == set(RIVER)
    for seed, options in enumerate(option_sets):
        values = _values(name, seed, 450 if name == "kswin" else 1200)
        expected = _plain(kind(**options), values)
        detector = RiverDetector(name, **options)
        found = []
        for part in np.array_split(values, 7):
            found += detector.update(part)
            detector = RiverDetector.from_bytes(detector.to_bytes(), name, **options)
        assert expected
        assert found == expected


@pytest.mark.parametrize("name", CASES)
def test_defaults_are_those_of_river(name):
    fresh = CASES[name][0]()
    for option, value in RIVER[name].options.items():
        if option != "seed":
            assert getattr(fresh, option) == value, option


@pytest.mark.parametrize("name", CASES)
def test_every_attribute_that_changes_is_in_the_state(name):
    """A new attribute in another version of river would otherwise be lost in silence."""
    fresh = CASES[name][0]()
    paths = {field.path.split(".")[0] for field in RIVER[name].fields}
    fixed = {*RIVER[name].options, "_test_drift"}
    assert set(vars(fresh)) <= paths | fixed


def test_an_ulp_of_an_adwin_window_survives():
    rng = np.random.default_rng(95)
    values = rng.lognormal(size=30_000)
    detector = RiverDetector("adwin")
    detector.update(values)
    river = ADWIN()
    _plain(river, values)
    restored = RiverDetector.from_bytes(detector.to_bytes(), "adwin")
    assert restored._detector._helper.__getstate__() == river._helper.__getstate__()
    assert (restored._detector.width, restored._detector.total) == (river.width, river.total)


def test_kswin_draws_the_same_samples_in_every_process():
    values = _values("kswin", 96, 600)
    assert RiverDetector("kswin").update(values) == RiverDetector("kswin").update(values)


def _changed(name, change):
    detector = RiverDetector(name)
    detector.update(_values(name, 97, 300))
    state = msgspec.msgpack.decode(unframe(b"DSRV", 1, detector.to_bytes()))
    change(state)
    return frame(b"DSRV", 1, msgspec.msgpack.encode(state))


def test_another_version_of_river_is_refused():
    with pytest.raises(CorruptBytes, match=rf"river 0\.1\.0, here is {version('river')}: start anew"):
        RiverDetector.from_bytes(_changed("ddm", lambda state: state.update(river="0.1.0")), "ddm")


def _set(name, value):
    return lambda state: state["fields"].__setitem__(name, value)


def _in_window(**change):
    return lambda state: state["fields"]["_helper"].update(change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ddm", lambda state: state.update(seen=-1)),
        ("ddm", lambda state: state.update(more=1)),
        ("ddm", lambda state: state["fields"].pop("_p.n")),
        ("ddm", _set("_p.m", 1.0)),
        ("ddm", _set("_p.n", float("nan"))),
        ("ddm", _set("_p.n", "12")),
        ("ddm", _set("_drift_detected", 1)),
        ("ddm", _set("_p_min", True)),
        ("eddm", _set("_n_errors", -1)),
        ("eddm", _set("_n_errors", 1.5)),
        ("hddm_w", _set("_total", [0.5])),
        ("hddm_w", _set("_total", 0.5)),
        ("kswin", _set("window", [0.0] * 101)),
        ("kswin", _set("window", ["a"])),
        ("kswin", _set("_rng", [0] * 624)),
        ("kswin", _set("_rng", [0] * 624 + [625])),
        ("kswin", _set("_rng", [1 << 32] * 625)),
        ("adwin", _set("_helper", [])),
        ("adwin", _in_window(width=4.0)),
        ("adwin", _in_window(rows=[])),
        ("adwin", _in_window(total=float("inf"))),
        ("adwin", _in_window(tick=-1)),
        ("adwin", _in_window(tick=1 << 31)),
        ("adwin", _in_window(more=1)),
        ("adwin", lambda state: state["fields"]["_helper"]["rows"][0].update(used=7)),
        ("adwin", lambda state: state["fields"]["_helper"]["rows"][0].update(sums=[0.0])),
    ],
)
def test_states_that_no_stream_leads_to_are_refused(name, change):
    assert RiverDetector.from_bytes(_changed(name, lambda state: None), name).seen == 300
    with pytest.raises(CorruptBytes):
        RiverDetector.from_bytes(_changed(name, change), name)


def test_river_is_imported_by_the_first_of_its_detectors_only():
    import subprocess
    import sys

    code = "import sys, detectors; from detectors.sequential import make_detector as m; m('mean_scan');"
    check = code + "print('river' in sys.modules); m('ddm'); print('river' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "True"]
