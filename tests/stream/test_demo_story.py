from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from stream.demo.accuracy import accuracy_by_part
from stream.demo.product import configuration
from stream.demo.report import Outcome, Report
from stream.demo.seen import Seen, SeriesWindow
from stream.demo.services import Broker, RedisServer
from stream.demo.serving import LEARNED_ROWS, MODEL, REFERENCE_ROWS, Event, Reading, ServingSystem, readings
from stream.demo.story import DRIFTING_SENSOR, LABEL_DELAY, OFFSET, WINDOW_MS, WINDOW_ROWS, Story
from stream.events import InferenceEvent, LabelEvent
from stream.plans import windows_of
from stream.replay import METRICS, Replay
from stream.replay_intake import ReplaySpec
from stream.row_events import Record
from stream.settings.configuration import parse_settings

URL = "redis://127.0.0.1:1/0"
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
    assert sensor.sign.names == {DRIFTING_SENSOR}


def test_concept_change_is_told_by_late_labels_alone() -> None:
    concept = STORY.injections[1]
    reading = {"f1": 40, "f5": 60}
    labels = [STORY.label(window * WINDOW_ROWS, reading, 0) for window in STORY.windows("inference")]
    changed = [window for window, label in enumerate(labels) if label]
    assert changed == list(range(concept.first, concept.last))
    assert STORY.read(50 * WINDOW_ROWS, reading) == reading


@pytest.fixture(scope="module")
def seen(serving: ServingSystem, rows: list[Reading], events: list[Event]) -> Seen:
    """What the pipeline says of the story, with the settings of the demo and without services."""
    broker, redis = Broker(title="", servers="127.0.0.1:1"), RedisServer(title="", url=URL, prefix="ds")
    settings = parse_settings(configuration(broker, redis, metrics_port=0))
    model = settings.model_spec(MODEL)
    spec = ReplaySpec(
        windows=windows_of(settings)[MODEL],
        min_samples=model.min_samples,
        min_effect=model.min_effect,
        arl=model.arl,
        labels=model.labels,
        out_of_orderness_ms=settings.time.out_of_orderness_ms,
    )
    reference = serving.reference(rows[LEARNED_ROWS : LEARNED_ROWS + REFERENCE_ROWS])
    replay = Replay(spec, reference, sources=("inference", "labels"))
    seen = Seen()
    for message in replay.run((e.source, Record(e.key, e.value, e.ts_ms)) for e in events):
        body = json.loads(message.value or b"")
        if message.topic == METRICS:
            seen.add_record(body)
        else:
            seen.add_alert(str(dict(message.headers)["ce_id"]), body)
    return seen


def test_pipeline_finds_the_story_and_nothing_else(seen: Seen) -> None:
    sent = {"inference": STORY.rows, "labels": STORY.rows}
    outcome = Outcome(sent=sent, broker="", redis="", first_alert_seconds=None, seconds=0.0)
    report = Report.of(STORY, seen, outcome)
    assert report.shortcomings == []
    assert [finding.found.delay_windows for finding in report.findings if finding.found] == [1, 1]
    assert (report.windows, report.final, report.joined) == (160, 80, STORY.rows)


def test_labels_show_the_concept_that_estimates_cannot_see(seen: Seen) -> None:
    stable, sensor, _, concept, recovery = accuracy_by_part(STORY, seen)
    for part in (stable, sensor, recovery):
        assert part.realized is not None
        assert part.realized > 0.99
    assert concept.realized == pytest.approx(0.83, abs=0.01)
    assert concept.estimated == pytest.approx(stable.estimated, abs=0.002)
    assert sensor.estimated is not None
    assert sensor.estimated < 0.98  # wrong readings make the scores unsure, and nothing else


def test_features_are_silent_while_the_concept_changes(seen: Seen) -> None:
    concept = STORY.injections[1]
    ends = [STORY.end_ms(window) for window in range(concept.first, concept.last)]
    assert {seen.windows[SeriesWindow("inference", end_ms)].status for end_ms in ends} == {"ok"}


def test_the_model_is_good_on_rows_it_has_not_seen(serving: ServingSystem, rows: list[Reading]) -> None:
    unseen = rows[LEARNED_ROWS : LEARNED_ROWS + 5_000]
    assert sum(serving.predict(features)[0] == label for features, label in unseen) > 0.98 * len(unseen)
