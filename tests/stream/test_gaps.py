"""Gaps: kept beside the offset, closed by the first events after them, and told in the windows they touch."""

from __future__ import annotations

import pytest

from detectors import Counts
from stream.errors import CorruptState
from stream.gaps import KEPT, Gap, ended, from_text, to_text
from stream.keys import PaneKey
from stream.ownership import start_offset, take_over
from stream.panes import Pane
from stream.sinks_memory import ListSink
from stream.store import Claim
from stream.windows import WindowSpec


def test_a_gap_touches_the_windows_between_its_ends() -> None:
    gap = Gap(first=10, lost=30, from_ms=5_000, to_ms=9_000)
    windows = [(start, start + 1_000) for start in range(3_000, 12_000, 1_000)]
    assert [start for start, end in windows if gap.touches(start, end)] == [5_000, 6_000, 7_000, 8_000, 9_000]


def test_a_gap_without_ends_touches_all() -> None:
    assert Gap(0, 1, None).touches(-10, -9)
    assert not Gap(0, 1, 5_000).touches(0, 5_000)
    assert Gap(0, 1, 5_000).touches(10**12, 10**12 + 1)


def test_gaps_survive_storage_and_the_newest_are_kept() -> None:
    gaps = [Gap(i, 1, i, None if i == 9 else i) for i in range(10)]
    assert from_text(to_text(gaps)) == tuple(gaps[-KEPT:])
    assert from_text(None) == from_text(b"") == ()
    with pytest.raises(CorruptState):
        from_text(b"[[1]]")


def test_only_open_gaps_end() -> None:
    assert ended([Gap(0, 1, 5, 7), Gap(9, 1, 8)], 20) == [Gap(0, 1, 5, 7), Gap(9, 1, 8, 20)]


def test_the_owner_commits_the_gap_with_the_jump_and_its_end_with_the_next_events() -> None:
    claim = Claim(1, 10, 5_000, 3, (Gap(1, 2, 3, 4),))
    owned = take_over(claim, start_offset(claim, 40, 99, where="t"), topic="t", partition=0, sink=ListSink())
    jump = owned.to_commit([])
    assert jump.gaps == [Gap(1, 2, 3, 4), Gap(10, 30, 5_000)]
    owned.landed(jump)
    assert owned.to_commit([]).gaps is None
    assert owned.after_gap
    owned.end_gap(7_500)
    assert not owned.after_gap
    assert owned.to_commit([]).gaps == [Gap(1, 2, 3, 4), Gap(10, 30, 5_000, 7_500)]


def test_damaged_panes_that_are_written_over_leave_a_gap_of_their_time() -> None:
    """One gap for all of them, before one that waits for its end; sound panes are merged."""
    claim = Claim(1, 10, 5_000, 3)
    owned = take_over(claim, start_offset(claim, 40, 99, where="t"), topic="t", partition=0, sink=ListSink())
    keys = [PaneKey("m", "v1", start_ms, "f") for start_ms in (10_000, 20_000, 40_000)]
    for key in keys:
        owned.intake.add(key, Pane(Counts([[1, 0]]), key.start_ms, key.start_ms))
    stored = {keys[0]: None, keys[1]: Pane(Counts([[3, 1]]), 20_000, 20_001), keys[2]: None}
    owned.restore(keys, stored, {"m": WindowSpec(size_ms=20_000, slide_ms=10_000, grace_ms=0)})
    commit = owned.to_commit([])
    assert [commit.panes[key].counts.n for key in keys] == [1, 5, 1]
    assert commit.gaps == [Gap(40, 0, 10_000, 49_999), Gap(10, 30, 5_000)]
    assert owned.after_gap
    assert commit.totals == {"lost": 30}
