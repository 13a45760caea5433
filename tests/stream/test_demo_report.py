from __future__ import annotations

from typing import Any

import pytest

from stream.demo.report import Outcome, Report
from stream.demo.seen import Seen
from stream.demo.story import WINDOW_MS, WINDOW_ROWS, Story

STORY = Story(1_760_000_000_000)
SENSOR, CONCEPT = STORY.injections


def record(window: int, source: str = "inference", n: int = WINDOW_ROWS, revision: int = 0) -> dict[str, Any]:
    return {
        "source": source,
        "window_end_ms": STORY.end_ms(window),
        "n": n,
        "revision": revision,
        "status": "ok",
        "drifted": [],
    }


def body(window: int, kind: str, columns: list[str], status: str = "firing") -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": kind, "severity": "ticket"},
        "fingerprint": kind,
        "evidence": {
            "incident_features": columns,
            "window_start_ms": STORY.end_ms(window) - WINDOW_MS,
            "window_end_ms": STORY.end_ms(window),
        },
    }


def report(*bodies: dict[str, Any], lost: int = 0) -> Report:
    seen = Seen()
    for source in ("inference", "labels"):
        for window in STORY.windows(source):
            seen.add_record(record(window, source))
    for number, each in enumerate(bodies):
        seen.add_alert(str(number), each)
    sent = {"inference": STORY.rows + lost, "labels": STORY.rows}
    outcome = Outcome(sent=sent, broker="b", redis="r", first_alert_seconds=9.5, seconds=50.0)
    return Report.of(STORY, seen, outcome)


FOUND = (body(SENSOR.first, "data_drift", ["f1"]), body(CONCEPT.first + 1, "label_drift", ["label"]))


def test_everything_found_and_nothing_else() -> None:
    result = report(*FOUND, body(SENSOR.first + 2, "prediction_drift", ["score"]))
    assert result.shortcomings == []
    assert [finding.delay_windows for finding in result.findings] == [1, 2]
    assert result.to_dict() | {"injected": []} == {
        "ok": True,
        "events": 2 * STORY.rows,
        "counted": 2 * STORY.rows,
        "windows": 160,
        "first_alert_seconds": 9.5,
        "injected": [],
        "false_alarms": 0,
        "shortcomings": [],
        "broker": "b",
        "redis": "r",
        "seconds": 50.0,
    }


def test_what_is_not_found_is_named() -> None:
    result = report(FOUND[0])
    assert result.shortcomings == [f"not found: {CONCEPT.name}"]
    assert result.to_dict()["injected"][1]["found"] is False
    assert "NOT FOUND" in result.to_text()


@pytest.mark.parametrize(
    ("window", "kind", "columns"),
    [
        (3, "data_drift", ["f1"]),
        (SENSOR.first - 1, "data_drift", ["f1"]),
        (SENSOR.last, "data_drift", ["f1"]),
        (SENSOR.first, "data_drift", ["f2"]),
        (SENSOR.first, "data_drift", ["f1", "f2"]),
        (SENSOR.first, "label_drift", ["label"]),
        (SENSOR.first, "data_quality", ["f1"]),
        (CONCEPT.first, "prediction_drift", ["score"]),
        (CONCEPT.first - CONCEPT.delay, "label_drift", ["label"]),
        (84, "label_drift", ["label"]),
    ],
)
def test_alert_that_no_injection_explains_is_a_false_alarm(
    window: int, kind: str, columns: list[str]
) -> None:
    result = report(*FOUND, body(window, kind, columns))
    assert len(result.false_alarms) == 1
    assert result.shortcomings[0].startswith(f"false alarm: {kind} ({', '.join(columns)}) in the window")


def test_alert_about_no_window_is_a_false_alarm() -> None:
    lost = body(0, "data_loss", []) | {"evidence": {"lost": 3}}
    assert [alert.kind for alert in report(*FOUND, lost).false_alarms] == ["data_loss"]


def test_resolved_notices_are_no_alarms() -> None:
    result = report(*FOUND, body(SENSOR.last + 1, "data_drift", ["f1"], "resolved"))
    assert result.shortcomings == []
    assert result.findings[0].resolved_ms == STORY.end_ms(SENSOR.last + 1)
    assert result.findings[1].resolved_ms is None


def test_uncounted_events_are_said() -> None:
    assert report(*FOUND, lost=7).shortcomings == ["inference: 20007 events sent, 20000 counted"]


def test_last_revision_of_a_window_counts() -> None:
    seen = Seen()
    for n, revision in ((200, 0), (250, 1), (200, 0)):
        seen.add_record(record(1, n=n, revision=revision))
    assert seen.counted("inference") == 250


def test_alert_that_comes_twice_is_one() -> None:
    seen = Seen()
    assert seen.add_alert("a", FOUND[0])
    assert not seen.add_alert("a", FOUND[0])
    assert len(seen.firing) == 1
