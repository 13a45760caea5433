"""What Redis holds of learning: sightings, the lease, and references that are stored once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from detectors import Reference
from stream.codec import Batch
from stream.counting import Delta, Sighted
from stream.learning.sightings import FORGET_MS, REPEAT_MS, LearningMetrics, Sightings
from stream.learning.store import Learned, LearningStore, Sighting
from stream.ownership import OwnedPartition
from stream.sinks import OutboxDrain
from stream.sinks_memory import ListSink
from stream.topic_batch import TopicBatch

pytestmark = pytest.mark.services


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(client: Redis) -> LearningStore:
    return LearningStore(client, prefix="ds")


def reference(seed: int = 1, version: str = "v1") -> Reference:
    x = np.random.default_rng(seed).normal(size=500)
    return Reference.build({"x": x}, window_rows=25, model="m", version=version)


def test_sightings_only_get_smaller(store: LearningStore) -> None:
    store.saw("m", [("v1", 0, 5_000, 17), ("v1", 1, 4_000, 30), ("v:2", 3, 9_000, 1), ("", 0, 9_500, 40)])
    store.saw("m", [("v1", 0, 4_500, 12), ("v1", 1, 6_000, 35)])
    found = store.sightings(["m", "other"])
    assert found["other"] == []
    assert found["m"] == [
        Sighting(version="v1", first_ms=4_000, offsets={0: 12, 1: 30}),
        Sighting(version="v:2", first_ms=9_000, offsets={3: 1}),
        Sighting(version="", first_ms=9_500, offsets={0: 40}),
    ]


def test_a_postponed_version_says_why_and_a_forgotten_one_is_gone(store: LearningStore) -> None:
    store.saw("m", [("v1", 0, 5_000, 17), ("v2", 0, 6_000, 18)])
    store.postpone("m", "v1", spans=2, reason="too_few_rows")
    (first, second) = store.sightings(["m"])["m"]
    assert (first.spans, first.reason) == (2, "too_few_rows")
    store.forget("m", first)
    assert store.sightings(["m"])["m"] == [second]


def test_one_worker_has_the_lease_until_it_gives_it_back_or_dies(store: LearningStore, client: Redis) -> None:
    assert store.lease("m", "a", ttl_ms=60_000)
    assert store.lease("m", "a", ttl_ms=60_000)
    assert not store.lease("m", "b", ttl_ms=60_000)
    store.release("m", "b")
    assert not store.lease("m", "b", ttl_ms=60_000)
    store.release("m", "a")
    assert store.lease("m", "b", ttl_ms=60_000)
    assert 0 < client.pttl("ds:{model:m}:learner") <= 60_000


def test_the_first_reference_of_a_version_stays(store: LearningStore) -> None:
    store.saw("m", [("v1", 0, 5_000, 17), ("v2", 0, 6_000, 18)])
    first, second = store.sightings(["m"])["m"]
    assert store.revisions(["m"]) == {"m": 0}
    assert store.publish("m", Learned("v1", 5_000, reference()), first)
    assert not store.publish("m", Learned("v1", 5_000, reference(seed=2)), first)
    assert store.publish("m", Learned("v2", 6_000, reference(version="v2")), second)
    assert store.sightings(["m"])["m"] == []
    assert store.revisions(["m"]) == {"m": 2}
    assert [(each.version, each.reference) for each in store.references("m")] == [
        ("v1", reference()),
        ("v2", reference(version="v2")),
    ]
    store.drop("m", "v1")
    assert [each.version for each in store.references("m")] == ["v2"]
    assert store.revisions(["m"]) == {"m": 3}


def test_a_damaged_reference_is_left_out_and_may_be_learned_again(
    store: LearningStore, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    sighting = Sighting(version="v1", first_ms=5_000)
    store.publish("m", Learned("v1", 5_000, reference()), sighting)
    stored = bytearray(client.hget("ds:{model:m}:references", "v:v1"))
    stored[-10] ^= 1
    client.hset("ds:{model:m}:references", "v:v1", bytes(stored))
    assert store.references("m") == []
    assert "reference quarantined, it is learned again" in caplog.text
    assert store.publish("m", Learned("v1", 5_000, reference(seed=2)), sighting)
    assert [each.reference for each in store.references("m")] == [reference(seed=2)]


# ---- what ingest tells


def batch(offsets: list[int], topic: str = "t") -> TopicBatch:
    owned = OwnedPartition(topic, 3, 1, 0, None, 0, OutboxDrain(ListSink()))
    decoded = Batch(ts_ms=np.full(len(offsets), -1))
    return TopicBatch(topic, decoded, [owned], np.zeros(len(offsets), np.intp), np.array(offsets), {}, 0)


def delta(**versions: Sighted) -> Delta:
    return Delta(sightings={("m", version): seen for version, seen in versions.items()})


def test_what_is_seen_is_told_once_and_again_after_a_while(store: LearningStore, client: Redis) -> None:
    metrics = LearningMetrics(CollectorRegistry(), models=("m",), topics=("t", "labels"))
    sightings = Sightings(store, "t", metrics)
    sightings.take(batch([7, 8, 9]), [delta(v1=Sighted(2, 5_000, 1))])
    sightings.take(batch([10, 11]), [delta(v1=Sighted(1, 4_000, 0))])
    sightings.take(batch([1], "labels"), [delta(v9=Sighted(1, 1_000, 0))])
    assert store.sightings(["m"])["m"] == []
    sightings.tell(0)
    told = [Sighting(version="v1", first_ms=4_000, offsets={3: 8})]
    assert store.sightings(["m"])["m"] == told
    assert metrics.events_total.labels("t", "m")._value.get() == 3
    assert metrics.events_total.labels("labels", "m")._value.get() == 1

    client.flushall()
    sightings.take(batch([20]), [delta(v1=Sighted(1, 6_000, 0))])
    sightings.tell(REPEAT_MS - 1)
    assert store.sightings(["m"])["m"] == []
    sightings.take(batch([21]), [delta(v1=Sighted(1, 7_000, 0))])
    sightings.tell(REPEAT_MS)
    assert store.sightings(["m"])["m"] == [Sighting(version="v1", first_ms=7_000, offsets={3: 21})]


def test_versions_without_end_fill_no_memory(store: LearningStore) -> None:
    sightings = Sightings(store, "t", LearningMetrics(CollectorRegistry(), models=("m",), topics=("t",)))
    for i in range(200):
        sightings.take(batch([i]), [delta(**{f"v{i}": Sighted(1, 5_000 + i, 0)})])
        sightings.tell(i)
    assert len(store.sightings(["m"])["m"]) == 50
    sightings.tell(200 + FORGET_MS)
    sightings.take(batch([999]), [delta(new=Sighted(1, 9_000, 0))])
    sightings.tell(201 + FORGET_MS)
    assert store.sightings(["m"])["m"][-1].version == "new"
