"""Fault 2: the process dies before and after every step of both commits; each point is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from stream.crash_points import CRASH_AT, EVALUATE, INGEST, KILLED, UNDER_TEST
from tests.faults.figures import Figures
from tests.faults.oracle import newest
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually, values

pytestmark = pytest.mark.services
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def points(steps: Sequence[str]) -> list[str]:
    """Before and after each step."""
    return [f"{step}.{when}" for step in steps for when in ("before", "after")]


def dies_at(scene: Scene, point: str, stage: str, *, slices: int) -> None:
    """Start a worker that is to die at ``point``, and wait until it has."""
    env = {CRASH_AT: point, UNDER_TEST: "yes"}
    scene.send(slices)
    worker = scene.worker(point.partition(":")[0], "--only", stage, env=env)
    assert worker.process.wait(60) == KILLED, f"{point}: {scene.hint()}"
    scene.injected()


@pytest.mark.timeout(300)
def test_every_step_of_the_ingest(make_scene: MakeScene, table: Table) -> None:
    scene = make_scene({"slices": 36, "per_slice": 500, "poison": 0.02})
    for point in points(INGEST):
        dies_at(scene, point, "ingest", slices=1)
    scene.ready("last")
    table(scene.settle("2 crash at every step of ingest"))


@pytest.mark.timeout(300)
def test_every_step_of_the_evaluation(make_scene: MakeScene, table: Table) -> None:
    scene = make_scene({"slices": 36, "per_slice": 500})
    scene.ready("ingest", "--only", "ingest")
    for point in points(EVALUATE):
        dies_at(scene, point, "evaluate", slices=3)
    scene.ready("last")
    table(scene.settle("2 crash at every step of evaluate"))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [2, 5])
def test_every_step_the_nth_time(make_scene: MakeScene, table: Table, times: int) -> None:
    """In the midst of a run rather than at its start."""
    scene = make_scene({"slices": 14 * (times + 6), "per_slice": 200, "poison": 0.05})
    for point in points(INGEST):
        env = {CRASH_AT: f"{point}:{times}", UNDER_TEST: "yes"}
        worker = scene.worker(f"{point}{times}", "--only", "ingest", env=env)
        for _ in range(times + 5):
            scene.send()
            eventually(
                lambda worker=worker: (
                    worker.process.poll() is not None or scene.counted() >= scene.traffic.events
                ),
                scene.hint,
            )
            if worker.process.poll() is not None:
                break
        assert worker.process.wait(30) == KILLED, f"{point}: {scene.hint()}"
        scene.injected()
    scene.ready("last")
    table(scene.settle(f"2 crash at every step of ingest, time {times}"))


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_every_step_of_the_evaluation_the_second_time(make_scene: MakeScene, table: Table) -> None:
    """With windows, incidents and an outbox of its own behind it."""
    scene = make_scene({"slices": 90, "per_slice": 100})
    scene.ready("ingest", "--only", "ingest")
    metrics = scene.pipeline.reader("metrics")
    for point in points(EVALUATE):
        env = {CRASH_AT: f"{point}:2", UNDER_TEST: "yes"}
        worker = scene.worker(f"{point}2", "--only", "evaluate", env=env)
        while worker.process.poll() is None:
            told = len(newest(values(metrics.poll())))
            scene.send(2)  # closes a window
            eventually(
                lambda worker=worker, told=told: (
                    worker.process.poll() is not None or len(newest(values(metrics.poll()))) > told
                ),
                scene.hint,
            )
        assert worker.process.wait(30) == KILLED, f"{point}: {scene.hint()}"
        scene.injected()
    scene.ready("last")
    table(scene.settle("2 crash at every step of evaluate, time 2"))
