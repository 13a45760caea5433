from __future__ import annotations

import pytest

from stream.errors import StateError
from stream.ownership import OwnedPartition, start_offset, take_over
from stream.sinks_memory import ListSink
from stream.store import Claim


def owned(position: int = 10) -> OwnedPartition:
    claim = Claim(epoch=1, offset=position, watermark_ms=None, sequence=0)
    start = start_offset(claim, 0, 100, where="t[0]")
    return take_over(claim, start, topic="t", partition=0, sink=ListSink())


def test_a_first_owner_starts_at_the_oldest_record() -> None:
    start = start_offset(Claim(1, None, None, 0), 40, 100, where="t[0]")
    assert (start.offset, start.lost) == (40, 0)


def test_a_cursor_within_the_log_is_where_to_start() -> None:
    start = start_offset(Claim(1, 70, None, 0), 40, 100, where="t[0]")
    assert (start.offset, start.lost) == (70, 0)


def test_records_deleted_by_retention_are_counted_as_lost() -> None:
    claim = Claim(1, 10, 5_000, 3)
    start = start_offset(claim, 40, 100, where="t[0]")
    assert (start.offset, start.lost) == (40, 30)
    taken = take_over(claim, start, topic="t", partition=0, sink=ListSink())
    commit = taken.to_commit([])
    assert (commit.expected_offset, commit.offset, commit.totals) == (10, 40, {"lost": 30})


def test_a_recreated_topic_stops_the_worker() -> None:
    with pytest.raises(StateError, match=r"t\[0\].*recreated"):
        start_offset(Claim(1, 101, None, 0), 0, 100, where="t[0]")


def test_the_end_told_with_the_last_records_of_a_batch_counts() -> None:
    partition = owned(position=10)
    assert not partition.caught_up
    partition.end = 25  # told while the batch was gathered
    partition.saw_records(0, newest_ms=0)
    partition.position = 25  # counted after it
    assert partition.caught_up


def test_markers_of_transactions_at_the_end_are_no_records_to_wait_for() -> None:
    partition = owned(position=10)
    partition.end = 11
    assert partition.caught_up


def test_records_past_the_known_end_are_waited_for() -> None:
    partition = owned(position=10)
    partition.end = 10
    partition.position = 12
    assert not partition.caught_up


def test_how_far_windows_are_closed_is_asked_once_the_partition_holds_them_back() -> None:
    partition = owned()
    assert not partition.wants_passed
    partition.saw_records(0, newest_ms=300_000)
    assert (partition.passed_ms, partition.wants_passed) == (300_000, True)
    partition.knows_passed(None)
    assert (partition.passed_ms, partition.wants_passed) == (300_000, True)
    partition.knows_passed(5_000)
    partition.saw_records(1, newest_ms=300_001)
    assert (partition.passed_ms, partition.wants_passed) == (5_000, False)


def test_after_an_idle_spell_it_is_asked_again() -> None:
    partition = owned()
    partition.saw_records(0, newest_ms=300_000)
    partition.knows_passed(5_000)
    partition.idle_beat = 2
    assert not partition.wants_passed
    partition.saw_records(1, newest_ms=400_000)
    assert (partition.passed_ms, partition.wants_passed) == (400_000, True)
