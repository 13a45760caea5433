"""The quality benchmark's streams are what they say, and its runs add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.quality_cost import OURS_COUNTS, OURS_RAW, SCIPY, SORTED, costs
from benchmarks.quality_errors import STREAMS
from benchmarks.quality_judges import Bank, OwnPanel
from benchmarks.quality_peers import ADWIN_TITLE, AdwinPanel, PeerPanel
from benchmarks.quality_peers import RULES as PEER_RULES
from benchmarks.quality_peers_errors import OURS, delays
from benchmarks.quality_real import Stream, replay
from benchmarks.quality_runs import Null, detect, false_alarms, known
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
    panel = OwnPanel({"default": {}})
    found = false_alarms(Null("", WORLD, 200, 5), np.random.default_rng(5), panel)
    assert found["default"].summary()["windows"] == 5
    detected = detect("", WORLD, 1000, np.random.default_rng(6), panel)["default"]
    assert set(detected) == set(SCENARIOS)
    assert detected[".5 sd"].summary()["median_delay"] == 1
    assert detected["corr lost"].summary()["found_percent"] == 100.0
    assert delays(STREAMS["15 % +18 pt"], OURS, 2, np.random.default_rng(7))["driftstream"] == {
        "runs": 2,
        "found_percent": 100.0,
        "median_delay": pytest.approx(250, abs=200),
        "early_alarms": 0,
    }


def test_judges_beside_others_say_what_they_say_alone():
    alone, beside = (
        false_alarms(Null("", WORLD, 200, 6), np.random.default_rng(8), panel)
        for panel in (OwnPanel(), Bank((PeerPanel(), OwnPanel(), AdwinPanel())))
    )
    assert {rule: beside[rule] for rule in alone} == alone
    assert set(beside) - set(alone) == {rule.title for rule in PEER_RULES} | {ADWIN_TITLE}


def test_a_fork_leaves_the_judge_as_it_was():
    rng = np.random.default_rng(9)
    warm = Bank((OwnPanel(), AdwinPanel())).fit(known("", WORLD, 200, WORLD.draw(rng, 2000)))
    moved = WORLD.draw(rng, 200)
    moved["x4"] += 3.0
    calm = WORLD.draw(rng, 200)
    first, second = warm.fork(), warm.fork()
    assert all(judged.drifted for judged in first.judge(moved).values())
    assert not any(judged.drifted for judged in second.judge(calm).values())


def test_replay_splits_at_the_change_and_has_no_delay_without_one():
    rng = np.random.default_rng(10)
    frame = pl.DataFrame({"a": rng.normal(size=3000), "b": rng.choice(["u", "v"], 3000)})
    moved = frame.with_columns(a=pl.col("a") + (pl.int_range(pl.len()) >= 1000) * 2.0)
    stream = Stream("", frame[:2000], moved, 100, 10, {})
    found = replay(stream)["driftstream"]
    assert (found["windows"], found["alarms"], found["delay"]) == (10, 0, 1)
    unknown = replay(replace(stream, change=None))["driftstream"]
    assert (unknown["windows"], unknown["delay"]) == (30, None)
    assert unknown["alarms"] >= 19


def test_every_way_of_judging_a_window_has_its_cost():
    found = costs(np.random.default_rng(11), 1, {"few": (WORLD, 1000)})["few"]
    assert set(found) == {OURS_RAW, OURS_COUNTS, SCIPY, SORTED}
    assert 0 < found[OURS_COUNTS] < found[SCIPY]
    assert 0 < found[SORTED] < found[SCIPY]
