"""No more memory, little of the processor: an end that is told, or slower work; never a wrong count."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.figures import Figures
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def no_more_memory(pid: int) -> None:
    """Let the process have what it has, and no page more."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


def test_out_of_memory_while_it_counts(make_scene: MakeScene, table: Table) -> None:
    """Fault 40: it ends with a code that is not 0 or does with what it has; what it committed is whole."""
    scene = make_scene({"per_slice": 5_000})
    worker = scene.ready()
    scene.send()
    scene.await_counted()
    no_more_memory(worker.process.pid)
    scene.injected()
    scene.send(9)
    eventually(
        lambda: worker.process.poll() is not None or scene.counted() >= scene.traffic.events,
        lambda: f"up but stuck: {worker.get('/readyz')}; {scene.hint()}",
        timeout_s=40,
    )
    assert worker.process.poll() != 0, scene.hint()
    worker.kill()
    with scene.progress(limit_s=20):
        scene.again(worker)
    table(scene.settle("40 out of memory"))


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that do nothing, as fast as they can."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def test_starved_of_the_processor(make_scene: MakeScene, table: Table) -> None:
    """Fault 39: with nice 19 beside busy loops it keeps its partitions, and catches up when they end."""
    scene = make_scene(consumer={"session_timeout": "30s"})
    worker = scene.ready(fresh=False)
    scene.send(2)
    scene.await_counted()
    for thread in os.listdir(f"/proc/{worker.process.pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), 19)
    with scene.progress(limit_s=60), busy(os.cpu_count() or 1):
        scene.injected()
        began = time.monotonic()
        for second in range(8):
            scene.send()
            eventually(lambda second=second: time.monotonic() > began + second, "a second")
    scene.await_counted()
    assert "lost partitions" not in worker.log
    assert "revoked partitions" not in worker.log
    table(scene.settle("39 starved of the processor"))
