"""Labels joined late, in any order, corrected or never: the windows of their predictions in the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from detectors import Reference
from stream.one_model import load_memory, load_model
from stream.series import SeriesKey
from stream.watermarks import BEATS_TO_SETTLE
from tests.stream.label_world import HORIZON_MS, PANES, RESTATE_MS, SLIDE_MS, World, known_loans

KEY = SeriesKey("inference", "v1")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return known_loans()


def check(world: World, end_ms: int, realized: dict[str, Any], rows: np.ndarray) -> None:
    label, score, said = world.label[rows], world.score[rows], world.prediction[rows]
    assert realized["n"] == len(rows)
    assert realized["accuracy"] == accuracy_score(label, said)
    assert realized["f1"] == pytest.approx(f1_score(label, said), abs=1e-12)
    assert realized["log_loss"] == pytest.approx(log_loss(label, score), abs=1e-12)
    assert abs(realized["roc_auc"] - roc_auc_score(label, score)) <= realized["roc_auc_error"] + 1e-12


@pytest.mark.parametrize("restart", [False, True], ids=["one owner", "a new owner at every look"])
def test_final_numbers_are_those_of_a_batch(reference: Reference, *, restart: bool) -> None:
    world = World(reference)
    rng = np.random.default_rng(5)
    rows = rng.permutation(len(world.key))
    never, early, others = rows[:72], rows[72:96], rows[96:]
    world.tell(early)
    world.predict()
    world.look()
    wrong_first = others[:50]
    world.tell(wrong_first, 1.0 - world.label[wrong_first], later_ms=-1)
    for part in np.array_split(others, 7):
        world.tell(part)
        world.tell(part[:20])
        if restart:
            world.start()
        world.look()
    provisional = world.newest()
    assert not any(record["performance"]["realized"]["final"] for record in provisional.values())
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    final = world.newest()
    assert sorted(final) == [SLIDE_MS * (pane + 1) for pane in range(PANES + 1)]
    for end_ms, record in final.items():
        performance = record["performance"]
        inside = world.rows_of(end_ms)
        labelled = np.setdiff1d(inside, never)
        check(world, end_ms, performance["realized"], labelled)
        assert performance["realized"]["final"]
        assert performance["realized"]["predictions"] == len(inside)
        assert performance["realized"]["coverage"] == len(labelled) / len(inside)
        for value in ("eu", "us"):
            segment = performance["segments"][f"region={value}"]
            check(world, end_ms, segment, labelled[world.segment[labelled] == value])
        delays = (world.known_ms - world.ts_ms)[labelled]
        assert performance["realized"]["delay_p50_ms"] == pytest.approx(np.median(delays), rel=0.05)
        assert performance["estimated"]["accuracy"] == pytest.approx(0.75, abs=0.05)
        assert performance["estimated"]["standard_error"] > 0
        assert record["n"] == len(inside)
    world.look()
    assert len(world.records) == len(
        {(r["source"], r["window_end_ms"], r["revision"]) for r in world.records}
    )
    for source in ("inference", "labels"):
        world.commit(source, HORIZON_MS + RESTATE_MS + 20 * SLIDE_MS)
    world.look()
    forgotten = world.evaluator._held["m"].evaluation.changed_memory()
    assert forgotten == dict.fromkeys(load_memory(world.store, "m"))


def test_labels_with_late_times_that_come_first_do_not_end_the_wait(reference: Reference) -> None:
    world = World(reference)
    world.predict()
    world.look()
    first, later = np.array_split(np.arange(len(world.key)), 2)
    world.tell(first)
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)  # one of them said it was from later than it came
    world.look()
    world.tell(later)
    world.look()
    for end_ms, record in world.newest().items():
        check(world, end_ms, record["performance"]["realized"], world.rows_of(end_ms))


def test_labels_that_come_after_a_quiet_while_restate_what_was_final(reference: Reference) -> None:
    world = World(reference)
    first, later = np.array_split(np.arange(len(world.key)), 2)
    world.predict()
    world.tell(first)
    for beat in range(1, BEATS_TO_SETTLE + 2):
        world.commit("labels", 0, idle_beat=beat)
        world.look()
    quiet = world.newest()
    assert all(record["performance"]["realized"]["final"] for record in quiet.values())
    world.tell(later)
    world.look()
    for end_ms, record in world.newest().items():
        check(world, end_ms, record["performance"]["realized"], world.rows_of(end_ms))
        assert record["performance"]["realized"]["final"]


def test_nothing_is_published_when_nothing_changed(reference: Reference) -> None:
    world = World(reference)
    world.predict()
    world.look()
    half = np.arange(len(world.key))[::2]
    world.tell(half)
    world.look()
    before = len(world.records)
    world.tell(half)
    world.look()
    assert len(world.records) == before
    revision, state = load_model(world.store, "m")
    world.tell(np.arange(len(world.key))[1:40:2])  # few more labels are no news yet
    world.look()
    assert len(world.records) == before
    assert load_model(world.store, "m")[0] == revision + 1
    assert load_model(world.store, "m")[1] is state  # it was not even written


def test_silence_can_be_an_answer(reference: Reference) -> None:
    world = World(reference, negative=0.0, negative_after_ms=100_000)
    positives = np.flatnonzero(world.label == 1.0)
    world.predict()
    world.look()
    world.tell(positives)
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    for end_ms, record in world.newest().items():
        check(world, end_ms, record["performance"]["realized"], world.rows_of(end_ms))


def test_where_silence_is_an_answer_it_is_judged_as_one(reference: Reference) -> None:
    world = World(reference, negative=0.0, negative_after_ms=100_000)
    world.predict()
    world.look()
    world.tell(np.flatnonzero(world.label == 1.0))
    world.commit("labels", 50_000)
    world.look()
    judge = world.evaluator._held["m"].evaluation._series[KEY].outcomes._judge
    assert judge.judged_ms == 0  # too soon to take silence for an answer
    world.commit("labels", 100_000 + 20 * SLIDE_MS)
    world.look()
    assert judge.judged_ms == (PANES + 1) * SLIDE_MS
    assert world.alerts == []


def test_a_prediction_after_its_window_was_forgotten_changes_nothing(reference: Reference) -> None:
    world = World(reference)
    world.predict()
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    for source in ("inference", "labels"):
        world.commit(source, HORIZON_MS + RESTATE_MS + 20 * SLIDE_MS)
    world.look()
    before = len(world.records)
    world.key = world.key + np.uint64(100_000)
    world.join_predictions(np.arange(10))
    world.look()
    assert len(world.records) == before


def test_labels_that_contradict_the_scores_are_concept_drift(reference: Reference) -> None:
    world = World(reference)
    later = world.ts_ms >= 3 * SLIDE_MS
    world.label = np.where(later, 1.0 - world.label, world.label)
    world.predict()
    world.look()
    assert not world.alerts
    world.tell(np.arange(len(world.key)))
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    firing = [a for a in world.alerts if a["status"] == "firing"]
    assert {a["labels"]["alertname"] for a in firing} == {"concept_drift", "performance_drop"}
    assert {a["labels"]["severity"] for a in firing} == {"page"}
    for alert in firing:
        evidence = alert["evidence"]
        assert evidence["window_start_ms"] == 3 * SLIDE_MS
        assert evidence["realized"] < 0.35 < 0.7 < evidence["estimated"]
        assert evidence["track_record"]["windows"] == 4


def test_scores_that_promise_less_are_told_before_any_label(reference: Reference) -> None:
    world = World(reference)
    world.score = np.where(world.ts_ms >= 3 * SLIDE_MS, 0.4 + world.score / 5, world.score)
    world.prediction = (world.score > 0.5).astype(float)
    world.predict()
    world.look()
    (alert,) = [a for a in world.alerts if a["labels"]["alertname"] == "estimated_performance_drop"]
    assert (alert["status"], alert["labels"]["severity"]) == ("firing", "page")
    assert alert["evidence"]["window_end_ms"] == 4 * SLIDE_MS
    assert alert["evidence"]["estimated"] < 0.65
    assert alert["evidence"]["track_record"] is None


def test_labels_that_stop_are_a_drought(reference: Reference) -> None:
    world = World(reference)
    world.predict()
    world.look()
    world.tell(np.flatnonzero(world.ts_ms < 3 * SLIDE_MS))
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    told = [a["labels"]["alertname"] for a in world.alerts if a["status"] == "firing"]
    assert told == ["label_drought"]


@pytest.mark.parametrize("flip", [False, True], ids=["as it was", "contradicted"])
def test_a_new_owner_at_every_look_tells_the_same(reference: Reference, *, flip: bool) -> None:
    told = []
    for restart in (False, True):
        world = World(reference)
        if flip:
            world.label = 1.0 - world.label
        world.predict()
        world.look()
        for pane in range(PANES):
            world.tell(np.flatnonzero(world.ts_ms // SLIDE_MS == pane))
            world.commit("labels", (pane + 1) * SLIDE_MS)
            if restart:
                world.start()
            world.look()
        told.append((world.alerts, world.newest()))
    assert told[0] == told[1]
    assert bool(told[0][0]) == flip
