"""The seam between the pipeline and its state: what is read, what commits atomically, what can refuse.

Two implementations keep the same contract (one test runs on both): :class:`stream.store_redis.RedisStore`
in production, :class:`stream.store_memory.MemoryStore` for replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from stream.keys import PaneKey
from stream.messages import Message
from stream.outcomes.join import JoinStore, OutcomeCommit
from stream.panes import Pane
from stream.watermarks import PartitionClock

Sequenced = tuple[int, Message]
NO_MEMORY: Mapping[str, bytes | None] = MappingProxyType({})


@dataclass(frozen=True)
class Claim:
    """What a new owner of a partition starts from; ``offset`` None = never committed."""

    epoch: int
    offset: int | None
    watermark_ms: int | None
    sequence: int


@dataclass(frozen=True, kw_only=True)
class PartitionCommit:
    """One atomic commit of a partition: counts with the offsets they cover, never one without the other."""

    epoch: int
    expected_offset: int | None
    offset: int
    watermark_ms: int | None
    idle_beat: int = 0
    panes: Mapping[PaneKey, Pane] = field(default_factory=dict)
    messages: Sequence[Sequenced] = ()
    delivered_to: int | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)


class PartitionStore(Protocol):
    """What ingest needs."""

    @property
    def joins(self) -> JoinStore:
        """State of the label join."""

    def declare_topic(self, topic: str, partitions: int) -> None:
        """Tell the evaluators how many partitions hold the watermark back."""

    def claim(self, topic: str, partition: int) -> Claim:
        """Take a partition over; fences the owner before."""

    def load_panes(self, topic: str, partition: int, keys: Sequence[PaneKey]) -> dict[PaneKey, Pane]:
        """Committed panes among ``keys``; those that do not exist are left out."""

    def commit(self, topic: str, commits: Mapping[int, PartitionCommit]) -> dict[int, Exception | None]:
        """Commit partitions, each on its own: None, or the Fenced or OffsetMismatch that refused it."""

    def undelivered(self, topic: str, partition: int) -> list[Sequenced]:
        """Messages of the partition's outbox, in order."""


class ModelStore(Protocol):
    """What evaluate needs."""

    @property
    def joins(self) -> JoinStore:
        """State of the label join."""

    def partitions(self, topic: str) -> int | None:
        """Number of partitions of an input topic, None while no ingest has declared it."""

    def clocks(self, topic: str, partitions: int) -> dict[int, PartitionClock]:
        """Clocks of all partitions; one that was never owned has no watermark and is not idle."""

    def open_panes(self, topic: str, partitions: int) -> list[PaneKey]:
        """Every pane not retired yet."""

    def read_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> dict[PaneKey, list[Pane]]:
        """Each pane as counted from each partition that has it."""

    def retire_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> None:
        """Take panes off the index and let them expire."""

    def load_model(self, model: str) -> tuple[int, bytes | None]:
        """Revision and packed state; (0, None) for a model never evaluated."""

    def load_memory(self, model: str) -> dict[str, bytes]:
        """What the model's evaluation remembers beside its state, by name."""

    def decide(
        self,
        model: str,
        revision: int,
        state: bytes,
        messages: Iterable[Sequenced],
        memory: Mapping[str, bytes | None] = NO_MEMORY,
        *,
        outcomes: OutcomeCommit | None = None,
    ) -> int:
        """Compare-and-set the model's state and append its messages; the new revision.

        ``memory`` holds the entries that changed; None = forgotten. ``outcomes`` is what has been folded
        from the journal of the label join; the journal is trimmed with it.

        Raises
        ------
        Conflict
            The stored revision is not ``revision``, or the journal has been trimmed since it was read.
        """

    def outbox(self, model: str) -> list[Sequenced]:
        """Messages not yet delivered, in order."""

    def trim_outbox(self, model: str, delivered_to: int) -> None:
        """Remove the messages up to and including sequence number ``delivered_to``."""
