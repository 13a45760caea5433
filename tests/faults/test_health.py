"""Never up but stuck: a worker that cannot do its work says so, or ends with a code that is not 0."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable

import pytest

from stream.embedded import EmbeddedRedis
from stream.keys import ModelKeys
from tests.faults.figures import Figures
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]


def test_evaluation_that_cannot_go_on(make_scene: MakeScene, table: Table) -> None:
    """Fault 41: ingest works, evaluation does not; the worker is not ready, and catches up when it can."""
    scene = make_scene()
    worker = scene.under_way(4)
    with scene.redis_client() as client:
        state = ModelKeys(scene.pipeline.prefix, "m1").state
        kept = client.dump(state)
        client.set(state, "of another kind", keepttl=False)
        scene.injected()
        scene.send(4)
        told = eventually(
            lambda: (page := worker.get("/readyz"))[0] == 503 and page[1], "not ready", timeout_s=90
        )
        assert "evaluation has not looked" in told
        assert worker.get("/livez")[0] == 200
        client.delete(state)
        if kept is not None:
            client.restore(state, 0, kept)
    worker.await_ready()
    table(scene.settle("41 evaluation cannot go on"))


def test_too_few_file_descriptors(make_scene: MakeScene, table: Table) -> None:
    """Fault 40: it ends with a code that is not 0, and what it had committed is whole."""
    scene = make_scene()
    scene.send(4)
    starved = scene.worker("starved", env={"TEST_OPEN_FILES": "14"})
    scene.injected()
    assert starved.process.wait(90) not in (0, None), scene.hint()
    scene.ready("fed")
    table(scene.settle("40 too few file descriptors"))


def test_scraped_without_mercy(make_scene: MakeScene, table: Table) -> None:
    """Fault 42: fifty scrapes a second and readers that never finish; counting goes on."""
    scene = make_scene({"per_slice": 3_000})
    worker = scene.ready()
    url, stop = worker.url("/metrics"), threading.Event()

    def scrape() -> None:
        while not stop.wait(0.1):
            with urllib.request.urlopen(url, timeout=10) as page:
                page.read()

    readers = [threading.Thread(target=scrape) for _ in range(5)]
    for reader in readers:
        reader.start()
    try:
        scene.injected()
        scene.send(16)
        scene.await_counted()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    table(scene.settle("42 scraped 50 times a second"))


def test_started_before_its_services(make_scene: MakeScene, table: Table, own_redis: EmbeddedRedis) -> None:
    """Fault 21, on the side of Redis: the worker ends at once and says what to start; then it works."""
    scene = make_scene()
    own_redis.kill()
    early = scene.worker("early")
    scene.injected()
    assert early.process.wait(60) == 3
    assert "start Redis or mend redis.url" in early.log
    own_redis.start()
    scene.again(early)
    table(scene.settle("21 started before Redis"))
