"""A worker that counts nothing is ready only where nothing waits."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream.ownership import OwnedPartition, Start, take_over
from stream.progress import LOOK_S, QUIET_MS, LookProgress, RecordProgress
from stream.sinks_memory import ListSink
from stream.store import Claim


class Ends:
    """A consumer that knows the ends of its partitions."""

    def __init__(self, *ends: int | None) -> None:
        self.ends = dict(enumerate(ends))
        self.asked = 0

    def get_watermark_offsets(self, at: TopicPartition, *, timeout: float) -> tuple[int, int]:
        self.asked += 1
        end = self.ends[at.partition]
        if end is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return 0, end


def partitions(*positions: int) -> list[OwnedPartition]:
    made = []
    for partition, position in enumerate(positions):
        claim = Claim(1, position, None, 0)
        made.append(take_over(claim, Start(position, 0), topic="t", partition=partition, sink=ListSink()))
    return made


def test_everything_read_is_progress_enough() -> None:
    progress = RecordProgress(Ends(10, 20))
    for now_ms in range(QUIET_MS, 10 * QUIET_MS, QUIET_MS):
        progress.look(partitions(10, 20), now_ms)
        assert progress.reason is None


def test_records_that_wait_and_are_not_counted() -> None:
    progress, owned = RecordProgress(Ends(10, 25)), partitions(10, 20)
    for now_ms in (QUIET_MS, 2 * QUIET_MS):
        progress.look(owned, now_ms)
    assert progress.reason == "5 records of t[1] wait, none is counted"
    owned[1].position = 25
    progress.look(owned, 3 * QUIET_MS)
    assert progress.reason is None


def test_records_that_come_this_moment_are_no_reason() -> None:
    progress, owned = RecordProgress(Ends(11)), partitions(10)
    progress.look(owned, QUIET_MS)
    assert progress.reason is None
    owned[0].position = 11
    progress.look(owned, 2 * QUIET_MS)
    assert progress.reason is None


def test_nobody_is_asked_while_records_come() -> None:
    ends, owned = Ends(99, 99), partitions(1, 1)
    owned[0].quiet_since_ms = 5_000
    RecordProgress(ends).look(owned, 5_000 + QUIET_MS - 1)
    assert ends.asked == 0


def test_markers_of_transactions_at_the_end_do_not_wait() -> None:
    progress, owned = RecordProgress(Ends(12)), partitions(10)
    owned[0].end = 12
    for now_ms in (QUIET_MS, 2 * QUIET_MS):
        progress.look(owned, now_ms)
    assert progress.reason is None


def test_a_broker_that_does_not_answer() -> None:
    progress = RecordProgress(Ends(None))
    progress.look(partitions(1), QUIET_MS)
    assert progress.reason is not None
    assert progress.reason.startswith("Kafka does not answer")


def test_the_evaluation_is_ready_while_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = LookProgress()
    assert progress.readiness() == (False, "the evaluation has not joined its group yet")
    progress.done()
    assert progress.readiness() == (True, "ok")
    later = time.monotonic() + LOOK_S + 1
    monkeypatch.setattr("stream.progress.time.monotonic", lambda: later)
    ready, reason = progress.readiness()
    assert not ready
    assert "has not looked at its models for 31 s" in reason
