"""What is gathered across hand-overs of partitions: which rows stay, and what is held of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from confluent_kafka import Message as Record
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.codec import Decoder, JsonInferenceDecoder
from stream.ownership import OwnedPartition
from stream.sinks import OutboxDrain
from stream.sinks_memory import ListSink
from stream.topic_batch import OpenBatch, TopicBatch
from tests.stream.test_codec_fuzz import REFERENCES, TS, VALID
from tests.stream.test_portions import ENGINES

DECODERS: Mapping[str, Decoder] = {
    engine: JsonInferenceDecoder(REFERENCES, engine=engine) for engine in ENGINES
}
ANY_ENGINE = pytest.mark.parametrize("engine", ENGINES)
TOPIC = "t"


def owned(partition: int, *, generation: int = 0, position: int = 0) -> OwnedPartition:
    return OwnedPartition(
        TOPIC, partition, 1, position, None, 0, OutboxDrain(ListSink()), generation=generation
    )


def ours(*partitions: OwnedPartition) -> Callable[[str, int], OwnedPartition | None]:
    return lambda _, partition: next((each for each in partitions if each.partition == partition), None)


def record(partition: int, offset: int, ts_ms: int | None = TS) -> Record:
    """An event whose id says where it is; offsets that 5 divides are no events."""
    event = json.dumps(VALID | {"prediction_id": f"{partition}-{offset}", "ts": ts_ms}).encode()
    value = event if offset % 5 else event[:-1]
    return Record(topic=TOPIC, partition=partition, offset=offset, value=value, timestamp=(1, TS + offset))


def places(batch: TopicBatch) -> list[tuple[int, int]]:
    """Partition and offset of each row."""
    partitions = [batch.owned[at].partition for at in batch.at.tolist()]
    return list(zip(partitions, batch.offsets.tolist(), strict=True))


def consistent(batch: TopicBatch) -> None:
    """Rows of the decoded batch are the records that the batch says, and all that may be a letter is held."""
    where = places(batch)
    for block in batch.decoded.blocks:
        said = [f"{partition}-{offset}" for partition, offset in (where[row] for row in block.rows.tolist())]
        assert list(block.ids) == said
    refused = {bad.row for bad in batch.decoded.rejected}
    assert refused == {row for row, (_, offset) in enumerate(where) if offset % 5 == 0}
    assert refused <= batch.held.keys()
    for row, held in batch.held.items():
        assert (held.partition(), held.offset()) == where[row]
    assert [each.partition for each in batch.owned] == sorted({partition for partition, _ in where})
    lasts = {partition: offset + 1 for partition, offset in where}
    assert batch.next_offsets() == [lasts[each.partition] for each in batch.owned]


@dataclass
class Group:
    """A worker's partitions, and a plain list of what should be in the batch."""

    owned: dict[int, OwnedPartition] = field(default_factory=dict)
    generation: int = 0
    next: dict[int, int] = field(default_factory=dict)
    expected: list[tuple[int, int]] = field(default_factory=list)

    def leave(self, partition: int) -> None:
        self.generation += 1
        self.owned.pop(partition, None)
        self.expected = [each for each in self.expected if each[0] != partition]

    def come(self, partition: int, position: int) -> None:
        self.leave(partition)
        self.owned[partition] = owned(partition, generation=self.generation, position=position)
        self.next[partition] = position


PARTITIONS = st.integers(0, 2)
STEPS = st.lists(
    st.tuples(st.just("come"), PARTITIONS, st.integers(0, 20))
    | st.tuples(st.just("leave"), PARTITIONS, st.just(0))
    | st.tuples(st.just("records"), PARTITIONS, st.integers(1, 6))
    | st.tuples(st.just("stale"), PARTITIONS, st.integers(1, 6)),
    max_size=14,
)


@ANY_ENGINE
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_only_rows_of_partitions_held_since_they_came_are_counted(
    engine: str, steps: list[tuple[str, int, int]]
) -> None:
    """Against a list from which every hand-over strikes what was gathered of the partition."""
    group, batch = Group(), OpenBatch(TOPIC, DECODERS[engine].begin())
    group.come(0, 3)
    for step, partition, number in steps:
        if step == "come":
            group.come(partition, number)
        elif step == "leave":
            group.leave(partition)
        elif partition in group.owned:
            first = group.next[partition]
            if step == "stale":  # counted already: before the position
                first = max(0, group.owned[partition].position - number)
            offsets = [first + place for place in range(number)]
            records = [record(partition, offset) for offset in offsets]
            batch.take(records, generation=group.generation, newest_ms=TS)
            position = group.owned[partition].position
            group.expected += [(partition, offset) for offset in offsets if offset >= position]
            group.next[partition] = max(group.next[partition], offsets[-1] + 1)
    found = batch.close(lambda _, partition: group.owned.get(partition))
    assert places(found) == group.expected
    consistent(found)


@ANY_ENGINE
def test_records_of_a_partition_that_is_not_ours_are_dropped(engine: str) -> None:
    """Also those that came in the very call in which it was taken away."""
    batch = OpenBatch(TOPIC, DECODERS[engine].begin())
    batch.take([record(0, 1), record(1, 1)], generation=3, newest_ms=TS)
    found = batch.close(ours(owned(1, generation=2)))
    assert places(found) == [(1, 1)]
    consistent(found)
    nothing = OpenBatch(TOPIC, DECODERS[engine].begin())
    nothing.take([record(0, 1)], generation=3, newest_ms=TS)
    assert len(nothing.close(ours())) == 0


@ANY_ENGINE
def test_an_event_from_the_future_is_held_though_the_clock_goes_back(engine: str) -> None:
    batch = OpenBatch(TOPIC, DECODERS[engine].begin())
    batch.take([record(0, 1, TS + 10)], generation=0, newest_ms=TS)
    batch.take([record(0, 2, TS + 6)], generation=0, newest_ms=TS + 5)
    batch.take([record(0, 3, TS + 4), record(0, 4, None)], generation=0, newest_ms=TS - 5)
    found = batch.close(ours(owned(0)))
    assert found.newest_ms == TS + 5
    later = np.flatnonzero(found.decoded.ts_ms > found.newest_ms).tolist()
    assert later == [0, 1]
    assert set(later) <= found.held.keys()
    assert found.first_ms(found.owned[0]) == TS + 4


@pytest.mark.skipif("native" not in ENGINES, reason="the compiled package is not installed")
def test_what_was_read_is_not_held() -> None:
    batch = OpenBatch(TOPIC, DECODERS["native"].begin())
    batch.take([record(0, offset) for offset in range(100)], generation=0, newest_ms=TS)
    found = batch.close(ours(owned(0)))
    assert sorted(found.held) == list(range(0, 100, 5))
