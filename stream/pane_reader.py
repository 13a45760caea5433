"""Panes as the evaluator sees them: every pane merged over the partitions it was counted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detectors import Counts
from stream.keys import PaneKey
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.store import ModelStore
from stream.watermarks import PartitionClock


def pane_key(plan: ModelPlan, key: SeriesKey, start_ms: int) -> PaneKey:
    """Key of a pane that was counted against the configured reference."""
    return PaneKey(plan.model, key.version, start_ms, plan.references[key].fingerprint)


class PaneReader:
    """Reads panes and clocks of the input topics.

    Parameters
    ----------
    topics
        Input topics by source.
    """

    def __init__(self, store: ModelStore, topics: Mapping[str, str]) -> None:
        self._store = store
        self._topics = topics
        self._partitions: dict[str, int] = {}

    def _declared(self, source: str) -> int:
        """Number of partitions as ingest last declared it; what is read with it goes by the same number."""
        self._partitions[source] = self._store.partitions(self._topics[source]) or 0
        return self._partitions[source]

    def clocks(self, source: str) -> dict[int, PartitionClock]:
        """Clocks of all partitions of the source's topic; empty while no ingest has declared it."""
        return self._store.clocks(self._topics[source], self._declared(source))

    def open(self, source: str) -> list[PaneKey]:
        """Every pane that is not retired."""
        return self._store.open_panes(self._topics[source], self._declared(source))

    def merged(self, plan: ModelPlan, key: SeriesKey, starts_ms: Sequence[int]) -> dict[int, Counts]:
        """Counts of panes by start; those nobody counted are empty."""
        if not starts_ms:
            return {}
        binning = plan.references[key].binning
        keys = [pane_key(plan, key, start) for start in starts_ms]
        read = self._store.read_panes(self._topics[key.source], self._partitions[key.source], keys)
        merged: dict[int, Counts] = {}
        for each in keys:
            merged[each.start_ms] = Counts.empty(binning)
            for pane in read[each]:
                merged[each.start_ms].merge(pane.counts)
        return merged

    def windows(
        self, plan: ModelPlan, key: SeriesKey, ends_ms: Sequence[int], *, data_ms: int | None
    ) -> list[ClosedWindow]:
        """Windows by their ends; ``data_ms`` is the watermark that events alone carried."""
        starts = {start for end in ends_ms for start in plan.windows.panes_of_window(end)}
        panes = self.merged(plan, key, sorted(starts))
        windows = []
        for end_ms in ends_ms:
            members = [panes[start] for start in plan.windows.panes_of_window(end_ms)]
            whole = Counts.empty(plan.references[key].binning)
            for counts in members:
                whole.merge(counts)
            idle = data_ms is None or plan.windows.closes_at(end_ms) > data_ms
            windows.append(
                ClosedWindow(
                    end_ms=end_ms,
                    newest=members[-1],
                    whole=whole,
                    closed_by="idle" if idle else "watermark",
                )
            )
        return windows

    def retire(self, plan: ModelPlan, key: SeriesKey, starts_ms: Sequence[int]) -> None:
        """Let panes expire whose windows can no longer be restated."""
        keys = [pane_key(plan, key, start) for start in starts_ms]
        self._store.retire_panes(self._topics[key.source], self._partitions[key.source], keys)
