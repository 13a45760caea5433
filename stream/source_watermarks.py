"""The global watermarks of all sources, as the evaluator looks at them.

Ingest announces again a pane whose windows may be closed already. By which watermark they are, at most, it
reads from the store, but for windows that close by the wall clock since every partition is idle. Of those the
store is told first, then the clocks are read again: a partition that was active again by then is seen, and
one that becomes active later reads what was told.
"""

from __future__ import annotations

from collections.abc import Mapping

from stream.clock import Clock
from stream.pane_reader import PaneReader
from stream.store import ModelStore
from stream.watermarks import GlobalWatermark, PartitionClock, WatermarkTracker

TOLD_AHEAD_MS = 60_000
"""How much more is told than is closed by then, so that it is told seldom."""


class SourceWatermarks:
    """Reads the clocks of every source and tracks their global watermarks.

    Parameters
    ----------
    topics
        Input topics by source.
    """

    def __init__(
        self, store: ModelStore, panes: PaneReader, topics: Mapping[str, str], *, clock: Clock
    ) -> None:
        self._store = store
        self._panes = panes
        self._topics = topics
        self._clock = clock
        self.moved_ms = 0
        self.forget()

    def forget(self) -> None:
        """Start anew: the store has lost commits, or does not answer."""
        self.seen: Mapping[str, GlobalWatermark] = {}
        self._told_ms: dict[str, int] = {}
        self._trackers = {source: WatermarkTracker() for source in self._topics}

    def look(self) -> bool:
        """Take in the clocks; False when the store has lost commits: what was read of it is no longer true.

        ``seen`` are the watermarks then, ``moved_ms`` when the last of them moved, by the monotonic clock.
        """
        clocks = {source: self._panes.clocks(source) for source in self._topics}
        if any(self._trackers[source].went_back(clocks[source]) for source in clocks):
            return False
        monotonic_ms = self._clock.monotonic_ms()
        seen = {source: self._observe(source, each, monotonic_ms) for source, each in clocks.items()}
        for source in [source for source, each in seen.items() if self._is_untold(source, each)]:
            told_ms = (seen[source].ms or 0) + TOLD_AHEAD_MS
            self._store.tell_passed(self._topics[source], told_ms)
            self._told_ms[source] = told_ms
            seen[source] = self._observe(source, self._panes.clocks(source), monotonic_ms)
        if seen != self.seen:
            self.seen, self.moved_ms = seen, monotonic_ms
        return True

    def _observe(
        self, source: str, clocks: Mapping[int, PartitionClock], monotonic_ms: int
    ) -> GlobalWatermark:
        now_ms = self._clock.now_ms()
        return self._trackers[source].observe(clocks, monotonic_ms=monotonic_ms, now_ms=now_ms)

    def _is_untold(self, source: str, watermark: GlobalWatermark) -> bool:
        return watermark.is_by_quiet and (watermark.ms or 0) > self._told_ms.get(source, 0)
