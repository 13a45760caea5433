"""Panes as the evaluator sees them: every pane merged over the partitions it was counted from."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from detectors import Binning, Counts
from stream.errors import CorruptState
from stream.gaps import Gap
from stream.keys import PaneKey
from stream.panes import Pane
from stream.quarantine import quarantined
from stream.series import ClosedWindow, ModelPlan, SeriesKey
from stream.store import ModelStore
from stream.watermarks import PartitionClock

KEPT_BYTES = 64 * 2**20
"""Merged panes that are kept, so that each is read once however many windows overlap it."""
_HEAD = 64
"""Bytes of a packed pane that hold its checksum and its number of rows: no two states of it share them."""
Place = tuple[str, PaneKey]
"""A pane of a source."""


def pane_key(plan: ModelPlan, key: SeriesKey, start_ms: int) -> PaneKey:
    """Key of a pane that was counted against the configured reference."""
    return PaneKey(plan.model, key.version, start_ms, plan.references[key].fingerprint)


@dataclass
class PaneRequest:
    """Panes of one series to read, and their counts by start once they are; those nobody counted are empty.

    ``heads`` tells by start which state of the stored pane was read, for those not kept. ``gaps`` are
    those of the source's partitions, ``damaged`` the panes of which a part could not be read.
    """

    plan: ModelPlan
    key: SeriesKey
    starts_ms: Sequence[int]
    counts: dict[int, Counts] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    damaged: set[int] = field(default_factory=set)

    def window(self, end_ms: int, *, data_ms: int | None) -> ClosedWindow:
        """A window of these panes; ``data_ms`` is the watermark that events alone carried."""
        windows = self.plan.windows
        members = [self.counts[start] for start in windows.panes_of_window(end_ms)]
        whole = members[0] if len(members) == 1 else members[0].copy()
        for counts in members[1:]:
            whole.merge(counts)
        idle = data_ms is None or windows.closes_at(end_ms) > data_ms
        panes = windows.panes_of_window(end_ms)
        return ClosedWindow(
            end_ms=end_ms,
            newest=members[-1],
            whole=whole,
            closed_by="idle" if idle else "watermark",
            incomplete=not self.damaged.isdisjoint(panes)
            or any(gap.touches(panes.start, end_ms) for gap in self.gaps),
        )


class PaneReader:
    """Reads panes and clocks of the input topics.

    A pane is kept once it was read, until :meth:`changed` tells that it was counted into again: ingest
    announces every change of a pane whose windows may be closed already, so what is kept is at most a notice
    behind, and the notice states its windows again.

    Parameters
    ----------
    topics
        Input topics by source.
    """

    def __init__(self, store: ModelStore, topics: Mapping[str, str]) -> None:
        self._store = store
        self._topics = topics
        self._partitions: dict[str, int] = {}
        self._gaps: dict[str, list[Gap]] = {}
        self._kept: OrderedDict[Place, Counts] = OrderedDict()
        self._kept_bytes = 0

    def _declared(self, source: str) -> int:
        """Number of partitions as ingest last declared it; what is read with it goes by the same number."""
        self._partitions[source] = self._store.partitions(self._topics[source]) or 0
        return self._partitions[source]

    def clocks(self, source: str) -> dict[int, PartitionClock]:
        """Clocks of all partitions of the source's topic; empty while no ingest has declared it."""
        clocks = self._store.clocks(self._topics[source], self._declared(source))
        self._gaps[source] = [gap for clock in clocks.values() for gap in clock.gaps]
        return clocks

    def open(self, source: str) -> list[PaneKey]:
        """Every pane that is not retired."""
        return self._store.open_panes(self._topics[source], self._declared(source))

    def read(self, requests: Iterable[PaneRequest], closed_ms: Mapping[str, int | None]) -> None:
        """Fill ``requests``, with one round trip a source.

        Kept is what belongs to windows closed by the watermark of its source, ``closed_ms``.
        """
        wanted: dict[str, list[tuple[PaneRequest, PaneKey]]] = defaultdict(list)
        for request in requests:
            request.gaps = self._gaps.get(request.key.source, ())
            for start in request.starts_ms:
                key = pane_key(request.plan, request.key, start)
                kept = self._kept.get((request.key.source, key))
                if kept is None:
                    wanted[request.key.source].append((request, key))
                else:
                    request.counts[start] = kept
        for source, missing in wanted.items():
            stored = self._stored(source, [key for _, key in missing])
            for (request, key), parts in zip(missing, stored, strict=True):
                counts, damaged = _merged(
                    parts, request.plan.references[request.key].binning, of=request.plan.model
                )
                request.counts[key.start_ms] = counts
                request.heads[key.start_ms] = _head(parts)
                if damaged:
                    request.damaged.add(key.start_ms)
                elif request.plan.windows.pane_closes_at(key.start_ms) <= (closed_ms.get(source) or 0):
                    self._keep(request, key, counts)

    def unchanged(self, read: Sequence[Sequence[PaneRequest]]) -> list[bool]:
        """For each of ``read``, whether all panes that its requests read are stored as they were then.

        They are not if records of their source have been lost since.
        """
        by_source: dict[str, list[PaneKey]] = defaultdict(list)
        for request in (request for requests in read for request in requests):
            keys = by_source[request.key.source]
            keys += [pane_key(request.plan, request.key, start) for start in request.heads]
        heads = {source: map(_head, self._heads(source, keys)) for source, keys in by_source.items()}

        def is_same(request: PaneRequest) -> bool:
            now = [next(heads[request.key.source]) for _ in request.heads]
            no_gap = request.gaps == self._gaps.get(request.key.source, ())
            return no_gap and now == list(request.heads.values())

        return [min([is_same(request) for request in requests], default=True) for requests in read]

    def _stored(self, source: str, keys: Sequence[PaneKey]) -> list[list[bytes]]:
        return self._store.stored_panes(self._topics[source], self._partitions[source], keys)

    def _heads(self, source: str, keys: Sequence[PaneKey]) -> list[list[bytes]]:
        return self._store.pane_heads(self._topics[source], self._partitions[source], keys, _HEAD)

    def changed(self, source: str, pane: PaneKey) -> None:
        """Read this pane again when it is asked for."""
        counts = self._kept.pop((source, pane), None)
        if counts is not None:
            self._kept_bytes -= _size(counts)

    def drop(self, requests: Iterable[PaneRequest]) -> None:
        """Read again what these have read."""
        for request in requests:
            for start in request.heads:
                self.changed(request.key.source, pane_key(request.plan, request.key, start))

    def forget(self) -> None:
        """Read every pane again."""
        self._kept.clear()
        self._kept_bytes = 0

    def confirm(self, requests: Iterable[PaneRequest]) -> None:
        """Keep what was read before its windows closed: they have, and it is :meth:`unchanged`."""
        for request in requests:
            for start in request.heads:
                key = pane_key(request.plan, request.key, start)
                if (request.key.source, key) not in self._kept and start not in request.damaged:
                    self._keep(request, key, request.counts[start])

    def _keep(self, request: PaneRequest, key: PaneKey, counts: Counts) -> None:
        if not counts.n or request.plan.windows.size_ms == request.plan.windows.slide_ms:
            return  # no other window asks for it
        place = (request.key.source, key)
        counts.cells.setflags(write=False)  # all windows share it
        self._kept[place] = counts
        self._kept_bytes += _size(counts)
        while self._kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= _size(oldest)

    def retire(self, panes: Mapping[str, Sequence[PaneKey]]) -> None:
        """Let panes, by source, expire whose windows can no longer be restated."""
        for source, keys in panes.items():
            self._store.retire_panes(self._topics[source], self._partitions[source], keys)
            for key in keys:
                self.changed(source, key)


def _head(parts: Iterable[bytes]) -> bytes:
    return b"".join([part[:_HEAD] for part in parts])


def _size(counts: Counts) -> int:
    return int(counts.cells.nbytes + (0 if counts.moments is None else counts.moments.nbytes))


def _merged(parts: Iterable[bytes], binning: Binning, *, of: str) -> tuple[Counts, int]:
    """The counts of one pane, and how many of its parts are damaged: those are left out."""
    merged, damaged = Counts.empty(binning), 0
    for data in parts:
        try:
            merged.merge(Pane.from_bytes(data).counts)
        except CorruptState as exc:
            damaged += 1
            quarantined("pane", "its window lacks it", exc, of=of)
    return merged, damaged
