"""Workers that are killed, asked to stop, frozen and multiplied: every event once, every alert once."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually

pytestmark = pytest.mark.services
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]

GROUP = {"consumer": {"session_timeout": "6s", "max_poll_interval": "60s"}}
LONG_SESSION_S = 30
"""Much longer than a start takes, also on a machine that has other things to do."""


def assigned(worker: ForkedWorker) -> float:
    """Partitions of both input topics that the worker owns."""
    return worker.metric("driftstream_partitions_assigned")


def owns_some(worker: ForkedWorker) -> None:
    eventually(lambda: assigned(worker) > 0, "the worker to own partitions", timeout_s=90)


def hears_of_a_loss(worker: ForkedWorker, losses: int) -> None:
    """Until then it still shows the partitions it had before it was frozen."""
    eventually(lambda: worker.log.count("lost partitions") >= losses, "the frozen one to hear of it")


def test_killed_at_random_moments(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 1: SIGKILL at moments that a seed draws."""
    scene, moments = make_scene({"poison": 0.01, "twice": 0.01}), random.Random(seed)
    worker = scene.ready()
    for _ in range(7):
        scene.send()
        time.sleep(moments.uniform(0.0, 0.4))
        worker.kill()
        scene.injected()
        scene.send()
        with scene.progress(limit_s=20):
            scene.again(worker)
    table(scene.settle("1 worker killed"))


@pytest.mark.faults
def test_asked_to_stop_under_load(make_scene: MakeScene, table: Table) -> None:
    """Fault 3: SIGTERM ends it in time with everything committed, and the group is left at once."""
    scene = make_scene({"per_slice": 3_000}, consumer={"session_timeout": f"{LONG_SESSION_S}s"})
    worker = scene.ready(fresh=False)
    for _ in range(2):
        scene.send(4)
        before = time.monotonic()
        assert worker.stop() == 0, scene.hint()
        assert time.monotonic() - before < 20
        scene.injected()
        already = scene.counted()
        began = time.monotonic()
        worker.start()
        worker.await_ready()
        scene.await_counted()
        assert time.monotonic() - began < LONG_SESSION_S, "it waited for a member that had left"
        counted = worker.metric("driftstream_events_total")
        assert counted == scene.traffic.events - already, "records were counted again"
    table(scene.settle("3 asked to stop"))


@pytest.mark.faults
def test_asked_to_stop_while_it_starts(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 3, at any moment of a start: it ends at once, in order, whatever it had begun."""
    scene, moments = make_scene(), random.Random(seed)
    ends = []
    for _ in range(12):
        scene.send()
        worker = scene.worker(f"start{len(ends)}")
        time.sleep(moments.uniform(0.2, 2.5))
        ends.append(worker.stop(timeout_s=30))
        scene.injected()
    assert set(ends) <= {0, -signal.SIGTERM}, f"{ends}; {scene.hint()}"  # -15: before it could listen
    scene.ready("last")
    table(scene.settle("3 asked to stop while it starts"))


@pytest.mark.faults
def test_frozen_beyond_its_session(make_scene: MakeScene, table: Table) -> None:
    """Fault 4: a zombie wakes up when its partitions have another owner; what it still commits is refused."""
    scene = make_scene({"slices": 30}, **GROUP)
    frozen, other = (scene.ready(name, fresh=False) for name in ("frozen", "other"))
    for each in (frozen, other):
        owns_some(each)
    for freeze in range(1, 3):
        scene.send(2)
        frozen.process.send_signal(signal.SIGSTOP)
        scene.injected()
        scene.send(2)
        eventually(lambda: assigned(other) == 2 * scene.traffic.spec.partitions, "the takeover", timeout_s=60)
        scene.send(2)
        frozen.process.send_signal(signal.SIGCONT)
        hears_of_a_loss(frozen, freeze)
        scene.await_counted()
        owns_some(frozen)
    table(scene.settle("4 frozen beyond its session"))


@pytest.mark.faults
def test_stuck_beyond_the_poll_interval(make_scene: MakeScene, table: Table) -> None:
    """Fault 5: the intake hangs while its heartbeats go on; the group takes the partitions away."""
    scene = make_scene(consumer={"session_timeout": "6s", "max_poll_interval": "6s"})
    one, two = (scene.ready(name, fresh=False) for name in ("one", "two"))
    for each in (one, two):
        owns_some(each)
    scene.send(2)
    with scene.redis_frozen():
        scene.send(2)
        eventually(
            lambda: "max.poll.interval" in one.log + two.log or "lost partitions" in one.log + two.log,
            "the group to give up a worker that does not poll",
        )
    with scene.progress(limit_s=60):
        pass
    assert (one.process.poll(), two.process.poll()) == (None, None), scene.hint()
    table(scene.settle("5 stuck beyond the poll interval"))


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_storm_of_rebalances(make_scene: MakeScene, table: Table, protocol: str) -> None:
    """Fault 6: one worker, three, one, again and again, some killed and some asked to stop."""
    scene = make_scene({"slices": 60}, consumer={"session_timeout": "6s", "protocol": protocol})
    scene.ready("steady", fresh=False)
    for round_ in range(3):
        guests = [scene.worker(f"guest{round_}{k}", fresh=False) for k in range(2)]
        for each in guests:
            scene.send(3)
            owns_some(each)
        scene.send(3)
        assert guests[0].stop() == 0
        guests[1].kill()
        scene.injected(4)
        scene.send(3)
    table(scene.settle(f"6 storm of rebalances, {protocol}", timeout_s=150))


@pytest.mark.faults
def test_static_member_restarts_within_its_session(make_scene: MakeScene, table: Table) -> None:
    """Fault 7: the others keep their partitions, nothing moves."""
    scene = make_scene(consumer={"session_timeout": "10s"})
    names = {name: {"DRIFTSTREAM_CONSUMER__INSTANCE_ID": name} for name in ("one", "two")}
    one, two = (scene.ready(name, fresh=False, env=env) for name, env in names.items())
    for each in (one, two):
        owns_some(each)
    moved = len(re.findall("(revoked|lost|assigned) partitions", two.log))
    scene.send(2)
    one.kill()
    scene.injected()
    with scene.progress(limit_s=20):
        one.start()
    scene.await_counted()
    assert len(re.findall("(revoked|lost|assigned) partitions", two.log)) == moved, two.log
    table(scene.settle("7 static member restarts"))


@pytest.mark.faults
def test_two_workers_with_one_instance_id(make_scene: MakeScene, table: Table) -> None:
    """Fault 8: the older one is shut out and says what to do."""
    scene = make_scene(consumer={"session_timeout": "6s"})
    env = {"DRIFTSTREAM_CONSUMER__INSTANCE_ID": "same"}
    first = scene.ready("first", fresh=False, env=env)
    scene.send(2)
    scene.worker("second", fresh=False, env=env)
    scene.injected()
    scene.send(2)
    assert first.process.wait(60) == 3, scene.hint()
    assert "give every worker its own consumer.instance_id" in first.log
    table(scene.settle("8 one instance id twice"))


@pytest.mark.faults
def test_rebalance_while_a_backlog_is_read(make_scene: MakeScene, table: Table) -> None:
    """Fault 9: the second worker joins in the middle of the first one's catching up."""
    scene = make_scene({"slices": 40, "per_slice": 5_000}, consumer={"session_timeout": "6s"})
    scene.send(36)
    first = scene.worker("first", fresh=False)
    eventually(lambda: scene.counted() > 0, "the backlog to be read")
    second = scene.worker("second", fresh=False)
    scene.injected()
    scene.await_counted(timeout_s=120)
    assert (first.process.poll(), second.process.poll()) == (None, None)
    assert "Traceback" not in first.log + second.log
    table(scene.settle("9 rebalance in a backlog"))
