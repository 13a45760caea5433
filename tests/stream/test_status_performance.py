"""What ``driftstream status`` tells of performance: the newest window with labels, from the stored state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors import Reference
from stream.one_model import load_model
from stream.status import model_status
from tests.stream.label_world import HORIZON_MS, PANES, ROWS, SLIDE_MS, World

NEWEST = (PANES + 1) * SLIDE_MS


@pytest.fixture(scope="module")
def scored() -> Reference:
    score = np.random.default_rng(3).uniform(size=10_000)
    columns = {
        "x": score,
        "score": score,
        "said": (score > 0.5).astype(int),
        "paid": (np.random.default_rng(4).uniform(size=10_000) < score).astype(int),
    }
    return Reference.build(
        columns, window_rows=ROWS, prediction="said", label="paid", model="m", version="v1"
    )


def told(world: World) -> dict[str, Any] | None:
    revision, stored = load_model(world.store, "m")
    series = model_status("m", revision, stored, 0).series
    return next(each.performance for each in series if each.source == "inference")


def check(world: World, end_ms: int) -> dict[str, Any]:
    """The status as it must be when the window that ends at ``end_ms`` is the newest with labels."""
    status, performance = told(world), world.newest()[end_ms]["performance"]
    assert status is not None
    assert status["window_end_ms"] == end_ms
    for name in ("n", "accuracy", "coverage", "log_loss"):
        assert status["realized"][name] == performance["realized"][name]
    assert status["estimated"]["accuracy"] == performance["estimated"]["accuracy"]
    assert status["final"] == performance["realized"]["final"]
    return status


def test_the_newest_window_with_labels_is_told(scored: Reference) -> None:
    world = World(scored)
    world.predict()
    world.look()
    assert told(world) is None
    world.tell(np.flatnonzero(world.ts_ms < 2 * SLIDE_MS))
    world.look()
    check(world, 3 * SLIDE_MS)  # windows overlap by one pane
    world.tell(world.rows_of(NEWEST)[:100])
    world.start()  # a new owner knows it too
    world.look()
    assert check(world, NEWEST)["realized"]["n"] == 100
    world.tell(np.flatnonzero(world.ts_ms < 2 * SLIDE_MS), later_ms=1)
    world.look()
    assert check(world, NEWEST)["realized"]["n"] == 100
    world.tell(world.rows_of(NEWEST))
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()
    final = check(world, NEWEST)
    assert final["final"]
    assert final["realized"]["coverage"] == 1.0
