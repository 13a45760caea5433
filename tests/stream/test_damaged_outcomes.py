"""Outcomes that were damaged after they were stored: their windows say so, and nothing goes below zero."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import Reference
from stream.outcomes.panes import OutcomePane
from stream.quarantine import found
from tests.stream.label_world import HORIZON_MS, PANES, SLIDE_MS, World, known_loans

DAMAGED = 2  # the pane; windows of two panes hold it
TOUCHED = [SLIDE_MS * (DAMAGED + 1), SLIDE_MS * (DAMAGED + 2)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return known_loans()


def pane_of(world: World) -> np.ndarray:
    return np.flatnonzero(world.ts_ms // SLIDE_MS == DAMAGED)


def end(world: World) -> None:
    """The labels' horizon passes: every window is final."""
    world.commit("labels", HORIZON_MS + 20 * SLIDE_MS)
    world.look()


def check(world: World) -> None:
    final = world.newest()
    assert sorted(end for end, record in final.items() if record.get("incomplete")) == TOUCHED
    assert len(final) == PANES + 1
    for end_ms, record in final.items():
        realized = record["performance"]["realized"]
        rows = world.rows_of(end_ms)
        if end_ms in TOUCHED:
            rows = np.setdiff1d(rows, pane_of(world))
        right = (world.label == world.prediction)[rows]
        assert (realized["n"], realized["accuracy"]) == (len(rows), pytest.approx(right.mean()))


@pytest.mark.parametrize("restart", [False, True], ids=["one owner", "another owner"])
def test_a_damaged_pane_of_outcomes(reference: Reference, *, restart: bool) -> None:
    """Labels that are corrected after it would be taken out of counts that are not there any more."""
    world, everyone = World(reference), np.arange(PANES * 400)
    world.predict()
    world.tell(everyone, 1.0 - world.label)
    world.look()
    panes = world.store.joins._models["m"].panes
    damaged = bytearray(panes[DAMAGED * SLIDE_MS])
    damaged[60] ^= 0xFF
    panes[DAMAGED * SLIDE_MS] = bytes(damaged)
    before = found("outcomes")
    if restart:
        world.start()
    world.tell(everyone, later_ms=1)
    world.look()
    end(world)
    check(world)
    assert found("outcomes") == before + 1, "it is told once"


def test_a_lost_piece_of_the_journal(reference: Reference) -> None:
    """What was never counted can not be taken out: the pane is given up rather than told wrong."""
    world, everyone = World(reference), np.arange(PANES * 400)
    world.predict()
    world.tell(everyone, 1.0 - world.label)
    mine = set(pane_of(world).tolist())
    journal = world.store.joins._models["m"].journal
    lost = [row for row in journal if row[0] // SLIDE_MS == DAMAGED]
    assert len(lost) == 2 * len(mine)
    kept = [row for row in journal if row[0] // SLIDE_MS != DAMAGED]
    journal[:] = kept
    before = found("outcomes")
    world.look()
    world.tell(everyone, later_ms=1)
    world.look()
    end(world)
    check(world)
    assert found("outcomes") == before + 1


def test_what_is_damaged_stays_damaged(reference: Reference) -> None:
    spec = World(reference).spec
    pane = OutcomePane(spec, damaged=True)
    again = OutcomePane.from_bytes(pane.to_bytes(), spec)
    assert again.damaged
    assert not again.strata
