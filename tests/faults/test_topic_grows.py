"""Fault 31: a topic gets more partitions while workers count it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.faults.figures import Figures
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]
BEFORE, AFTER = 4, 8


def send_to_few(scene: Scene, slices: int) -> None:
    """Send the next slices while there are ``BEFORE`` partitions."""
    for _ in range(slices):
        sent = scene.traffic.slice(scene._next)
        scene._next += 1
        scene._send([each._replace(partition=each.partition % BEFORE) for each in sent])


def look_often(config: Path) -> None:
    """Let clients ask for new partitions twice a second, not every five minutes."""
    document = yaml.safe_load(config.read_text())
    document["kafka"]["topic.metadata.refresh.interval.ms"] = 500
    config.write_text(yaml.safe_dump(document))


def test_partitions_are_added_while_it_counts(make_scene: MakeScene, table: Table) -> None:
    """Their first records count. Windows that closed before a worker knew of them are stated again."""
    topic = f"grows-{uuid.uuid4().hex[:8]}"
    scene = make_scene({"partitions": AFTER}, topics={"inference": topic})
    look_often(scene.pipeline.config)
    servers = {"bootstrap.servers": scene.pipeline.kafka.bootstrap_servers, "log_level": 0}
    scene.pipeline.kafka.create_topics({topic: BEFORE, f"{topic}.dlq": 1})
    scene.pipeline.topics["inference"] = topic
    worker = scene.ready()
    send_to_few(scene, 8)
    scene.await_counted()
    admin = AdminClient(servers)
    for future in admin.create_partitions([NewPartitions(topic, AFTER)]).values():
        future.result(20)
    scene.injected()
    scene._producer = Producer({**servers, "enable.idempotence": True, "linger.ms": 20})  # sees all of them
    eventually(
        lambda: len(scene._producer.list_topics(topic, timeout=5).topics[topic].partitions) == AFTER,
        "the partitions to be there",
    )
    with scene.progress(limit_s=20):
        pass
    scene.send(4)
    scene.await_counted()
    eventually(
        lambda: all("offset" in each for each in scene.pipeline.cursors().values()),
        lambda: f"every partition to be counted: {scene.hint()}",
    )
    assert worker.process.poll() is None
    table(scene.settle("31 partitions added", exact=False))
