"""Redis that dies, forgets, hangs, fills up or answers too late: exact in the end, and honest meanwhile."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from stream.embedded import EmbeddedRedis
from stream.keys import file_key
from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually

pytestmark = pytest.mark.services
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def not_ready(worker: ForkedWorker) -> None:
    eventually(lambda: worker.get("/readyz")[0] == 503, "the worker to say that it cannot count")
    assert worker.get("/livez")[0] == 200, "a restart would not help"


def rewinds(scene: Scene) -> float:
    return sum(worker.metric("driftstream_state_rewinds_total") for worker in scene.workers)


def append_only_file(redis: EmbeddedRedis) -> Path:
    """The file that the newest commands are appended to."""
    files = [*redis.directory.glob("appendonlydir/*.incr.aof"), *redis.directory.glob("appendonly.aof")]
    return max(files, key=lambda each: each.stat().st_mtime)


def await_whole_file(scene: Scene) -> None:
    """Wait until the worker has had Redis write its append-only file anew since it started."""
    with scene.redis_client() as client:
        run_id = client.info("server")["run_id"].encode()
        key = file_key(scene.pipeline.prefix)
        eventually(lambda: client.hget(key, "run_id") == run_id, "the file to be written anew")


@pytest.mark.faults
def test_killed_and_restarted(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 10."""
    scene, moments = make_scene({"poison": 0.01}), random.Random(seed)
    worker = scene.ready()
    for _ in range(3):
        scene.send(2)
        time.sleep(moments.uniform(0, 0.3))
        scene.redis.kill()
        scene.injected()
        scene.send()
        not_ready(worker)
        with scene.progress(limit_s=10):
            scene.redis.start()
    assert worker.process.poll() is None
    table(scene.settle("10 Redis killed"))


@pytest.mark.faults
def test_loses_the_tail_of_its_file(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 11: power loss. Rewinds are counted, and what was counted after the cut is counted again.

    Redis leaves half a transaction in a file that was cut within one (valkey-io/valkey#4342), and would apply
    that half at its next start: the worker has the file written anew.
    """
    scene, cuts = make_scene(), random.Random(seed)
    scene.ready()
    for _ in range(4):
        await_whole_file(scene)
        scene.send(2)
        scene.await_counted()
        scene.redis.kill()
        file = append_only_file(scene.redis)
        size = file.stat().st_size
        os.truncate(file, size - min(cuts.randint(1_000, 100_000), size // 2))
        scene.injected()
        with scene.progress(limit_s=15):
            scene.redis.start()
    scene.await_counted()
    assert rewinds(scene) > 0
    table(scene.settle("11 append-only file cut"))


@pytest.mark.faults
def test_fails_over_to_a_replica_that_is_behind(
    make_scene: MakeScene, table: Table, redis_binary: str
) -> None:
    """Fault 12: acknowledged writes are gone; the workers go back to what the new primary holds."""
    scene = make_scene()
    scene.ready()
    primary = scene.redis
    with scene.redis_client() as client:
        client.config_set("repl-diskless-sync-delay", 0)
    with EmbeddedRedis() as replica:
        with Redis.from_url(replica.url) as client:
            client.replicaof("127.0.0.1", primary.ports["redis"])
        scene.send(3)
        scene.await_counted()
        with scene.redis_client() as client:
            eventually(lambda: client.wait(1, 100) == 1, "the replica to hold what is written")
        scene.redis = replica
        with scene.redis_client() as client:
            client.replicaof("NO", "ONE")
        scene.redis = primary
        scene.send(3)
        scene.await_counted()
        primary.kill()
        scene.injected()
        with scene.progress(limit_s=15):
            scene.use_redis(replica)
            scene.proxy.switch(replica.ports["redis"])
        scene.await_counted()
        assert rewinds(scene) > 0
        table(scene.settle("12 failover that lost writes"))
        scene.__exit__()


@pytest.mark.faults
def test_frozen_for_half_a_minute(make_scene: MakeScene, table: Table) -> None:
    """Fault 13: not ready, intake paused, still a member of the group."""
    scene = make_scene({"per_slice": 4_000}, consumer={"session_timeout": "6s"})
    worker = scene.ready(fresh=False)
    scene.send(2)
    with scene.redis_frozen():
        ends = time.monotonic() + 30
        scene.send(2)
        not_ready(worker)
        eventually(lambda: worker.metric("driftstream_partitions_paused") > 0, "the intake to be paused")
        eventually(lambda: time.monotonic() > ends, "half a minute")
    with scene.progress(limit_s=30):
        pass
    assert "lost partitions" not in worker.log
    table(scene.settle("13 Redis frozen for 30 s"))


def test_replies_that_are_lost(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 14: Redis has done it and the worker never hears: nothing is done twice."""
    scene, moments = make_scene({"poison": 0.01}), random.Random(seed)
    worker = scene.ready()
    for _ in range(8):
        scene.send()
        time.sleep(moments.uniform(0, 0.2))
        scene.proxy.faults.mute = True
        scene.proxy.muted = 0
        scene.send()
        scene.injected(eventually(lambda: scene.proxy.muted, "a reply to be lost", timeout_s=20))
        with scene.progress(limit_s=10):
            scene.proxy.faults.mute = False
            scene.proxy.reset()
    assert rewinds(scene) == 0, "a commit that had landed was taken for a rewind"
    assert worker.process.poll() is None
    table(scene.settle("14 replies lost"))


@pytest.mark.faults
def test_connections_that_are_reset(make_scene: MakeScene, table: Table) -> None:
    """Fault 15: every 9th reply resets its connection instead."""
    scene = make_scene()
    scene.under_way(2)
    with scene.proxy.suffers(reset_every=9):
        for _ in range(18):
            scene.send()
            scene.await_counted()
    scene.injected(scene.proxy.resets)
    assert scene.proxy.resets > 10
    table(scene.settle("15 connections reset"))


@pytest.mark.faults
def test_out_of_memory(make_scene: MakeScene, table: Table) -> None:
    """Fault 16: writes are refused whole; the intake pauses and goes on when there is room."""
    scene = make_scene()
    worker = scene.under_way(3)
    with scene.redis_client() as client:
        client.config_set("maxmemory", 1_000_000)
        scene.injected()
        scene.send(2)
        not_ready(worker)
        with scene.progress(limit_s=10):
            client.config_set("maxmemory", 0)
    table(scene.settle("16 Redis out of memory"))


def test_emptied(make_scene: MakeScene, table: Table) -> None:
    """Fault 18: the state is gone; everything that Kafka still has is counted again."""
    scene = make_scene({"poison": 0.01})
    scene.ready()
    for _ in range(2):
        scene.send(4)
        scene.await_counted()
        with scene.redis_client() as client, scene.progress(limit_s=15):
            client.flushall()
            scene.injected()
        scene.await_counted()
    assert rewinds(scene) > 0
    table(scene.settle("18 Redis emptied"))


@pytest.mark.faults
def test_emptied_while_nothing_comes(make_scene: MakeScene, table: Table) -> None:
    """Fault 18, with no traffic that would make a commit fail: it is noticed all the same."""
    scene = make_scene()
    scene.under_way(6)
    with scene.redis_client() as client:
        client.flushall()
    scene.injected()
    scene.await_counted()
    table(scene.settle("18 Redis emptied in silence"))


@pytest.mark.faults
def test_slow_and_in_pieces(make_scene: MakeScene, table: Table) -> None:
    """Faults 26 and 27, on the side of Redis: 100 to 150 ms a piece each way, and 512 bytes a piece."""
    scene = make_scene()
    scene.under_way(2)
    for faults in ({"delay_s": 0.1, "jitter_s": 0.05}, {"slice_bytes": 512, "jitter_s": 0.001}):
        with scene.proxy.suffers(**faults):
            scene.injected()
            scene.send(6)
            scene.await_counted(timeout_s=120)
    table(scene.settle("26, 27 slow Redis"))
