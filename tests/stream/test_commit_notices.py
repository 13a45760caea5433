"""Which panes a commit announces: new ones, and those whose windows may be closed already."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from detectors import Counts
from stream.commit import Committer
from stream.counting import Delta
from stream.keys import PaneKey
from stream.messages import read_notices
from stream.metrics import Metrics
from stream.ownership import Start, take_over
from stream.panes import Pane
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from stream.windows import WindowSpec

WINDOWS = WindowSpec(size_ms=60_000, slide_ms=60_000, grace_ms=5_000)
KEY = PaneKey("m", "v1", 60_000, "f")
CLOSE_MS = WINDOWS.closes_at(120_000)
NEWEST_MS = 400_000


class OnePartition:
    """A partition that counts rows of one pane."""

    def __init__(self) -> None:
        self.store, self.sink = MemoryStore(), ListSink()
        self.store.declare_topic("t", 1)
        self.committer = Committer(
            store=self.store,
            sink=self.sink,
            metrics=Metrics(registry=CollectorRegistry(), models=("m",), topics=("t",)),
            windows={"m": WINDOWS},
            panes_topic="panes",
            panes_partitions=1,
        )
        claim = self.store.claim("t", 0)
        self.owned = take_over(claim, Start(0, 0), topic="t", partition=0, sink=self.sink)

    def counts(self, ts_ms: int) -> list[PaneKey]:
        """Count a row and commit; the panes that were announced."""
        delta = Delta(panes={KEY: Pane(Counts([[1, 0]]), ts_ms, ts_ms)}, touched={KEY}, max_ts_ms=ts_ms)
        self.owned.saw_records(0, newest_ms=NEWEST_MS)
        self.committer.take(self.owned, delta, out_of_orderness_ms=0)
        self.owned.position += 1
        return self.commits()

    def commits(self) -> list[PaneKey]:
        assert self.committer.commit([self.owned]) == []
        notices = [each for message in self.sink.take() for each in read_notices(message.value or b"")]
        return [key for notice in notices for key in notice.pane_keys()]

    def is_quiet(self, beats: int) -> None:
        for _ in range(beats):
            self.owned.idle_beat += 1
            self.commits()


def test_a_pane_whose_windows_are_open_is_announced_once() -> None:
    partition = OnePartition()
    assert [partition.counts(ts_ms) for ts_ms in (70_000, 71_000, 72_000)] == [[KEY], [], []]
    assert partition.counts(CLOSE_MS) == [KEY]


def test_after_quiet_that_closed_its_windows_it_is_announced_with_every_commit() -> None:
    partition = OnePartition()
    partition.counts(70_000)
    partition.is_quiet(3)
    partition.store.tell_passed("t", CLOSE_MS)
    assert [partition.counts(ts_ms) for ts_ms in (71_000, 72_000)] == [[KEY], [KEY]]


def test_after_quiet_that_closed_nothing_it_is_announced_once_more() -> None:
    partition = OnePartition()
    partition.counts(70_000)
    partition.is_quiet(3)
    assert [partition.counts(ts_ms) for ts_ms in (71_000, 72_000)] == [[KEY], []]
