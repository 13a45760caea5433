from __future__ import annotations

from typing import Any

import pytest

from stream.demo.report import Outcome, Report
from stream.demo.report_text import report_text
from stream.demo.seen import Seen
from stream.demo.story import LABEL_DELAY, WINDOW_MS, WINDOW_ROWS, Story

STORY = Story(1_760_000_000_000)
SENSOR, CONCEPT = STORY.injections


def record(window: int, source: str = "inference", n: int = WINDOW_ROWS, revision: int = 0) -> dict[str, Any]:
    realized = {"accuracy": 0.83 if STORY.part_of(window).name.startswith("concept") else 0.996}
    return {
        "source": source,
        "window_end_ms": STORY.end_ms(window),
        "n": n,
        "revision": revision,
        "status": "ok",
        "drifted": [],
        **({"performance": performance(realized)} if source == "inference" else {}),
    }


def performance(realized: dict[str, Any], n: int = WINDOW_ROWS) -> dict[str, Any]:
    known = {"n": n, "coverage": n / WINDOW_ROWS, "final": n == WINDOW_ROWS}
    return {"realized": realized | known, "estimated": {"accuracy": 0.995}}


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


def report(*bodies: dict[str, Any], lost: int = 0, instead: dict[str, Any] | None = None) -> Report:
    seen = Seen()
    for source in ("inference", "labels"):
        for window in STORY.windows(source):
            seen.add_record(record(window, source))
    if instead is not None:
        seen.add_record(instead)
    for number, each in enumerate(bodies):
        seen.add_alert(str(number), each)
    sent = {"inference": STORY.rows + lost, "labels": STORY.rows}
    outcome = Outcome(sent=sent, broker="b", redis="r", first_alert_seconds=9.5, seconds=50.0)
    return Report.of(STORY, seen, outcome)


DROP = body(CONCEPT.first, "performance_drop", ["accuracy"])
LABELS = body(CONCEPT.first + LABEL_DELAY, "label_drift", ["label"])
FOUND = (body(SENSOR.first, "data_drift", ["f1"]), body(CONCEPT.first + 1, "concept_drift", ["accuracy"]))


def test_everything_found_and_nothing_else() -> None:
    result = report(*FOUND, body(SENSOR.first + 2, "prediction_drift", ["score"]), DROP, LABELS)
    assert result.shortcomings == []
    assert [finding.found and finding.found.delay_windows for finding in result.findings] == [1, 2]
    also = [[(each.alert.kind, each.delay_windows) for each in finding.also] for finding in result.findings]
    assert also == [[("prediction_drift", 3)], [("performance_drop", 1), ("label_drift", 1)]]
    assert result.to_dict() | {"injected": [], "accuracy": []} == {
        "ok": True,
        "events": 2 * STORY.rows,
        "counted": 2 * STORY.rows,
        "joined": STORY.rows,
        "windows": 160,
        "final": 80,
        "first_alert_seconds": 9.5,
        "injected": [],
        "accuracy": [],
        "false_alarms": 0,
        "shortcomings": [],
        "broker": "b",
        "redis": "r",
        "seconds": 50.0,
    }


def test_findings_and_accuracy_for_a_machine() -> None:
    answer = report(*FOUND, LABELS).to_dict()
    concept = answer["injected"][1]
    found = {"kind": "concept_drift", "names": ["accuracy"], "severity": "ticket", "delay_windows": 2}
    assert (concept["wanted"], concept["found"]) == ("concept_drift", found | {"resolved": None})
    assert [each["kind"] for each in concept["also"]] == ["label_drift"]
    assert answer["accuracy"][3] == {
        "part": "concept changes",
        "windows": [CONCEPT.first, CONCEPT.last - 1],
        "estimated": pytest.approx(0.995),
        "realized": pytest.approx(0.83),
        "n": 15 * WINDOW_ROWS,
        "coverage": 1.0,
    }


def test_text_has_a_row_for_each_incident() -> None:
    lines = report_text(report(*FOUND, DROP)).splitlines()
    rows = [line.split("  ") for line in lines if "drift (" in line or "drop (" in line]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        [SENSOR.name, "data_drift (f1)", "1 window", "no"],
        [CONCEPT.name, "concept_drift (accuracy)", "2 windows", "no"],
        ["(labels come 5 windows late)", "performance_drop (accuracy)", "1 window", "no"],
    ]
    assert "50 to 64  concept changes   0.9950              0.8300     100%" in lines


def test_labels_that_were_not_joined_are_said() -> None:
    window = record(CONCEPT.first) | {"performance": performance({"accuracy": 0.8}, n=200)}
    result = report(*FOUND, instead=window)
    assert result.shortcomings == [f"labels: {STORY.rows} sent, {STORY.rows - 50} joined"]
    assert result.final == 79
    assert result.accuracy[3].coverage == pytest.approx(1 - 50 / (15 * WINDOW_ROWS))


def test_windows_without_labels_have_no_accuracy() -> None:
    window = record(CONCEPT.first) | {"performance": {"realized": {"n": 0}, "estimated": {}}}
    result = report(*FOUND, instead=window)
    assert result.accuracy[3].realized == pytest.approx(0.83)
    assert result.accuracy[3].estimated == pytest.approx(0.995)


def test_what_is_not_found_is_named() -> None:
    result = report(FOUND[0])
    assert result.shortcomings == [f"not found: {CONCEPT.name}"]
    assert result.to_dict()["injected"][1]["found"] is None
    assert "NOT FOUND" in report_text(result)


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
        (SENSOR.first, "performance_drop", ["accuracy"]),
        (SENSOR.last, "estimated_performance_drop", ["accuracy"]),
        (SENSOR.first - 1, "concept_drift", ["accuracy"]),
        (SENSOR.last, "concept_drift", ["accuracy"]),
        (CONCEPT.first, "prediction_drift", ["score"]),
        (CONCEPT.first, "data_drift", ["f5"]),
        (CONCEPT.first, "estimated_performance_drop", ["accuracy"]),
        (CONCEPT.first, "label_drift", ["label"]),
        (CONCEPT.first, "label_drought", []),
        (CONCEPT.last, "performance_drop", ["accuracy"]),
        (84, "label_drift", ["label"]),
    ],
)
def test_alert_that_no_injection_explains_is_a_false_alarm(
    window: int, kind: str, columns: list[str]
) -> None:
    result = report(*FOUND, body(window, kind, columns))
    assert len(result.false_alarms) == 1
    assert result.shortcomings[0].startswith(
        f"false alarm: {kind} ({', '.join(columns) or 'no column'}) in the window"
    )


def test_alert_about_no_window_is_a_false_alarm() -> None:
    lost = body(0, "data_loss", []) | {"evidence": {"lost": 3}}
    assert [alert.kind for alert in report(*FOUND, lost).false_alarms] == ["data_loss"]


def test_resolved_notices_are_no_alarms() -> None:
    result = report(*FOUND, body(SENSOR.last + 1, "data_drift", ["f1"], "resolved"))
    assert result.shortcomings == []
    sensor, concept = (finding.found for finding in result.findings)
    assert sensor is not None
    assert sensor.resolved_ms == STORY.end_ms(SENSOR.last + 1)
    assert concept is not None
    assert concept.resolved_ms is None


def test_second_notification_of_an_incident_is_no_second_row() -> None:
    worse = body(SENSOR.first + 3, "data_drift", ["f1"])
    result = report(*FOUND, worse)
    assert result.shortcomings == []
    assert result.findings[0].also == ()


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
