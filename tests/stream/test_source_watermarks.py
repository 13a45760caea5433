"""What closes windows by the wall clock is told to the store before it does."""

from __future__ import annotations

from dataclasses import dataclass

from stream.pane_reader import PaneReader
from stream.source_watermarks import TOLD_AHEAD_MS, SourceWatermarks
from stream.store import PartitionCommit
from stream.store_memory import MemoryStore

TOPICS = {"inference": "t"}
NOW_MS = 90_000


@dataclass
class Hands:
    """A clock that is moved by hand."""

    ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


class Partition:
    """The only partition of the topic."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        store.declare_topic("t", 1)
        self.epoch = store.claim("t", 0).epoch
        self.offset: int | None = None

    def commit(self, watermark_ms: int, idle_beat: int = 0) -> None:
        offset = (self.offset or 0) + 1
        commit = PartitionCommit(
            epoch=self.epoch,
            expected_offset=self.offset,
            offset=offset,
            watermark_ms=watermark_ms,
            idle_beat=idle_beat,
            panes={},
        )
        assert self.store.commit("t", {0: commit}) == {0: None}
        self.offset = offset


class Waking(MemoryStore):
    """The partition is active again just before the store is told."""

    def tell_passed(self, topic: str, ms: int) -> None:
        self.partition.commit(1_000)
        super().tell_passed(topic, ms)

    partition: Partition


def watch(store: MemoryStore) -> tuple[SourceWatermarks, Partition]:
    partition = Partition(store)
    return SourceWatermarks(store, PaneReader(store, TOPICS), TOPICS, clock=Hands()), partition


def test_a_watermark_that_events_carry_need_not_be_told() -> None:
    store = MemoryStore()
    clocks, partition = watch(store)
    partition.commit(1_000)
    assert clocks.look()
    assert clocks.seen["inference"].ms == 1_000
    assert store.passed_ms("t") == 1_000


def test_what_quiet_closes_is_told_first() -> None:
    store = MemoryStore()
    clocks, partition = watch(store)
    for beat in (1, 2, 3):
        partition.commit(1_000, idle_beat=beat)
        assert clocks.look()
    assert clocks.seen["inference"].is_by_quiet
    assert clocks.seen["inference"].ms == NOW_MS
    assert store.passed_ms("t") == NOW_MS + TOLD_AHEAD_MS


def test_a_partition_that_woke_before_it_was_told_closes_nothing_by_quiet() -> None:
    store = Waking()
    clocks, partition = watch(store)
    store.partition = partition
    for beat in (1, 2, 3):
        partition.commit(1_000, idle_beat=beat)
        assert clocks.look()
    assert not clocks.seen["inference"].is_by_quiet
    assert clocks.seen["inference"].ms == 1_000


def test_a_store_that_lost_commits_is_noticed() -> None:
    clocks, partition = watch(MemoryStore())
    partition.commit(1_000)
    assert clocks.look()
    partition.commit(999)
    assert not clocks.look()
    clocks.forget()
    assert clocks.look()
