"""Streams that are late, shuffled, silent, lopsided, full of strangers or from another time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from stream.keys import PartitionKeys
from tests.faults import invariants
from tests.faults.figures import Figures
from tests.faults.oracle import newest
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually, values

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def test_late_shuffled_and_twice(make_scene: MakeScene, table: Table) -> None:
    """Fault 34: late events state their windows again, and nothing is left out."""
    scene = make_scene({"late": 0.02, "twice": 0.02, "poison": 0.01})
    worker = scene.ready()
    scene.send(12)
    scene.await_counted()
    worker.kill()
    scene.injected()
    scene.again(worker)
    figures = scene.settle("34 late, shuffled, twice", exact=False)
    metrics = scene.pipeline.reader("metrics")
    late = [record for record in values(metrics.poll()) if record["closed_by"] == "late"]
    assert late, "no window was stated again"
    table(figures)


def test_a_partition_that_falls_silent(make_scene: MakeScene, table: Table) -> None:
    """Fault 35: windows close without it; its backlog states them again."""
    scene = make_scene(time={"out_of_orderness": "1s", "idle_after": "1s"})
    scene.ready()
    backlog = []
    for _ in range(8):
        sent = scene.traffic.slice(scene._next)
        scene._next += 1
        backlog += [each for each in sent if each.partition == 0]
        scene._send([each for each in sent if each.partition != 0])
    metrics = scene.pipeline.reader("metrics")
    eventually(lambda: len(newest(values(metrics.poll()))) >= 6, "windows to close without partition 0")
    scene.injected()
    scene._send(backlog)
    table(scene.settle("35 one partition silent", exact=False))


def test_everything_falls_silent(make_scene: MakeScene, table: Table) -> None:
    """Fault 35: the last windows close once, by the wall clock, and the stream that resumes is not late."""
    scene = make_scene(time={"out_of_orderness": "1s", "idle_after": "1s"})
    scene.ready()
    scene.send(9)
    metrics = scene.pipeline.reader("metrics")
    idle = eventually(
        lambda: [each for each in values(metrics.poll()) if each["closed_by"] == "idle"],
        "the last windows to close",
    )
    scene.injected()
    assert max(each["revision"] for each in idle) == 0
    table(scene.settle("35 all partitions silent", exact=False))


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off(make_scene: MakeScene, table: Table, hours: int) -> None:
    """Fault 36: windows are those of event time, whatever the clock of the worker says."""
    scene = make_scene({"poison": 0.01}, time={"out_of_orderness": "1s", "max_future_skew": "2h"})
    shift = {"TEST_CLOCK_SHIFT_S": str(hours * 3_600)}
    worker = scene.ready(env=shift)
    scene.send(6)
    scene.await_counted()
    worker.kill()
    scene.again(worker)  # the clock jumps back to where it belongs
    scene.send(6)
    scene.await_counted()
    worker.kill()
    scene.again(worker, **shift)
    scene.injected(3)
    table(scene.settle(f"36 clock {hours:+d} h off"))


def test_ten_thousand_strangers_and_a_hot_model(make_scene: MakeScene, table: Table) -> None:
    """Fault 38: one model has nine tenths of the traffic, half of all events are of models nobody knows."""
    scene = make_scene({"strangers": 0.5, "hot": 0.85, "per_slice": 2_500}, limits={"models": 100})
    scene.ready()
    scene.injected()
    figures = scene.settle("38 hot model, 10,000 strangers")
    with Redis.from_url(scene.redis.url) as client:
        for partition in range(scene.traffic.spec.partitions):
            keys = PartitionKeys(scene.pipeline.prefix, scene.pipeline.topics["inference"], partition)
            assert client.hlen(keys.unknown) <= 101
    assert len(scene.workers[0].get("/metrics")[1].splitlines()) < 1_500, "a series a stranger"
    assert invariants.memory_bounded(scene.peak_bytes, 400 * 2**20) is None
    table(figures)
