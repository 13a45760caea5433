from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from detectors import Monitor, Verdict
from stream.demo.serving import LEARNED_ROWS, REFERENCE_ROWS, Event, Reading, ServingSystem, readings
from stream.demo.story import DRIFTING_SENSOR, LABEL_DELAY, OFFSET, WINDOW_MS, WINDOW_ROWS, Story
from stream.events import InferenceEvent, LabelEvent

NOW_MS = 1_760_000_004_321
STORY = Story.ending_before(NOW_MS)


@pytest.fixture(scope="module")
def rows() -> list[Reading]:
    return readings()


@pytest.fixture(scope="module")
def serving(rows: list[Reading]) -> ServingSystem:
    return ServingSystem.trained(rows[:LEARNED_ROWS])


@pytest.fixture(scope="module")
def events(serving: ServingSystem, rows: list[Reading]) -> list[Event]:
    return list(serving.events(STORY, rows[LEARNED_ROWS + REFERENCE_ROWS :]))


def test_story_starts_a_window_and_ends_in_the_past() -> None:
    assert STORY.start_ms % WINDOW_MS == 0
    assert NOW_MS - WINDOW_MS < STORY.labelled_ms(STORY.rows - 1) < NOW_MS


def test_windows_are_named_by_their_ends() -> None:
    assert STORY.end_ms(0) == STORY.start_ms + WINDOW_MS
    assert [STORY.window_of(STORY.end_ms(window)) for window in (0, 20, 84)] == [0, 20, 84]


def test_data_set_is_long_enough_for_every_part(rows: list[Reading]) -> None:
    assert len(rows) >= LEARNED_ROWS + REFERENCE_ROWS + STORY.rows
    assert REFERENCE_ROWS // WINDOW_ROWS >= 60


def test_every_window_holds_the_rows_of_a_window(events: list[Event]) -> None:
    counts = Counter((event.source, (event.ts_ms - STORY.start_ms) // WINDOW_MS) for event in events)
    expected = [("inference", w) for w in STORY.windows("inference")]
    expected += [("labels", w) for w in STORY.windows("labels")]
    assert counts == dict.fromkeys(expected, WINDOW_ROWS)


def test_events_come_in_the_order_of_event_time(events: list[Event]) -> None:
    assert all(before.ts_ms <= after.ts_ms for before, after in pairwise(events))


def test_events_are_of_the_documented_form(events: list[Event]) -> None:
    first = msgspec.json.decode(events[0].value, type=InferenceEvent)
    last = msgspec.json.decode(events[-1].value, type=LabelEvent)
    assert (first.prediction_id, first.ts) == ("0", STORY.start_ms)
    assert (last.prediction_id, last.ts) == (str(STORY.rows - 1), events[-1].ts_ms)
    assert events[-1].ts_ms == STORY.predicted_ms(STORY.rows - 1) + LABEL_DELAY * WINDOW_MS


def test_sensor_drift_changes_one_sensor_in_its_windows_only() -> None:
    sensor = STORY.injections[0]
    reading = {"f1": 40, "f5": 30}
    read = [STORY.read(window * WINDOW_ROWS, reading) for window in STORY.windows("inference")]
    changed = [window for window, each in enumerate(read) if each != reading]
    assert changed == list(range(sensor.first, sensor.last))
    assert read[sensor.first] == {"f1": 40 + OFFSET, "f5": 30}
    assert sensor.columns == {DRIFTING_SENSOR}


def test_concept_change_is_told_by_late_labels_alone() -> None:
    concept = STORY.injections[1]
    reading = {"f1": 40, "f5": 60}
    labels = [STORY.label(window * WINDOW_ROWS, reading, 0) for window in STORY.windows("inference")]
    changed = [window + LABEL_DELAY for window, label in enumerate(labels) if label]
    assert changed == list(range(concept.first, concept.last))
    assert STORY.read(50 * WINDOW_ROWS, reading) == reading


def verdicts(serving: ServingSystem, rows: list[Reading], events: list[Event]) -> dict[str, list[Verdict]]:
    """What the detectors alone say of each window, by source."""
    reference = serving.reference(rows[LEARNED_ROWS : LEARNED_ROWS + REFERENCE_ROWS])
    columns: dict[str, dict[str, list[float]]] = {"inference": {}, "labels": {}}
    for event in events:
        value = msgspec.json.decode(event.value)
        named = {**value.get("features", {}), **{k: value[k] for k in reference.names if k in value}}
        for name, each in named.items():
            columns[event.source].setdefault(name, []).append(each)
    found: dict[str, list[Verdict]] = {}
    for source, values in columns.items():
        part = reference.for_source(source)
        assert part is not None
        monitor = Monitor(part)
        starts = range(0, STORY.rows, WINDOW_ROWS)
        found[source] = [
            monitor.update({name: column[at : at + WINDOW_ROWS] for name, column in values.items()})
            for at in starts
        ]
    return found


def test_detectors_find_the_story_and_nothing_else(
    serving: ServingSystem, rows: list[Reading], events: list[Event]
) -> None:
    for source, said in verdicts(serving, rows, events).items():
        (injection,) = (i for i in STORY.injections if ("label" in i.columns) == (source == "labels"))
        first, last = injection.first - injection.delay, injection.last - injection.delay
        drifted = [window for window, verdict in enumerate(said) if verdict.drifted]
        assert drifted[0] == first
        assert set(range(first, last)) <= set(drifted)
        assert drifted[-1] <= last + 2
        allowed = injection.columns | {"score", "prediction"}
        assert {name for verdict in said for name in verdict.drifted_names} <= allowed


def test_the_model_is_good_on_rows_it_has_not_seen(serving: ServingSystem, rows: list[Reading]) -> None:
    unseen = rows[LEARNED_ROWS : LEARNED_ROWS + 5_000]
    assert sum(serving.predict(features)[0] == label for features, label in unseen) > 0.98 * len(unseen)
