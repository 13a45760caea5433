"""State in this process: the contract of :mod:`stream.store` without services, for replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream.errors import Conflict, Fenced, OffsetMismatch
from stream.gaps import KEPT, Gap
from stream.keys import PaneKey
from stream.messages import Message
from stream.outcomes.join_memory import MemoryJoin
from stream.panes import Pane
from stream.store import Claim, ModelCommit, NotBrought, PartitionCommit, Sequenced, StoredModel
from stream.watermarks import PartitionClock, max_known


@dataclass
class _Partition:
    epoch: int = 0
    offset: int | None = None
    watermark_ms: int | None = None
    gaps: tuple[Gap, ...] = ()
    idle_beat: int = 0
    panes: dict[PaneKey, bytes] = field(default_factory=dict)
    open: set[PaneKey] = field(default_factory=set)
    outbox: dict[int, Message] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass
class _Model:
    revision: int = 0
    state: bytes | None = None
    memory: dict[str, bytes] = field(default_factory=dict)
    outbox: dict[int, Message] = field(default_factory=dict)


class MemoryStore:
    """Partition and model state in dictionaries; panes are kept packed, as Redis would."""

    def __init__(self) -> None:
        self.joins = MemoryJoin()
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._models: dict[str, _Model] = {}
        self._topics: dict[str, int] = {}
        self._passed_ms: dict[str, int] = {}

    def _at(self, topic: str, partition: int) -> _Partition:
        return self._partitions.setdefault((topic, partition), _Partition())

    def _of(self, model: str) -> _Model:
        return self._models.setdefault(model, _Model())

    # ---- ingest

    def declare_topic(self, topic: str, partitions: int) -> None:
        """See :class:`stream.store.PartitionStore`."""
        self._topics[topic] = partitions

    def claim(self, topic: str, partition: int) -> Claim:
        """See :class:`stream.store.PartitionStore`."""
        held = self._at(topic, partition)
        held.epoch += 1
        held.idle_beat = 0
        return Claim(held.epoch, held.offset, held.watermark_ms, held.totals["sequence"], held.gaps)

    def load_panes(self, topic: str, partition: int, keys: Sequence[PaneKey]) -> dict[PaneKey, Pane | None]:
        """See :class:`stream.store.PartitionStore`."""
        held = self._at(topic, partition)
        return {key: Pane.from_bytes(held.panes[key]) for key in keys if key in held.panes}

    def commit(self, topic: str, commits: Mapping[int, PartitionCommit]) -> dict[int, Exception | None]:
        """See :class:`stream.store.PartitionStore`."""
        return {partition: self._commit(self._at(topic, partition), c) for partition, c in commits.items()}

    def _commit(self, held: _Partition, commit: PartitionCommit) -> Exception | None:
        if held.epoch != commit.epoch:
            return Fenced(commit.epoch, held.epoch)
        if held.offset != commit.expected_offset:
            if held.offset == commit.offset:
                return None
            stored = -1 if held.offset is None else held.offset
            return OffsetMismatch(-1 if commit.expected_offset is None else commit.expected_offset, stored)
        held.panes.update({key: pane.to_bytes() for key, pane in commit.panes.items()})
        held.open.update(commit.panes)
        if commit.delivered_to is not None:
            held.outbox = {n: m for n, m in held.outbox.items() if n > commit.delivered_to}
        held.outbox.update(dict(commit.messages))
        held.offset, held.idle_beat = commit.offset, commit.idle_beat
        if commit.watermark_ms is not None:
            held.watermark_ms = commit.watermark_ms
        if commit.gaps is not None:
            held.gaps = tuple(commit.gaps[-KEPT:])
        held.totals.update(commit.totals)
        held.unknown.update(commit.unknown)
        return None

    def undelivered(self, topic: str, partition: int) -> list[Sequenced]:
        """See :class:`stream.store.PartitionStore`."""
        return sorted(self._at(topic, partition).outbox.items())

    def passed_ms(self, topic: str) -> int | None:
        """See :class:`stream.store.PartitionStore`."""
        clocks = self.clocks(topic, self._topics.get(topic, 0)).values()
        return max_known([self._passed_ms.get(topic), *(clock.watermark_ms for clock in clocks)])

    # ---- evaluate

    def partitions(self, topic: str) -> int | None:
        """See :class:`stream.store.ModelStore`."""
        return self._topics.get(topic)

    def clocks(self, topic: str, partitions: int) -> dict[int, PartitionClock]:
        """See :class:`stream.store.ModelStore`."""
        held = {p: self._at(topic, p) for p in range(partitions)}
        return {p: PartitionClock(at.watermark_ms, at.idle_beat, at.gaps) for p, at in held.items()}

    def tell_passed(self, topic: str, ms: int) -> None:
        """See :class:`stream.store.ModelStore`."""
        self._passed_ms[topic] = max(ms, self._passed_ms.get(topic, ms))

    def open_panes(self, topic: str, partitions: int) -> list[PaneKey]:
        """See :class:`stream.store.ModelStore`."""
        return sorted(set().union(*(self._at(topic, p).open for p in range(partitions))))

    def stored_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> list[list[bytes]]:
        """See :class:`stream.store.ModelStore`."""
        held = [self._at(topic, p).panes for p in range(partitions)]
        return [[panes[key] for panes in held if key in panes] for key in keys]

    def pane_heads(
        self, topic: str, partitions: int, keys: Sequence[PaneKey], size: int
    ) -> list[list[bytes]]:
        """See :class:`stream.store.ModelStore`."""
        return [[part[:size] for part in parts] for parts in self.stored_panes(topic, partitions, keys)]

    def read_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> dict[PaneKey, list[Pane]]:
        """Each pane as counted from each partition that has it."""
        stored = self.stored_panes(topic, partitions, keys)
        return {
            key: [Pane.from_bytes(data) for data in parts] for key, parts in zip(keys, stored, strict=True)
        }

    def retire_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> None:
        """See :class:`stream.store.ModelStore`."""
        for partition in range(partitions):
            held = self._at(topic, partition)
            for key in keys:
                held.panes.pop(key, None)
                held.open.discard(key)

    def load_models(self, models: Sequence[str]) -> dict[str, StoredModel]:
        """See :class:`stream.store.ModelStore`."""
        return {
            model: StoredModel(
                revision=held.revision,
                state=held.state,
                memory=dict(held.memory),
                outbox=sorted(held.outbox.items()),
            )
            for model in models
            for held in (self._of(model),)
        }

    def bring(self, commits: Sequence[ModelCommit]) -> list[ModelCommit]:
        """See :class:`stream.store.ModelStore`: there is no way to save."""
        return list(commits)

    def decide_all(self, commits: Sequence[ModelCommit]) -> list[int | Conflict | NotBrought]:
        """See :class:`stream.store.ModelStore`."""
        return [self._decided(commit) for commit in commits]

    def _decided(self, commit: ModelCommit) -> int | Conflict:
        held = self._of(commit.model)
        if held.revision != commit.revision:
            return Conflict(
                f"model {commit.model}: revision {commit.revision} expected, the store holds {held.revision}"
            )
        if commit.outcomes is not None and not self.joins.commit(commit.model, commit.outcomes):
            return Conflict(f"model {commit.model}: its journal was trimmed by another evaluator")
        held.revision += 1
        held.state = held.state if commit.state is None else commit.state
        changed = {**held.memory, **commit.memory}
        held.memory = {name: data for name, data in changed.items() if data is not None}
        held.outbox.update(dict(commit.messages))
        return held.revision

    def trim_outboxes(self, delivered_to: Mapping[str, int]) -> None:
        """See :class:`stream.store.ModelStore`."""
        for model, last in delivered_to.items():
            held = self._of(model)
            held.outbox = {n: m for n, m in held.outbox.items() if n > last}
