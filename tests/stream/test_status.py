"""``driftstream status``: what is stored becomes what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream.cli.status_output import as_text
from stream.end_offsets import Bounds, topic_bounds
from stream.errors import ConfigError, CorruptState, DependencyError
from stream.evaluate import ModelState
from stream.incidents import Incident
from stream.packing import Kind, pack
from stream.series import Evaluated, SeriesState
from stream.settings.configuration import parse_settings
from stream.status import (
    LearningStatus,
    ModelStatus,
    PartitionStatus,
    SeriesStatus,
    Status,
    TopicStatus,
    UnknownModel,
    WorkerStatus,
    model_status,
    partition_status,
)

CURSOR = {
    "epoch": "3", "offset": "120", "watermark": "1700000000000", "idle": "0", "events": "110",
    "rejected": "4", "late": "3", "lost": "2", "unknown": "1", "sequence": "9",
}  # fmt: skip
END_MS = 1_577_836_810_000


def stored() -> bytes:
    incident = Incident(
        kind="data_drift",
        started_ms=END_MS - 10_000,
        severity="ticket",
        features=[f"f{i}" for i in range(7)],
        effect=0.4,
        notified_ms=END_MS,
    )
    state = SeriesState(
        "inference",
        "v2",
        "abcd",
        b"",
        END_MS,
        {END_MS: Evaluated(200, 0, "drift", "ticket", ["f0"])},
        [incident],
    )
    return pack(Kind.MODEL_STATE, msgspec.msgpack.encode(ModelState(7, [state])))


def test_a_cursor_becomes_a_partition() -> None:
    found = partition_status(0, CURSOR, Bounds(0, 150), 2, 5)
    assert (found.epoch, found.offset, found.lag, found.end) == (3, 120, 30, 150)
    assert (found.watermark_ms, found.idle, found.open_panes, found.outbox) == (
        1_700_000_000_000,
        False,
        2,
        5,
    )
    assert found.totals == {
        "events": 110,
        "rejected": 4,
        "late": 3,
        "lost": 2,
        "unknown": 1,
        "unmonitored": 0,
        "learning": 0,
    }


@pytest.mark.parametrize(
    ("cursor", "bounds", "lag"),
    [
        (CURSOR, None, None),
        (CURSOR, Bounds(0, 120), 0),
        (CURSOR, Bounds(130, 150), 20),  # ten records are gone: nobody can count them any more
        (CURSOR, Bounds(0, 50), 0),  # the topic was made anew: the worker says so
        ({}, Bounds(10, 50), 40),
        ({}, None, None),
    ],
)
def test_lag_is_what_can_still_be_counted(
    cursor: dict[str, str], bounds: Bounds | None, lag: int | None
) -> None:
    assert partition_status(0, cursor, bounds, 0, 0).lag == lag


def test_a_stored_state_is_read_without_its_reference() -> None:
    (series,) = model_status("m", 3, stored(), 0).series
    assert (series.version, series.source, series.status, series.n) == ("v2", "inference", "drift", 200)
    assert (series.window_end_ms, series.drifted) == (END_MS, ["f0"])
    assert series.incidents[0]["kind"] == "data_drift"


def test_a_damaged_state_is_told_and_the_rest_is_shown() -> None:
    damaged = bytearray(stored())
    damaged[-1] ^= 1
    found = model_status("m", 3, bytes(damaged), 1)
    assert found.error is not None
    assert "checksum" in found.error
    assert not found.series
    with pytest.raises(CorruptState, match="stored state of model m"):
        ModelState.from_bytes(pack(Kind.MODEL_STATE, b"\xc1"), "m")


def partition(**more: Any) -> PartitionStatus:
    return replace(partition_status(0, CURSOR, Bounds(0, 150), 2, 0), **more)


def test_the_lag_of_a_topic_is_unknown_when_one_partition_is() -> None:
    assert TopicStatus(topic="t", partitions=[partition(), partition()]).lag == 60
    assert TopicStatus(topic="t", partitions=[partition(), partition(lag=None)]).lag is None
    assert TopicStatus(topic="t", partitions=[]).lag is None


def test_the_text_names_everything() -> None:
    none = SeriesStatus(
        version="v1", source="labels", reference="", window_end_ms=None, n=None,
        status="not_evaluated", drifted=[], incidents=[],
    )  # fmt: skip
    found = Status(
        workers=[WorkerStatus("host-1", "both", "127.0.0.1:9464", 1_700_000_000_000)],
        topics=[
            TopicStatus(
                topic="inference",
                partitions=[partition(), partition(partition=1, idle=True, lag=None)],
                flood_since_ms=END_MS,
            ),
            TopicStatus(topic="labels", partitions=[]),
        ],
        models=[
            model_status("loans", 3, stored(), 2),
            ModelStatus(model="fraud", revision=0, outbox=0, series=[none]),
            ModelStatus(model="new", revision=0, outbox=0, series=[]),
        ],
        unknown_models=[
            UnknownModel("inference", "ghost", "", 12),
            UnknownModel("inference", "loans", "v9", 3),
        ],
        kafka="Kafka at h:1 told no offsets within 4 s",
    )
    assert as_text(found).splitlines() == [
        "workers (1)",
        "  host-1  both  http://127.0.0.1:9464/metrics  since 2023-11-14T22:13:20Z",
        "",
        "topic inference (2 partitions): lag unknown, 220 events, 8 rejected, 6 late, 4 lost, 2 unknown, "
        "0 unmonitored",
        "  partition  offset  lag      watermark                   events  open panes  outbox",
        "  0          120     30       2023-11-14T22:13:20Z        110     2           0",
        "  1          120     unknown  2023-11-14T22:13:20Z  idle  110     2           0",
        "  flood since 2020-01-01T00:00:10Z: most records are no events, docs/runbooks/dead_letter_flood.md",
        "",
        "topic labels: no worker has read it yet",
        "  lag is unknown: Kafka at h:1 told no offsets within 4 s",
        "",
        "models (3)",
        "  loans  v2  inference  drift                    n 200, window to 2020-01-01T00:00:10Z  "
        "data_drift (ticket) since 2020-01-01T00:00:00Z: f0, f1, f2, f3, f4 and 2 more  "
        "2 messages to publish",
        "  fraud  v1  labels     no window evaluated yet",
        "  new                   no window evaluated yet",
        "",
        "models that nobody configured: name them under models, with a reference of each version",
        "  ghost  no version  12 events  inference",
        "  loans  v9          3 events   inference",
    ]


def test_kafka_away_is_one_line_and_a_typo_is_named() -> None:
    def settings(properties: dict[str, Any]) -> Any:
        return parse_settings({"kafka": properties, "redis": {"url": "redis://127.0.0.1:1"}})

    away = settings({"bootstrap.servers": "127.0.0.1:1"})
    with pytest.raises(DependencyError, match=r"Kafka at 127.0.0.1:1 told no offsets within 0.2 s"):
        topic_bounds(away, [("t", 0)], timeout_s=0.2)
    assert topic_bounds(away, []) == {}
    with pytest.raises(ConfigError, match=r"security\.protocol"):
        topic_bounds(settings({"bootstrap.servers": "h:1", "security.protcol": "ssl"}), [("t", 0)])


def test_versions_that_warm_up_are_told_with_their_end() -> None:
    warming = [
        LearningStatus(model="m", version="v1", since_ms=END_MS, until_ms=END_MS + 86_400_000, reason=""),
        LearningStatus(model="m", version="", since_ms=END_MS, until_ms=END_MS, reason="too_few_rows"),
    ]
    found = Status(workers=[], topics=[], models=[], unknown_models=[], learning=warming)
    lines = as_text(found).splitlines()
    assert lines[-2:] == [
        "  m  v1          since 2020-01-01T00:00:10Z  until 2020-01-02T00:00:10Z",
        "  m  no version  since 2020-01-01T00:00:10Z  until 2020-01-01T00:00:10Z  too few rows",
    ]


def performance(**realized: float) -> dict[str, Any]:
    return {
        "window_end_ms": END_MS,
        "final": False,
        "realized": {"n": 194, "coverage": 0.97, **realized},
        "estimated": {"accuracy": 0.9287, "mae": 3.5},
    }


def test_performance_and_joins_are_told_where_there_are_any() -> None:
    (series,) = model_status("loans", 3, stored(), 0).series
    models = [
        ModelStatus(
            model=name,
            revision=1,
            outbox=0,
            series=[replace(series, performance=given)],
            joins=joins,
            journal=journal,
        )
        for name, given, joins, journal in (
            (
                "loans",
                performance(accuracy=0.9312, mae=1.0),
                {"predictions": 200, "joined": 0, "early_joined": 3},
                0,
            ),
            ("eta", performance(mae=4.25), {"predictions": 0}, 0),
            ("rare", performance(), {}, 0),
            ("mute", None, {"predictions": 7, "joined": 0}, 12),
        )
    ]
    lines = as_text(Status(workers=[], topics=[], models=models, unknown_models=[])).splitlines()
    told = lines.index("performance of the newest window with labels")
    assert lines[told + 1 :] == [
        "  loans  v2  accuracy 0.9312  estimated 0.9287  194 labels, coverage 97.0%  "
        "window to 2020-01-01T00:00:10Z  provisional",
        "  eta    v2  mae 4.2500       estimated 3.5000  194 labels, coverage 97.0%  "
        "window to 2020-01-01T00:00:10Z  provisional",
        "  rare   v2  too few labels                     194 labels, coverage 97.0%  "
        "window to 2020-01-01T00:00:10Z  provisional",
        "",
        "predictions and the labels joined to them",
        "  loans  200 predictions, 0 joined, 3 early joined",
        "  mute   7 predictions, 0 joined                    12 pieces to evaluate",
    ]
