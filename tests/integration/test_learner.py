"""When a version is learned, from what, and what happens when that is not enough."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry
from redis import Redis

from stream.embedded import EmbeddedKafka
from stream.learning.learner import MOST_REFERENCES, MOST_SPANS, Learner
from stream.learning.sightings import LearningMetrics
from stream.learning.store import Learned, LearningStore, Sighting
from stream.pane_reader import PaneReader
from stream.plans import ReferencesByVersion
from stream.settings.configuration import parse_settings
from stream.store import PartitionCommit
from stream.store_redis import RedisStore

pytestmark = pytest.mark.services
HOUR_MS = 3_600_000
T0 = 1_700_000_000_000 // HOUR_MS * HOUR_MS
PARTITIONS = 2


@dataclass
class World:
    """A topic, a Redis, and a learner; ingest is played by :meth:`send` and :meth:`pass_to`."""

    kafka: EmbeddedKafka
    client: Redis
    topics: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    taken: list[ReferencesByVersion] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.token = uuid.uuid4().hex[:6]
        self.registry = CollectorRegistry()
        self.store = LearningStore(self.client, prefix=self.token)
        self.counted = RedisStore(self.client, prefix=self.token)
        self.counted.declare_topic(self.topics["inference"], PARTITIONS)
        self.offsets: dict[int, int | None] = dict.fromkeys(range(PARTITIONS))
        self.ends = dict.fromkeys(range(PARTITIONS), 0)
        self.epochs = {p: self.counted.claim(self.topics["inference"], p).epoch for p in self.offsets}
        self.metrics = LearningMetrics(self.registry, models=("m",), topics=("t",))
        self.learner = self.another("one")
        self.rng = np.random.default_rng(7)

    def another(self, name: str) -> Learner:
        settings = parse_settings(
            {
                "kafka": {"bootstrap.servers": self.kafka.bootstrap_servers},
                "redis": {"url": "redis://unused"},
                "topics": self.topics,
                "defaults": {"window": "1m", "learn": "2h", "learn_rows": 2_000, "min_samples": 50},
                "models": {"m": self.settings},
            }
        )
        return Learner(
            settings,
            name=name,
            store=self.store,
            clocks=PaneReader(self.counted, {"inference": self.topics["inference"]}),
            metrics=self.metrics,
            take_up=self.taken.append,
        )

    def send(self, n: int, start_ms: int, end_ms: int, *, labelled: int = 0, **fields: Any) -> None:
        """Send events, evenly over the time, and note where their version was first seen.

        The first ``labelled`` get a wrong label and, later on the topic, the right one.
        """
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "linger.ms": 5})
        seen: dict[int, tuple[int, int]] = {}
        for i, ts in enumerate(np.linspace(start_ms, end_ms, n, endpoint=False).astype(int).tolist()):
            event = {"prediction_id": uuid.uuid4().hex, "model": "m", "version": "v1", "ts": ts}
            event |= {"features": {"x": self.rng.normal()}, **fields}
            partition = i % PARTITIONS
            seen.setdefault(partition, (ts, self.ends[partition]))
            self.ends[partition] += 1
            producer.produce(self.topics["inference"], json.dumps(event).encode(), partition=partition)
            for label, later_ms in (("wrong", 1), ("right", 2)) if i < labelled else ():
                truth = {"prediction_id": event["prediction_id"], "model": "m", "label": label}
                truth["ts"] = ts + later_ms
                producer.produce(self.topics["labels"], json.dumps(truth).encode())
        assert producer.flush(30) == 0
        version = fields.get("version", "v1")
        self.store.saw("m", [(version, partition, *first) for partition, first in seen.items()])

    def pass_to(self, watermark_ms: int) -> None:
        """Commit everything sent, and the watermark of every partition."""
        for partition, offset in self.offsets.items():
            commit = PartitionCommit(
                epoch=self.epochs[partition],
                expected_offset=offset,
                offset=self.ends[partition],
                watermark_ms=watermark_ms,
            )
            assert self.counted.commit(self.topics["inference"], {partition: commit}) == {partition: None}
            self.offsets[partition] = self.ends[partition]

    def waiting(self) -> list[Sighting]:
        return self.store.sightings(["m"])["m"]

    def learned(self) -> list[Learned]:
        return self.store.references("m")

    def shown(self, state: str) -> float | None:
        labels = {"model": "m", "state": state}
        return self.registry.get_sample_value("driftstream_model_learning", labels)


@pytest.fixture
def world(kafka: EmbeddedKafka, redis_url: str, make_topic: Callable[..., str]) -> Iterator[World]:
    topics = {"inference": make_topic("inference", PARTITIONS), "labels": make_topic("labels", 1)}
    with Redis.from_url(redis_url) as client:
        yield World(kafka, client, topics)


def test_a_version_is_learned_when_all_partitions_have_passed_its_time(world: World) -> None:
    world.learner.turn()
    assert world.shown("no_events") == 1
    world.send(6_000, T0, T0 + 2 * HOUR_MS)
    world.send(500, T0 + 2 * HOUR_MS, T0 + 3 * HOUR_MS, features={"x": 100.0})
    world.pass_to(T0 + 2 * HOUR_MS - 1)
    world.learner.turn()
    assert world.learned() == []
    assert world.shown("warming_up") == 1
    assert world.shown("no_events") is None
    world.pass_to(T0 + 2 * HOUR_MS)
    world.learner.turn()
    (learned,) = world.learned()
    assert (learned.version, learned.first_ms) == ("v1", T0)
    assert learned.reference.counts.n == 2_000
    assert learned.reference.window_rows == 50
    (column,) = json.loads(learned.reference.to_json())["columns"]
    assert column["bins"]["spread"] < 2  # nothing of what came after the two hours
    assert world.taken[-1] == {("m", "v1"): learned.reference}
    assert world.waiting() == []
    world.learner.turn()
    assert world.shown("warming_up") is None
    assert len(world.taken) == 1


def test_another_worker_learns_nothing_and_takes_it_up(world: World) -> None:
    world.send(3_000, T0, T0 + 2 * HOUR_MS)
    world.pass_to(T0 + 2 * HOUR_MS)
    assert world.store.lease("m", "someone", ttl_ms=60_000)
    world.learner.turn()
    assert world.learned() == []
    world.store.release("m", "someone")
    world.learner.turn()
    other = world.another("two")
    other.turn()
    assert world.taken[0] == world.taken[1]
    assert world.store.lease("m", "anyone", ttl_ms=1)


def test_labels_that_have_come_are_joined(world: World) -> None:
    answer = {"prediction": "right", "score": 0.9}
    world.send(3_000, T0, T0 + 2 * HOUR_MS, labelled=2_700, **answer)
    world.pass_to(T0 + 2 * HOUR_MS)
    world.learner.turn()
    (learned,) = world.learned()
    part = learned.reference.for_source("labels")
    assert part is not None
    assert part.counts.cells[0].tolist()[0] == part.counts.n == learned.reference.counts.n
    assert 1_700 < part.counts.n < 1_900  # of 2,000 sampled events those that had time to get a label


def test_too_few_events_make_the_time_longer(world: World) -> None:
    world.send(800, T0, T0 + 2 * HOUR_MS)
    world.pass_to(T0 + 2 * HOUR_MS)
    world.learner.turn()
    (waiting,) = world.waiting()
    assert (waiting.spans, waiting.reason) == (2, "too_few_rows")
    world.learner.turn()
    assert world.shown("too_few_rows") == 1
    world.send(800, T0 + 2 * HOUR_MS, T0 + 4 * HOUR_MS)
    world.pass_to(T0 + 4 * HOUR_MS)
    world.learner.turn()
    (learned,) = world.learned()
    assert learned.reference.counts.n == 1_600
    assert any("learned from 4h of the live stream" in caveat for caveat in learned.reference.caveats)


def test_a_version_that_never_has_enough_is_forgotten(world: World) -> None:
    world.send(10, T0, T0 + HOUR_MS, features={"x": None})
    world.pass_to(T0 + 2 * MOST_SPANS * HOUR_MS)
    for _ in range(MOST_SPANS):
        assert len(world.waiting()) == 1
        world.learner.turn()
    assert world.waiting() == []


def test_events_without_a_value_are_told_apart_from_too_few(world: World) -> None:
    world.send(2_000, T0, T0 + 2 * HOUR_MS, features={"x": None})
    world.pass_to(T0 + 2 * HOUR_MS)
    world.learner.turn()
    assert world.waiting()[0].reason == "no_usable_columns"


def test_a_few_old_events_do_not_cut_the_time_short(world: World) -> None:
    real = T0 + 100 * 60_000
    world.send(5, T0, T0 + 60_000)
    world.send(6_000, real, real + 2 * HOUR_MS)
    world.pass_to(real + HOUR_MS)
    world.learner.turn()
    assert world.learned() == []
    (waiting,) = world.waiting()
    assert (waiting.first_ms, waiting.reason) == (real, "late_start")
    world.pass_to(real + 2 * HOUR_MS)
    world.learner.turn()
    (learned,) = world.learned()
    assert learned.first_ms == real
    assert learned.reference.caveats[-2].startswith("2000 of 6000 events")


def test_events_of_another_day_delay_a_version_and_no_more(world: World) -> None:
    real = T0 + 240 * HOUR_MS
    world.send(5, T0, T0 + 60_000)
    world.pass_to(real)
    for _ in range(MOST_SPANS):
        world.learner.turn()
    world.send(6_000, real, real + 2 * HOUR_MS)
    world.pass_to(real + 2 * HOUR_MS)
    world.learner.turn()
    assert [each.first_ms for each in world.learned()] == [real]


def test_what_left_the_topic_is_told(world: World) -> None:
    world.send(3_000, T0, T0 + 2 * HOUR_MS)
    world.pass_to(T0 + 2 * HOUR_MS)
    admin = AdminClient({"bootstrap.servers": world.kafka.bootstrap_servers})
    first = [TopicPartition(world.topics["inference"], partition, 100) for partition in range(PARTITIONS)]
    for deleted in admin.delete_records(first).values():
        deleted.result(20)
    world.learner.turn()
    (learned,) = world.learned()
    assert "the oldest events had left the topic before they could be read" in learned.reference.caveats


def test_the_oldest_of_too_many_versions_goes(world: World) -> None:
    for i in range(MOST_REFERENCES + 1):
        world.send(1_000, T0 + i * 60_000, T0 + i * 60_000 + 2 * HOUR_MS, version=f"v{i:02}")
    world.pass_to(T0 + 4 * HOUR_MS)
    world.learner.turn()
    assert [each.version for each in world.learned()] == [f"v{i:02}" for i in range(1, MOST_REFERENCES + 1)]
    assert list(world.taken[-1]) == [("m", each.version) for each in world.learned()]


def test_a_forgotten_reference_is_let_go_of_and_a_lost_one_is_stored_again(world: World) -> None:
    world.send(3_000, T0, T0 + 2 * HOUR_MS)
    world.pass_to(T0 + 2 * HOUR_MS)
    world.learner.turn()
    (learned,) = world.learned()
    world.client.delete(f"{world.token}:{{model:m}}:references")
    world.learner.turn()
    assert world.learned() == [learned]
    world.store.drop("m", "v1")
    world.learner.turn()
    assert world.taken[-1] == {}
    assert world.learned() == []
