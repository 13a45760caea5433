"""Workers that are killed, asked to stop, and frozen: every event once, every alert once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.figures import Figures
from tests.faults.scene import Scene

pytestmark = pytest.mark.services
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def test_killed_at_random_moments(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 1: SIGKILL ten times, at moments that a seed draws."""
    scene, moments = make_scene({"poison": 0.01, "twice": 0.01}), random.Random(seed)
    worker = scene.ready()
    for _ in range(10):
        scene.send()
        time.sleep(moments.uniform(0.0, 0.4))
        worker.kill()
        scene.injected()
        scene.send()
        with scene.progress(limit_s=20):
            scene.again(worker)
        if scene.traffic.spec.slices - scene._next < 3:
            break
    table(scene.settle("1 worker killed"))
