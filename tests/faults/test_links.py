"""The way to the broker is cut, narrow, or in pieces: a proxy between the workers and Apache Kafka."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stream import assignment
from stream.alerts import AlertRoute
from stream.assignment import Assignment
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.embedded.ports import free_port
from stream.sinks import KafkaSink
from stream.store_memory import MemoryStore
from tests.faults.figures import Figures
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.faults.traffic import TrafficSpec
from tests.integration.pipeline import eventually

pytestmark = [pytest.mark.services, pytest.mark.faults]
Table = Callable[[Figures], None]
LOOPBACK = "127.0.0.1"
SESSION: dict[str, Any] = {"consumer": {"session_timeout": "6s"}}
behind_proxy = pytest.mark.xdist_group("far")  # one broker for all of them, on one process


class KafkaBehindProxy(EmbeddedKafka):
    """A broker with a second listener that is told to clients as the proxy's address."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self.proxy = proxy

    @property
    def far_servers(self) -> str:
        """Where a client finds the broker behind the proxy."""
        return f"{LOOPBACK}:{self.proxy.port}"

    def _server_properties(self) -> dict[str, str]:
        usual = super()._server_properties()
        more = {
            "listeners": f"FAR://{LOOPBACK}:{self.proxy.target}",
            "advertised.listeners": f"FAR://{self.far_servers}",
            "listener.security.protocol.map": "FAR:PLAINTEXT",
        }
        return {**usual, **{name: f"{usual[name]},{value}" for name, value in more.items()}}


@pytest.fixture(scope="module")
def far_broker(kafka_parts: list[Path]) -> Iterator[KafkaBehindProxy]:
    with Proxy(free_port()) as proxy, KafkaBehindProxy(proxy) as broker:
        yield broker


@pytest.fixture
def far_kafka(far_broker: KafkaBehindProxy) -> KafkaBehindProxy:
    """The broker, with a way to it on which nothing is wrong yet."""
    far_broker.proxy.resets = 0
    return far_broker


@pytest.fixture
def scene(
    tmp_path: Path, far_kafka: KafkaBehindProxy, own_redis: EmbeddedRedis, nursery: Nursery, seed: int
) -> Iterator[Scene]:
    spec = TrafficSpec(seed=seed, slices=30)
    with Scene(tmp_path, kafka=far_kafka, redis=own_redis, nursery=nursery, traffic=spec, **SESSION) as scene:
        yield scene


def far(kafka: KafkaBehindProxy) -> dict[str, str]:
    return {"DRIFTSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka.far_servers}


@behind_proxy
def test_cut_from_the_broker_only(scene: Scene, far_kafka: KafkaBehindProxy, table: Table) -> None:
    """Fault 28: who cannot reach the broker loses its partitions; Redis, which it can reach, fences it."""
    cut = scene.ready("cut", fresh=False, env=far(far_kafka))
    other = scene.ready("other", fresh=False)
    for each in (cut, other):
        eventually(lambda each=each: each.metric("driftstream_partitions_assigned") > 0, "partitions")
    scene.send(3)
    with far_kafka.proxy.suffers(cut=True):
        scene.injected()
        scene.send(3)
        eventually(
            lambda: other.metric("driftstream_partitions_assigned") == 2 * scene.traffic.spec.partitions,
            "the other to take over",
            timeout_s=60,
        )
        scene.await_counted()
    scene.send(3)
    eventually(lambda: cut.metric("driftstream_partitions_assigned") > 0, scene.hint, timeout_s=90)
    table(scene.settle("28 cut from the broker only"))


def test_cut_from_redis_only(make_scene: Callable[..., Scene], table: Table) -> None:
    """Fault 28, the reverse: it keeps its place in the group and says that it is not ready."""
    scene = make_scene(**SESSION)
    worker = scene.ready("cut", fresh=False)
    scene.send(3)
    with scene.progress(limit_s=30):
        with scene.proxy.suffers(cut=True):
            scene.injected()
            scene.send(2)
            eventually(lambda: worker.get("/readyz")[0] == 503, "not ready", timeout_s=60)
        scene.proxy.reset()
    assert "lost partitions" not in worker.log
    table(scene.settle("28 cut from Redis only"))


@behind_proxy
def test_a_narrow_link_in_pieces(scene: Scene, far_kafka: KafkaBehindProxy, table: Table) -> None:
    """Faults 25 and 27, on the side of Kafka: pieces of 1 KiB every 8 ms are 1 Mbit/s."""
    worker = scene.ready("far", fresh=False, env=far(far_kafka))
    with far_kafka.proxy.suffers(slice_bytes=1_024, delay_s=0.008):
        scene.injected()
        scene.send(6)
        scene.await_counted(timeout_s=120)
        assert "lost partitions" not in worker.log
    table(scene.settle("25, 27 link of 1 Mbit/s, in pieces"))


@behind_proxy
def test_connections_to_the_broker_are_reset(scene: Scene, far_kafka: KafkaBehindProxy, table: Table) -> None:
    """Fault 24, as far as a client sees it: connections break again and again."""
    scene.ready("far", fresh=False, env=far(far_kafka))
    with far_kafka.proxy.suffers(reset_every=20):
        for _ in range(12):
            scene.send()
            scene.await_counted(timeout_s=120)
    scene.injected(far_kafka.proxy.resets)
    assert scene.injections > 1, "no connection was reset while records came"
    table(scene.settle("24 connections to the broker reset"))


@behind_proxy
@pytest.mark.parametrize("asked", ["metadata", "offsets"])
def test_a_claim_waits_for_a_broker_that_is_out_of_reach(
    far_kafka: KafkaBehindProxy,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Faults 24 and 28, in the moment that partitions are taken over: no reason for a worker to end."""
    monkeypatch.setattr(assignment, "ANSWER_S", 0.5)
    topic = f"claimed-{asked}-{uuid.uuid4().hex[:8]}"
    far_kafka.create_topics({topic: 1})
    cut, whole = (
        {"bootstrap.servers": each} for each in (far_kafka.far_servers, far_kafka.bootstrap_servers)
    )
    producer = Producer(cut if asked == "metadata" else whole)
    consumer = Consumer({"group.id": topic} | (cut if asked == "offsets" else whole))
    at = TopicPartition(topic, 0)
    claims = Assignment(
        store=MemoryStore(), consumer=consumer, sink=KafkaSink(producer), alerts=AlertRoute("alerts", "")
    )
    with closing(consumer), ThreadPoolExecutor() as pool:
        eventually(
            lambda: producer.list_topics(topic, timeout=10) and consumer.list_topics(topic, timeout=10),
            "both to be connected",
        )
        with far_kafka.proxy.suffers(cut=True):
            far_kafka.proxy.reset()
            claiming = pool.submit(claims.on_assign, consumer, [at])
            eventually(lambda: f'what="Kafka: no {asked}' in caplog.text, lambda: caplog.text)
            assert claims.get(topic, 0) is None
        claiming.result(60)
        assert claims.owned(topic, 0).position == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system of 8 MB")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_the_disk_of_redis_is_full(
    tmp_path: Path,
    kafka: EmbeddedKafka,
    small_disk: Path,
    nursery: Nursery,
    seed: int,
    table: Table,
    redis_binary: str,
) -> None:
    """Fault 17: writes are refused as with no memory; they go on when there is room."""
    with (
        EmbeddedRedis(small_disk / "redis") as redis,
        Scene(tmp_path, kafka=kafka, redis=redis, nursery=nursery, traffic=TrafficSpec(seed=seed)) as scene,
    ):
        worker = scene.under_way(3)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4_096)):
                    continue
            except OSError:
                scene.injected()
        scene.send(2)
        eventually(lambda: worker.get("/readyz")[0] == 503, "not ready", timeout_s=60)
        with scene.progress(limit_s=20):
            filler.unlink()
        table(scene.settle("17 disk of Redis full"))
