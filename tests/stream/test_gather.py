"""Batches gathered from a consumer whose every call brings what a test says, hand-overs inside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from stream import assignment
from stream.alerts import AlertRoute
from stream.assignment import Assignment
from stream.codec import JsonInferenceDecoder
from stream.errors import DependencyError
from stream.gather import CHUNK, batch_for, gather
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from stream.topic_batch import TopicBatch
from tests.stream.test_codec_fuzz import REFERENCES, TS
from tests.stream.test_topic_batch import TOPIC, consistent, places, record

Call = Callable[[], list[Record]]


class Kafka(ListSink):
    """Topics of 1,000 offsets a partition."""

    def partitions(self, topic: str, *, timeout_s: float) -> int:
        return 3


class Script:
    """A member of the group; what its calls of ``consume`` bring, then nothing."""

    def __init__(self) -> None:
        self.assignment = Assignment(
            store=MemoryStore(),
            consumer=self,  # type: ignore[arg-type]
            sink=Kafka(),  # type: ignore[arg-type]
            alerts=AlertRoute("alerts", ""),
        )
        self.assignment.before_revoke = lambda leaving: None
        self.calls: list[Call] = []

    def consume(self, number: int, _timeout_s: float) -> list[Record]:
        brought = self.calls.pop(0)() if self.calls else []
        assert len(brought) <= number
        return brought

    def get_watermark_offsets(self, _at: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 100_000

    def incremental_assign(self, _starts: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, _partitions: list[TopicPartition]) -> None: ...

    def resume(self, _partitions: list[TopicPartition]) -> None: ...

    # ---- what a test says

    def assigned(self, *partitions: int, topic: str = TOPIC) -> None:
        given: Any = self
        self.assignment.on_assign(given, [TopicPartition(topic, each) for each in partitions])

    def revoked(self, *partitions: int) -> None:
        given: Any = self
        self.assignment.on_revoke(given, [TopicPartition(TOPIC, each) for each in partitions])

    def gather(self, *calls: Call, limit: int = 10_000, topics: Iterable[str] = (TOPIC,)) -> list[TopicBatch]:
        self.calls = list(calls)
        return gather(
            self,  # type: ignore[arg-type]
            self.assignment,
            {topic: JsonInferenceDecoder(REFERENCES) for topic in topics},
            limit=limit,
            poll_s=0.0,
            unless=lambda: False,
            newest_ms=lambda: TS,
        )


@pytest.fixture
def script() -> Script:
    script = Script()
    script.assigned(0, 1)
    return script


def chunk(partition: int, first: int, size: int = CHUNK) -> list[Record]:
    return [record(partition, offset) for offset in range(first, first + size)]


def rows(partition: int, first: int, size: int = CHUNK) -> list[tuple[int, int]]:
    return [(partition, offset) for offset in range(first, first + size)]


@pytest.mark.parametrize(
    ("blocks", "records"),
    [(0, 5_000), (1, 5_000), (25, 5_000), (100, 20_000), (1_000, 50_000), (9_999, 50_000)],
)
def test_a_batch_of_many_models_is_larger(blocks: int, records: int) -> None:
    assert batch_for(5_000, blocks) == records


def test_full_calls_follow_each_other_up_to_the_limit(script: Script) -> None:
    calls = [lambda first=first: chunk(0, first) for first in (1, 501, 1_001)]
    (batch,) = script.gather(*calls, limit=700)
    assert places(batch) == rows(0, 1, 1_000)
    consistent(batch)
    assert len(script.calls) == 1
    (batch,) = script.gather(lambda: chunk(1, 1, 3), lambda: chunk(1, 4, 3))
    assert places(batch) == rows(1, 1, 3)
    assert script.gather(list) == []


def test_what_was_gathered_of_a_partition_that_leaves_is_dropped(script: Script) -> None:
    def second() -> list[Record]:
        script.revoked(0)
        return chunk(1, 1)

    (batch,) = script.gather(lambda: chunk(0, 1), second, lambda: chunk(1, 501, 7))
    assert places(batch) == rows(1, 1, 507)
    consistent(batch)


def test_a_partition_that_leaves_and_comes_back_is_read_from_its_offset(script: Script) -> None:
    def second() -> list[Record]:
        script.revoked(0)
        return chunk(1, 1)

    def third() -> list[Record]:
        script.assigned(0)
        return chunk(0, 1, 9)

    (batch,) = script.gather(lambda: chunk(0, 1), second, third)
    assert places(batch) == rows(1, 1) + rows(0, 1, 9)
    consistent(batch)


def test_a_hand_over_within_one_call_drops_what_came_before_it(script: Script) -> None:
    def second() -> list[Record]:
        script.revoked(0, 1)
        script.assigned(0)
        return chunk(0, 1, 400)

    (batch,) = script.gather(lambda: [*chunk(0, 1, 300), *chunk(1, 1, 200)], second)
    assert places(batch) == rows(0, 1, 400)
    consistent(batch)


def test_nothing_is_left_of_a_batch_when_all_partitions_leave(script: Script) -> None:
    def second() -> list[Record]:
        script.revoked(0, 1)
        return []

    assert script.gather(lambda: chunk(0, 1), second) == []


def test_a_partition_whose_offset_is_gone_is_claimed_again(script: Script) -> None:
    out_of_range = Record(topic=TOPIC, partition=0, error=KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))
    (batch,) = script.gather(lambda: [*chunk(0, 1, 300), out_of_range, *chunk(1, 1, 199)])
    assert places(batch) == rows(1, 1, 199)
    consistent(batch)


def test_ends_of_partitions_are_noted_and_are_no_rows(script: Script) -> None:
    code = KafkaError._PARTITION_EOF  # the client's spelling
    end = Record(topic=TOPIC, partition=0, offset=42, error=KafkaError(code))
    (batch,) = script.gather(lambda: [*chunk(0, 1, 41), end])
    assert places(batch) == rows(0, 1, 41)
    assert batch.owned[0].end == 42


def test_a_topic_that_is_gone_is_told(script: Script) -> None:
    gone = Record(topic=TOPIC, partition=0, error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(DependencyError, match="topic t is gone"):
        script.gather(lambda: [gone])


@pytest.mark.parametrize(
    ("code", "budget_s"),
    [(KafkaError.TOPIC_AUTHORIZATION_FAILED, 3_600), (KafkaError.LEADER_NOT_AVAILABLE, -1)],
)
def test_a_claim_ends_at_a_refusal_or_when_its_time_is_up(
    script: Script, monkeypatch: pytest.MonkeyPatch, code: int, budget_s: float
) -> None:
    def refuse(_at: TopicPartition, timeout: float) -> NoReturn:
        raise KafkaException(KafkaError(code, "not for you"))

    monkeypatch.setattr(assignment, "CLAIM_BUDGET_S", budget_s)
    monkeypatch.setattr(script, "get_watermark_offsets", refuse)
    with pytest.raises(DependencyError, match=r"no offsets of other\[0\].*not for you"):
        script.assigned(0, topic="other")


def test_topics_are_batches_of_their_own(script: Script) -> None:
    script.assigned(0, topic="other")

    def both() -> list[Record]:
        others = [
            Record(topic="other", partition=0, offset=each, value=record(0, each).value()) for each in (1, 2)
        ]
        return [record(0, 1), others[0], record(1, 1), others[1]]

    one, other = script.gather(both, topics=(TOPIC, "other"))
    assert (one.topic, places(one)) == (TOPIC, [(0, 1), (1, 1)])
    assert (other.topic, places(other)) == ("other", [(0, 1), (0, 2)])
    for batch in (one, other):
        consistent(batch)
    (alone,) = script.gather(lambda: chunk(0, 1, 2), topics=(TOPIC, "other"))
    assert alone.topic == TOPIC
