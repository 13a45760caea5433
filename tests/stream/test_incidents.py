from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.alerts import KINDS, Alert, AlertRoute, data_loss, rfc3339
from stream.incidents import Incident, IncidentBook, IncidentPolicy
from stream.records import WindowRecord

MINUTE = 60_000
POLICY = IncidentPolicy(resolve_after=2, renotify_ms=60 * MINUTE)


def record(index: int, effects: dict[str, float], *, status: str = "", **feature: Any) -> WindowRecord:
    roles = {"score": "score", "label": "label"}
    features = {
        name: {
            "effect": effect,
            "threshold": 0.1,
            "psi": 0.3,
            "role": roles.get(name, "feature"),
            "drifted": status != "ok",
            **feature,
        }
        for name, effect in effects.items()
    }
    return WindowRecord(
        model="m",
        version="v1",
        source="inference",
        window_start_ms=index * MINUTE,
        window_end_ms=(index + 1) * MINUTE,
        n=100,
        status=status or ("drift" if effects else "ok"),
        severity="ticket" if effects else "none",
        drifted=list(effects) if status != "ok" else [],
        features=features,
    )


def run(book: IncidentBook, *windows: dict[str, float]) -> list[list[tuple[str, str]]]:
    return [
        [(alert.kind, alert.status) for alert in book.update(record(index, effects))]
        for index, effects in enumerate(windows)
    ]


def test_one_change_is_one_incident() -> None:
    steady = {"age": 0.5}
    told = run(IncidentBook(POLICY), {}, steady, steady, steady, {}, {}, {})
    assert told == [[], [("data_drift", "firing")], [], [], [], [("data_drift", "resolved")], []]


def test_a_change_at_its_threshold_is_one_incident() -> None:
    book = IncidentBook(POLICY)
    told = []
    for index, p_value in enumerate([1e-6, 1e-3, 5e-3, 1e-6, 1e-3, 0.2, 0.7]):
        status = "drift" if p_value < 1e-4 else "ok"
        alerts = book.update(record(index, {"age": 0.11}, status=status, p_value=p_value))
        told.append([alert.status for alert in alerts])
    assert told == [["firing"], [], [], [], [], [], ["resolved"]]


def test_one_quiet_window_does_not_resolve() -> None:
    told = run(IncidentBook(POLICY), {"age": 0.5}, {}, {"age": 0.5}, {}, {"age": 0.5})
    assert told[1:] == [[], [], [], []]


@pytest.mark.parametrize(
    "worse", [{"age": 1.0}, {"age": 0.5, "income": 0.2}], ids=["effect doubles", "features double"]
)
def test_it_is_told_again_when_it_gets_worse(worse: dict[str, float]) -> None:
    told = run(IncidentBook(POLICY), {"age": 0.5}, worse, worse)
    assert told == [[("data_drift", "firing")], [("data_drift", "firing")], []]


def test_it_is_told_again_after_the_renotify_interval() -> None:
    book = IncidentBook(POLICY)
    told = run(book, *[{"age": 0.5}] * 62)
    assert [index for index, alerts in enumerate(told) if alerts] == [0, 60]


def test_outputs_labels_and_data_quality_are_kinds_of_their_own() -> None:
    book = IncidentBook(POLICY)
    alerts = book.update(record(0, {"score": 0.3, "age": 0.2, "label": 0.4}))
    assert [(alert.kind, alert.severity) for alert in alerts] == [
        ("data_drift", "ticket"),
        ("label_drift", "ticket"),
        ("prediction_drift", "page"),
    ]
    (broken,) = IncidentBook(POLICY).update(record(0, {"age": 0.3}, integrity=True))
    assert (broken.kind, broken.severity) == ("data_quality", "page")


def test_a_window_without_enough_data_changes_nothing() -> None:
    book = IncidentBook(POLICY)
    book.update(record(0, {"age": 0.5}))
    for index in range(1, 5):
        assert book.update(record(index, {}, status="not_enough_data")) == []
    assert len(book.snapshot()) == 1


def test_open_incidents_survive_a_snapshot() -> None:
    book = IncidentBook(POLICY)
    book.update(record(0, {"age": 0.5}))
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(book.snapshot()), type=list[Incident])
    again = IncidentBook(POLICY, stored)
    assert again.update(record(1, {"age": 0.5})) == []
    assert again.update(record(2, {})) == []
    assert [alert.status for alert in again.update(record(3, {}))] == ["resolved"]


def firing() -> Alert:
    (alert,) = IncidentBook(POLICY).update(record(0, {"age": 0.5}))
    return alert


def test_an_alert_is_a_cloud_event_in_binary_mode() -> None:
    message = firing().to_message(AlertRoute("drift.alerts", "https://runbooks.example/drift/"))
    headers = dict(message.headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"driftstream.alert.v1"
    assert headers["ce_source"] == b"/driftstream/models/m"
    assert headers["ce_time"] == rfc3339(MINUTE).encode()
    assert headers["content-type"] == b"application/json"
    assert message.key == b"m"
    body = msgspec.json.decode(message.value or b"")
    assert body["status"] == "firing"
    assert body["labels"] == {
        "alertname": "data_drift",
        "model": "m",
        "version": "v1",
        "severity": "ticket",
    }
    assert body["annotations"]["runbook_url"] == "https://runbooks.example/drift/data_drift.md"
    assert {"summary", "description"} <= set(body["annotations"])
    assert body["startsAt"] == "1970-01-01T00:01:00.000Z"
    assert body["endsAt"] is None
    assert body["evidence"]["features"][0]["name"] == "age"


def test_ids_are_deterministic_and_tell_notifications_apart() -> None:
    assert firing().id == firing().id
    book = IncidentBook(POLICY)
    told = [alert for i in range(200) for alert in book.update(record(i, {"age": 0.5}))]
    assert len({alert.id for alert in told}) == len(told) == 4
    assert len({alert.fingerprint for alert in told}) == 1


def test_lost_records_are_told_with_their_offsets() -> None:
    alert = data_loss(topic="inference", partition=3, first=100, lost=50, at_ms=MINUTE)
    assert alert.severity == "page"
    assert "inference[3]" in alert.summary
    assert alert.evidence["lost"] == 50
    assert alert.kind in KINDS
    body = alert.body("docs/runbooks/")
    assert body["labels"] == {
        "alertname": "data_loss",
        "severity": "page",
        "topic": "inference",
        "partition": "3",
    }
    other = data_loss(topic="inference", partition=4, first=100, lost=50, at_ms=MINUTE)
    assert other.id != alert.id
    assert other.fingerprint != alert.fingerprint
