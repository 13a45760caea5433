"""The seam between the pipeline and its state: what is read, what commits atomically, what can refuse.

Two implementations keep the same contract (one test runs on both): :class:`stream.store_redis.RedisStore`
in production, :class:`stream.store_memory.MemoryStore` for replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from stream.errors import Conflict
from stream.gaps import Gap
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
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartitionCommit:
    """One atomic commit of a partition: counts with the offsets they cover, never one without the other.

    ``gaps`` are all that are known, None = as they were.
    """

    epoch: int
    expected_offset: int | None
    offset: int
    watermark_ms: int | None
    idle_beat: int = 0
    panes: Mapping[PaneKey, Pane] = field(default_factory=dict)
    messages: Sequence[Sequenced] = ()
    delivered_to: int | None = None
    gaps: Sequence[Gap] | None = None
    totals: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What is stored of a model: revision (0 = never evaluated), state, memory, messages to deliver.

    ``incarnation`` is made up when a model is first read, and another one when the store has been emptied or
    is another server; empty where that cannot happen.
    """

    revision: int = 0
    incarnation: bytes = b""
    state: bytes | None = None
    memory: Mapping[str, bytes] = field(default_factory=dict)
    outbox: Sequence[Sequenced] = ()


@dataclass(frozen=True, kw_only=True)
class ModelCommit:
    """One atomic commit of a model, on the ``revision`` and ``incarnation`` that it was computed from.

    ``state`` None leaves it as it is stored, unless it was :meth:`ModelStore.bring` before: then it is what
    was brought under the name ``brought``. ``memory`` holds the entries that changed; None = forgotten.
    ``outcomes`` is what has been folded from the journal of the label join; the journal is trimmed with it.
    """

    model: str
    revision: int
    state: bytes | None
    incarnation: bytes = b""
    brought: bytes = b""
    messages: Sequence[Sequenced] = ()
    memory: Mapping[str, bytes | None] = field(default_factory=dict)
    outcomes: OutcomeCommit | None = None


class NotBrought(Exception):
    """The state that a commit relies on is not there any more: make the commit with its state."""


def landed(outcome: int | Conflict | NotBrought) -> int:
    """The new revision of a commit; raises what refused it."""
    if not isinstance(outcome, int):
        raise outcome
    return outcome


class PartitionStore(Protocol):
    """What ingest needs."""

    @property
    def joins(self) -> JoinStore:
        """State of the label join."""

    def declare_topic(self, topic: str, partitions: int) -> None:
        """Tell the evaluators how many partitions hold the watermark back."""

    def claim(self, topic: str, partition: int) -> Claim:
        """Take a partition over; fences the owner before."""

    def load_panes(self, topic: str, partition: int, keys: Sequence[PaneKey]) -> dict[PaneKey, Pane | None]:
        """Committed panes among ``keys``; those that do not exist are left out, None = damaged."""

    def commit(self, topic: str, commits: Mapping[int, PartitionCommit]) -> dict[int, Exception | None]:
        """Commit partitions, each on its own: None, or the Fenced or OffsetMismatch that refused it."""

    def undelivered(self, topic: str, partition: int) -> list[Sequenced]:
        """Messages of the partition's outbox, in order."""

    def passed_ms(self, topic: str) -> int | None:
        """By which watermark windows of the topic may be closed at most; None = nothing is known.

        A partition whose last commit said that it is active holds every later watermark back.
        """


class ModelStore(Protocol):
    """What evaluate needs."""

    @property
    def joins(self) -> JoinStore:
        """State of the label join."""

    def partitions(self, topic: str) -> int | None:
        """Number of partitions of an input topic, None while no ingest has declared it."""

    def clocks(self, topic: str, partitions: int) -> dict[int, PartitionClock]:
        """Clocks of all partitions; one that was never owned has no watermark and is not idle."""

    def tell_passed(self, topic: str, ms: int) -> None:
        """Tell ingest that windows up to ``ms`` may be closed, though no event has carried a watermark."""

    def open_panes(self, topic: str, partitions: int) -> list[PaneKey]:
        """Every pane not retired yet."""

    def stored_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> list[list[bytes]]:
        """Of each key the packed panes, one from each partition that has counted it."""

    def pane_heads(
        self, topic: str, partitions: int, keys: Sequence[PaneKey], size: int
    ) -> list[list[bytes]]:
        """:meth:`stored_panes`, but only the first ``size`` bytes of each."""

    def retire_panes(self, topic: str, partitions: int, keys: Sequence[PaneKey]) -> None:
        """Take panes off the index and let them expire."""

    def load_models(self, models: Sequence[str]) -> dict[str, StoredModel]:
        """What is stored of each of ``models``; one without an incarnation is given one."""

    def bring(self, commits: Sequence[ModelCommit]) -> list[ModelCommit]:
        """Put the states of commits that are made later beside those that are stored, for an hour.

        Returns the commits to make then, without what was brought. Nothing is decided by it: of two who
        bring a state of one model, one has to bring it again.
        """

    def decide_all(self, commits: Sequence[ModelCommit]) -> list[int | Conflict | NotBrought]:
        """Compare-and-set the states of models, each on its own; its new revision, or why it was refused.

        Refused is what was computed from another revision than the stored one, from a journal that has
        been trimmed since, or before the store was emptied or became another server.
        """

    def trim_outboxes(self, delivered_to: Mapping[str, int]) -> None:
        """Remove messages by model, up to and including a sequence number."""
