"""Brokers that refuse, vanish, move their leaders and answer late, on librdkafka's mock cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.embedded import EmbeddedRedis
from tests.faults.figures import Figures
from tests.faults.mock_cluster import (
    HEARTBEAT,
    ILLEGAL_GENERATION,
    JOIN_GROUP,
    MSG_SIZE_TOO_LARGE,
    NOT_COORDINATOR,
    NOT_ENOUGH_REPLICAS,
    OFFSET_COMMIT,
    PRODUCE,
    REBALANCE_IN_PROGRESS,
    REQUEST_TIMED_OUT,
    SYNC_GROUP,
    TOPIC_AUTHORIZATION_FAILED,
    UNKNOWN_MEMBER_ID,
    FaultyKafka,
)
from tests.faults.nursery import Nursery
from tests.faults.scene import Scene
from tests.faults.traffic import TrafficSpec
from tests.integration.pipeline import eventually

pytestmark = [pytest.mark.services, pytest.mark.faults]
Table = Callable[[Figures], None]
BROKERS = (1, 2, 3)


@pytest.fixture
def brokers() -> Iterator[FaultyKafka]:
    with FaultyKafka(brokers=len(BROKERS)) as cluster:
        yield cluster


@pytest.fixture
def scene(
    tmp_path: Path, brokers: FaultyKafka, own_redis: EmbeddedRedis, nursery: Nursery, seed: int
) -> Iterator[Scene]:
    with Scene(
        tmp_path,
        kafka=brokers,
        redis=own_redis,
        nursery=nursery,
        traffic=TrafficSpec(seed=seed, per_slice=500),
        consumer={"session_timeout": "6s"},
    ) as scene:
        yield scene


def test_brokers_that_go_and_leaders_that_move(scene: Scene, brokers: FaultyKafka, table: Table) -> None:
    """Fault 20."""
    worker = scene.ready(fresh=False)
    topic = scene.pipeline.topics["inference"]
    for broker in BROKERS:
        scene.send(2)
        brokers.down(broker)
        others = [each for each in BROKERS if each != broker]
        for partition in range(scene.traffic.spec.partitions):
            brokers.lead(topic, partition, others[partition % 2])
        scene.injected()
        scene.send()
        with scene.progress(limit_s=30):
            brokers.up(broker)
    assert worker.process.poll() is None
    table(scene.settle("20 brokers down, leaders moved"))


def test_no_broker_at_the_start(scene: Scene, brokers: FaultyKafka, table: Table) -> None:
    """Fault 21: the worker ends and says so; its supervisor starts it again."""
    for broker in BROKERS:
        brokers.down(broker)
    early = scene.worker("early", fresh=False)
    scene.injected()
    assert early.process.wait(90) == 3, scene.hint()
    for broker in BROKERS:
        brokers.up(broker)
    early.start()
    table(scene.settle("21 no broker at the start"))


def test_a_coordinator_that_refuses(scene: Scene, brokers: FaultyKafka, table: Table) -> None:
    """Fault 22: errors on commits, heartbeats, joins and syncs; what Kafka holds of offsets is advisory."""
    worker = scene.ready(fresh=False)
    for kind, errors in (
        (OFFSET_COMMIT, (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, NOT_COORDINATOR, REBALANCE_IN_PROGRESS)),
        (HEARTBEAT, (REBALANCE_IN_PROGRESS,)),
        (HEARTBEAT, (UNKNOWN_MEMBER_ID,)),
        (JOIN_GROUP, (NOT_COORDINATOR,)),
        (HEARTBEAT, (ILLEGAL_GENERATION, NOT_COORDINATOR)),
        (SYNC_GROUP, (REBALANCE_IN_PROGRESS,)),
    ):
        brokers.answer_with(kind, *errors)
        scene.injected(len(errors))
        with scene.progress(limit_s=40):
            scene.send()
    assert worker.process.poll() is None
    table(scene.settle("22 coordinator refuses"))


def test_a_broker_that_refuses_to_store(scene: Scene, brokers: FaultyKafka, table: Table) -> None:
    """Fault 23: messages out are kept in their outboxes and sent again until Kafka takes them."""
    worker = scene.ready(fresh=False)
    refusals = (NOT_ENOUGH_REPLICAS, REQUEST_TIMED_OUT, MSG_SIZE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED)
    for error in refusals:
        scene.send(3)
        brokers.answer_with(PRODUCE, *[error] * 3)
        scene.injected(3)
        # Nothing of ours is produced until the refusals have been given to the worker.
        eventually(lambda: brokers.asked(PRODUCE) >= 3, scene.hint)
        scene.await_counted()
    assert worker.process.poll() is None
    table(scene.settle("23 broker refuses to store"))


def test_a_broker_far_away(scene: Scene, brokers: FaultyKafka, table: Table) -> None:
    """Fault 26: half a second to every answer."""
    scene.ready(fresh=False)
    scene.send(2)
    for broker in BROKERS:
        brokers.delay(broker, 500)
    scene.injected()
    scene.send(4)
    scene.await_counted(timeout_s=120)
    for broker in BROKERS:
        brokers.delay(broker, 0)
    table(scene.settle("26 broker half a second away"))
