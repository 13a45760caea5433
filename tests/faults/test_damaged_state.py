"""Stored bytes that somebody damaged, or that a later release wrote: told, and never taken for the truth."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from stream.keys import ModelKeys, PaneKey, PartitionKeys
from tests.faults import invariants
from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker
from tests.faults.oracle import newest
from tests.faults.scene import Scene
from tests.integration.pipeline import eventually, header, values

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]
WINDOW_MS = 10_000


def pane(scene: Scene, client: Redis, partition: int, model: str, window: int) -> str:
    """Name of a stored pane; ``window`` counts from the first one of the stream."""
    keys = PartitionKeys(scene.pipeline.prefix, scene.pipeline.topics["inference"], partition)
    start_ms = scene.traffic.start_ms + window * WINDOW_MS
    members = [PaneKey.from_member(member) for member in client.zrange(keys.open, 0, -1)]
    (found,) = [each for each in members if (each.model, each.start_ms) == (model, start_ms)]
    return keys.pane(found)


def state(scene: Scene, model: str) -> str:
    return ModelKeys(scene.pipeline.prefix, model).state


def patch(client: Redis, name: str, at: int, junk: bytes) -> None:
    """Write ``junk`` into the packed state of a model, as SETRANGE does into a string."""
    data = client.hget(name, "state") or b""
    client.hset(name, "state", data[:at] + junk + data[at + len(junk) :])


def under_way(scene: Scene) -> ForkedWorker:
    """A worker that has evaluated three windows of each model, and counted half of the fourth."""
    worker = scene.ready()
    scene.send(7)
    scene.await_counted()
    metrics = scene.pipeline.reader("metrics")
    eventually(lambda: len(newest(values(metrics.poll()))) >= 3 * scene.traffic.spec.models, scene.hint)
    return worker


def stop_watching(scene: Scene) -> None:
    """It reads what we damage, and would stumble."""
    scene._watching.set()
    scene._watcher.join(10)


def test_damaged_panes_and_a_damaged_state(make_scene: MakeScene, table: Table) -> None:
    """Fault 19: the windows of damaged panes say so, also of one that is counted into again; the monitor of a
    damaged state starts anew; the records of a model whose bytes are sound are the oracle's, bit for bit.
    """
    scene = make_scene({"drift": False, "slices": 14, "models": 4})
    worker = under_way(scene)
    worker.kill()
    stop_watching(scene)
    with scene.redis_client() as client:
        client.setrange(pane(scene, client, 1, "m0", 3), 40, b"\xff" * 16)  # to be counted into again
        client.setrange(pane(scene, client, 2, "m2", 3), 4, b"\xee")  # no such format
        client.setrange(pane(scene, client, 0, "m1", 1), 12, b"\xff" * 8)  # closed: read by the new monitor
        patch(client, state(scene, "m1"), 60, b"\xff" * 16)
    scene.injected(4)
    scene.again(worker)
    scene.send_rest()
    metrics = scene.pipeline.reader("metrics")
    eventually(lambda: metrics.poll() and len(scene.windows(metrics)) >= 28, scene.hint)

    windows, start_ms = newest(values(metrics.poll())), scene.traffic.start_ms
    damaged = {("m0", 3), ("m2", 3), ("m1", 1)}
    also_marked = {
        ("m1", 3),
        ("m3", 3),
    }  # what was counted into again is a gap, and a gap is one of all models
    marked = {
        (model, (start - start_ms) // WINDOW_MS)
        for (model, start), record in windows.items()
        if record.get("incomplete")
    }
    assert marked == damaged | also_marked, scene.hint()
    counted, sent = scene.windows(metrics), scene.traffic.windows
    short = {
        (model, (start - start_ms) // WINDOW_MS)
        for (model, start), n in sent.items()
        if counted[model, start] < n
    }
    assert short == damaged, scene.hint()
    lost, doubled = invariants.lost_and_doubled(sent, counted)
    assert (lost > 0, doubled) == (True, 0)
    sound = [
        each for each in metrics.records if each.key() == b"m3" and b"incomplete" not in (each.value() or b"")
    ]
    assert len(sound) >= 6
    assert all(scene.oracle.records[header(each, "id")] == each.value() for each in sound)

    assert worker.metric("driftstream_stored_bytes_quarantined_total") >= 4
    for told in ("pane quarantined", "state quarantined, the monitor starts anew", "format 238"):
        assert told in worker.new_log
    assert worker.process.poll() is None
    table(scene.figures(f"19 damaged bytes ({lost} told)", lost=0, doubled=doubled))


def test_a_later_release_was_here(make_scene: MakeScene, table: Table) -> None:
    """Fault 43, the way back: a worker that meets a later format ends, says so and leaves it as it is; with
    the bytes of its own format it goes on where it was.
    """
    scene = make_scene({"slices": 14})
    worker = under_way(scene)
    assert worker.stop() == 0
    with scene.redis_client() as client:
        counts = pane(scene, client, 1, "m0", 3)
        for name, kind in ((counts, "pane"), (state(scene, "m1"), "model_state")):
            stop_watching(scene)
            upgrade(client, name, 2)
            before = client.dump(name)
            scene.send()
            scene.again(worker)
            assert worker.process.wait(60) == 1, scene.hint()
            assert (
                f"stored {kind}: format 2, this release reads up to 1: a newer release wrote it" in worker.log
            )
            assert client.dump(name) == before
            scene.injected()
            upgrade(client, name, 1)
    with scene.progress(limit_s=20):
        scene.again(worker)
    table(scene.settle("43 state of a later release"))


def upgrade(client: Redis, name: str, version: int) -> None:
    """Have stored bytes say that they are of another format."""
    if client.type(name) == b"hash":
        patch(client, name, 4, bytes([version]))
    else:
        client.setrange(name, 4, bytes([version]))
