"""The quality benchmark's streams are what they say, and its runs add up."""

from __future__ import annotations

import numpy as np

from benchmarks.quality_errors import STREAMS, delays
from benchmarks.quality_runs import Null, detect, false_alarms
from benchmarks.quality_world import MOVING, NORMALS, SCENARIOS, World, count, daily, wander

WORLD = World()


def test_the_world_has_the_columns_that_it_describes():
    columns = World(2).draw(np.random.default_rng(1), 20_000)
    assert len(columns) == 40
    correlation = np.corrcoef([columns[name] for name in NORMALS])
    assert np.allclose(correlation[np.triu_indices(8, 1)], 0.5, atol=0.03)
    assert abs(np.isnan(columns["holes"]).mean() - 0.01) < 0.003
    assert abs((columns["zeros"] == 0).mean() - 0.7) < 0.02
    assert abs(np.corrcoef(columns["x0"], columns["x0.1"])[0, 1]) < 0.03


def test_counts_are_those_of_the_raw_columns():
    columns = WORLD.draw(np.random.default_rng(2), 2000)
    reference = WORLD.reference(columns, 100)
    columns["eight"][:7] = 30
    raw = {
        name: [f"v{level}" for level in values] if values.dtype.kind == "i" else values
        for name, values in columns.items()
    }
    assert count(reference, columns) == reference.count(raw)
    assert count(reference, columns).moments is not None


def test_offsets_move_by_what_they_say():
    rng = np.random.default_rng(3)
    offsets = wander(rng, WORLD, 5000, 0.8, 0.1)
    assert offsets.shape == (5000, 1, len(MOVING))
    assert np.allclose(offsets.std(axis=0), 0.1, atol=0.02)
    lagged = np.mean(offsets[1:] * offsets[:-1]) / np.mean(offsets**2)
    assert abs(lagged - 0.8) < 0.05
    assert np.allclose(daily(WORLD, 48)[:24], daily(WORLD, 48)[24:])
    still, moved = (WORLD.draw(np.random.default_rng(4), 50_000, np.full((1, 15), by)) for by in (0.0, 0.5))
    for name in ("x0", "t0", "holes"):
        shift = (np.nanmean(moved[name]) - np.nanmean(still[name])) / np.nanstd(still[name])
        assert abs(shift - 0.5) < 0.1


def test_runs_add_up():
    rules = {"default": {}}
    found = false_alarms(Null("", WORLD, 200, 5), np.random.default_rng(5), rules)
    assert found["default"].summary()["windows"] == 5
    detected = detect(WORLD, 1000, np.random.default_rng(6), rules)["default"]
    assert set(detected) == set(SCENARIOS)
    assert detected[".5 sd"].summary()["median_delay"] == 1
    assert detected["corr lost"].summary()["found_percent"] == 100.0
    assert delays(STREAMS["15 % +18 pt"], 2, np.random.default_rng(7))["found_percent"] == 100.0
