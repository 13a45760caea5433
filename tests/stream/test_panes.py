from __future__ import annotations

import numpy as np
import pytest

from detectors import Counts
from stream.errors import CorruptState
from stream.keys import PaneKey
from stream.panes import Pane, PartitionIntake

KEY = PaneKey("m", "v1", 60_000, "f")
LATER = PaneKey("m", "v1", 120_000, "f")
CLOSES = {KEY: 130_000, LATER: 190_000}


def pane(n: int, first_ms: int = 60_000) -> Pane:
    return Pane(Counts(np.array([[n, 0, 0], [0, n, 0]])), first_ms, first_ms + n)


def test_adding_merges_counts_and_widens_the_span() -> None:
    held = pane(3)
    held.add(Counts([[1, 1, 0], [0, 2, 0]]), 59_000, 61_000)
    assert held.counts.n == 5
    assert (held.min_ts_ms, held.max_ts_ms) == (59_000, 61_000)


def test_panes_come_back_from_bytes() -> None:
    again = Pane.from_bytes(pane(7).to_bytes())
    assert again.counts == pane(7).counts
    assert (again.min_ts_ms, again.max_ts_ms) == (60_000, 60_007)


def test_damaged_panes_are_refused() -> None:
    data = bytearray(pane(7).to_bytes())
    data[-1] ^= 1
    with pytest.raises(CorruptState):
        Pane.from_bytes(bytes(data))


def test_a_new_pane_is_announced_once() -> None:
    intake = PartitionIntake(watermark_ms=70_000)
    intake.add(KEY, pane(3))
    assert intake.announce(CLOSES.__getitem__) == [KEY]
    intake.committed()
    intake.add(KEY, pane(2))
    assert intake.announce(CLOSES.__getitem__) == []
    assert intake.panes[KEY].counts.n == 5


def test_a_pane_whose_window_may_be_closed_is_announced_again() -> None:
    intake = PartitionIntake(watermark_ms=70_000)
    intake.add(KEY, pane(3))
    intake.committed()
    intake.advance(130_000)
    intake.add(KEY, pane(1))
    assert intake.announce(CLOSES.__getitem__) == [KEY]


@pytest.mark.parametrize("soonest_ms", [0, 69_999, 70_000])
def test_panes_that_close_later_are_not_looked_at(soonest_ms: int) -> None:
    intake = PartitionIntake(watermark_ms=130_000)
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1))
    intake.committed()
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1))
    assert intake.announce(CLOSES.__getitem__, soonest_ms=soonest_ms) == [KEY]


def test_what_a_commit_writes_are_the_panes_that_changed() -> None:
    intake = PartitionIntake()
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1))
    everything = intake.changed()
    intake.committed()
    intake.add(LATER, pane(1))
    assert (set(everything), set(intake.changed())) == ({KEY, LATER}, {LATER})
    intake.panes.clear()
    assert set(everything) == {KEY, LATER}


def test_after_an_idle_spell_panes_of_closed_windows_are_announced_with_every_commit() -> None:
    intake = PartitionIntake(watermark_ms=70_000)
    for _ in range(3):
        intake.add(KEY, pane(1))
        assert intake.announce(CLOSES.__getitem__, passed_ms=CLOSES[KEY]) == [KEY]
        intake.committed()
    intake.add(KEY, pane(1))
    assert intake.announce(CLOSES.__getitem__, passed_ms=CLOSES[KEY] - 1) == []


def test_earlier_counts_are_merged_once_before_a_pane_is_committed() -> None:
    intake = PartitionIntake()
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1))
    assert intake.missing() == [KEY, LATER]
    intake.restore([KEY, LATER], {KEY: pane(10)})
    assert intake.missing() == []
    assert (intake.panes[KEY].counts.n, intake.panes[LATER].counts.n) == (11, 1)
    intake.committed(from_ms=60_010)  # the last event of one, the other has none so late
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1))
    assert intake.missing() == [LATER]  # forgotten since: it must be read again


def test_a_commit_forgets_increments_and_panes_not_kept() -> None:
    intake = PartitionIntake()
    intake.add(KEY, pane(1))
    intake.add(LATER, pane(1, 120_000))
    intake.totals["events"] += 2
    intake.committed(from_ms=120_000)
    assert set(intake.panes) == {LATER}
    assert not intake.dirty
    assert not intake.totals


def test_the_watermark_of_a_partition_never_goes_back() -> None:
    intake = PartitionIntake()
    intake.advance(100)
    intake.advance(50)
    assert intake.watermark_ms == 100
