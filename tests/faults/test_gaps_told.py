"""Fault 29: retention shorter than a downtime. What is lost is counted, told once, and marked in windows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.faults.figures import Figures
from tests.faults.oracle import newest
from tests.faults.scene import Scene
from tests.faults.traffic import Sent
from tests.integration.pipeline import eventually, values

pytestmark = pytest.mark.services
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]
PARTITION, LOST = 2, 300


def delete_up_to(scene: Scene, offset: int) -> None:
    """Let the partition begin at ``offset``, as retention does."""
    admin = AdminClient({"bootstrap.servers": scene.pipeline.kafka.bootstrap_servers, "log_level": 0})
    at = TopicPartition(scene.pipeline.topics["inference"], PARTITION, offset)
    for future in admin.delete_records([at]).values():
        future.result(20)


def window_of(scene: Scene, sent: Sent) -> tuple[str, int]:
    event = json.loads(sent.value or b"")
    return event["model"], event["ts"] // scene.traffic.spec.window_ms * scene.traffic.spec.window_ms


def test_retention_shorter_than_a_downtime(make_scene: MakeScene, table: Table) -> None:
    scene = make_scene()
    worker = scene.ready()
    scene.send(8)
    scene.await_counted()
    assert worker.stop() == 0
    stopped_at = scene.pipeline.cursors()[PARTITION]["offset"]
    scene.send(6)
    delete_up_to(scene, stopped_at + LOST)
    scene.injected()
    scene.again(worker)
    scene.send_rest()
    assert scene.log is not None
    gone = [window_of(scene, each) for each in scene.log[PARTITION][stopped_at : stopped_at + LOST]]
    expected = Counter(scene.traffic.windows)
    expected.subtract(gone)
    metrics = scene.pipeline.reader("metrics")
    eventually(
        lambda: metrics.poll() and scene.windows(metrics) == {key: n for key, n in expected.items() if n},
        lambda: f"the ledger less the gap: {scene.hint()}",
        timeout_s=90,
    )
    assert scene.pipeline.cursors()[PARTITION]["lost"] == LOST
    marked = {key for key, record in newest(values(metrics.records)).items() if record.get("incomplete")}
    assert marked >= set(gone), "a window that lacks events does not say so"
    first, last = min(start for _, start in gone), max(start for _, start in gone)
    next_ms = scene.traffic.spec.window_ms  # the disorder that is allowed may reach into the neighbours
    far = [start for _, start in marked if not first - next_ms <= start <= last + next_ms]
    assert not far, f"windows far away from {first} to {last} say so too: {far}"
    alerts = scene.pipeline.reader("alerts")
    losses = [each for each in values(alerts.poll()) if each["labels"]["alertname"] == "data_loss"]
    assert [each["evidence"]["lost"] for each in losses] == [LOST]
    assert scene.watch.reasons == {}
    table(scene.figures("29 retention shorter than downtime (300 told)"))
