"""A partition this worker owns, and the two ways it changes hands.

Claiming one, in order:

1. INCR the epoch in Redis: whoever owned it before is fenced from now on.
2. Read offset and watermark beside it.
3. Compare the offset with what Kafka still holds: a gap is data lost to retention and is told; an offset
   past the end means that the topic was recreated and stops the worker.
4. Consume from that offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream.errors import StateError
from stream.gaps import Gap, ended
from stream.keys import PaneKey
from stream.messages import Message
from stream.panes import Pane, PartitionIntake
from stream.sinks import OutboxDrain, Sink
from stream.store import Claim, PartitionCommit
from stream.windows import WindowSpec


@dataclass
class OwnedPartition:
    """State of one claimed partition between two commits.

    ``position`` is the offset after the last record counted, ``committed`` the one Redis holds (None = none
    yet), ``generation`` the hand-over that made it ours. ``passed_ms`` is how far the global watermark may
    have gone before our records held it back again (None = nothing counted yet), ``is_passed_known`` whether
    the store has told it: until then it is as late as an event can be. ``gaps`` are records that retention
    took before anybody counted them, and, of no record, spans whose stored counts were damaged.
    """

    topic: str
    partition: int
    epoch: int
    position: int
    committed: int | None
    sequence: int
    drain: OutboxDrain
    intake: PartitionIntake = field(default_factory=PartitionIntake)
    messages: list[Message] = field(default_factory=list)
    idle_beat: int = 0
    end: int | None = None
    quiet_since_ms: int = 0
    generation: int = 0
    passed_ms: int | None = None
    is_passed_known: bool = False
    gaps: list[Gap] = field(default_factory=list)
    gaps_changed: bool = False

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the end that Kafka last told of (``end``) is counted.

        The end lies past the position where the last records are markers of transactions.
        """
        return self.end is not None and self.position <= self.end

    @property
    def changed(self) -> bool:
        """Whether a commit has anything to say."""
        return self.committed != self.position or bool(
            self.messages or self.intake.totals or self.gaps_changed
        )

    def saw_records(self, monotonic_ms: int, *, newest_ms: int) -> None:
        """Records arrived: the partition is active. No event in the stream is later than ``newest_ms``.

        The first ones after an idle spell, of ours or of the owner before, may lie in windows that closed
        without this partition.
        """
        if self.passed_ms is None or self.idle_beat > 0:
            self.passed_ms, self.is_passed_known = newest_ms, False
        self.idle_beat = 0
        self.quiet_since_ms = monotonic_ms

    @property
    def wants_passed(self) -> bool:
        """Whether to ask how far the global watermark has gone: a commit holds it back from now on."""
        return self.passed_ms is not None and not self.is_passed_known and self.idle_beat == 0

    def knows_passed(self, passed_ms: int | None) -> None:
        """Take what the store has told since our last commit: no more is closed. None = it knows nothing."""
        if passed_ms is not None:
            self.passed_ms, self.is_passed_known = passed_ms, True

    @property
    def after_gap(self) -> bool:
        """Whether the next event is the first one after a gap: :meth:`end_gap` waits for its time."""
        return bool(self.gaps) and self.gaps[-1].to_ms is None

    def end_gap(self, to_ms: int) -> None:
        """No record of the gap is later than this."""
        self.gaps = ended(self.gaps, to_ms)
        self.gaps_changed = True

    def restore(
        self,
        keys: Sequence[PaneKey],
        stored: Mapping[PaneKey, Pane | None],
        windows: Mapping[str, WindowSpec],
    ) -> None:
        """Merge what is ``stored`` of panes counted into again; of a damaged one (None) the rest is missing.

        The commit writes over it, so the time that it covers is told as a gap: its windows are marked.
        """
        self.intake.restore(keys, {key: pane for key, pane in stored.items() if pane is not None})
        damaged = [key for key, pane in stored.items() if pane is None]
        if not damaged:
            return
        from_ms = min(key.start_ms for key in damaged)
        to_ms = max(key.start_ms + windows[key.model].slide_ms for key in damaged) - 1
        newest = len(self.gaps) - self.after_gap  # one that waits for its end stays the last
        self.gaps.insert(newest, Gap(self.position, 0, from_ms, to_ms))
        self.gaps_changed = True

    def to_commit(self, notices: Sequence[Message]) -> PartitionCommit:
        """The commit of everything counted so far, with its messages numbered for the outbox."""
        messages = [*self.messages, *notices]
        first = self.sequence + 1
        numbered = [(first + i, message) for i, message in enumerate(messages)]
        totals = dict(self.intake.totals)
        if messages:
            totals["sequence"] = len(messages)
        return PartitionCommit(
            epoch=self.epoch,
            expected_offset=self.committed,
            offset=self.position,
            watermark_ms=self.intake.watermark_ms,
            idle_beat=self.idle_beat,
            panes=self.intake.changed(),
            messages=numbered,
            delivered_to=self.drain.delivered_to,
            gaps=list(self.gaps) if self.gaps_changed else None,
            totals=totals,
            unknown=dict(self.intake.unknown),
        )

    def landed(self, commit: PartitionCommit) -> None:
        """The commit is in Redis."""
        self.committed = commit.offset
        self.sequence += len(commit.messages)
        self.messages.clear()
        self.gaps_changed = False
        self.intake.committed(from_ms=commit.watermark_ms)
        self.drain.send(commit.messages)


@dataclass(frozen=True)
class Start:
    """Where to read from, and how many records between the cursor and there no longer exist."""

    offset: int
    lost: int


def start_offset(claim: Claim, low: int, high: int, *, where: str) -> Start:
    """Step 3 of claiming: the offset to consume from, given what Kafka still holds (``[low, high)``).

    Raises
    ------
    StateError
        The cursor lies past the end: the topic was deleted and recreated.
    """
    if claim.offset is None:
        return Start(low, 0)
    if claim.offset > high:
        raise StateError(
            f"{where}: Redis holds offset {claim.offset} but the topic ends at {high}: it was recreated; "
            "delete its cursor keys, or choose another redis.prefix, to count it from its start"
        )
    if claim.offset < low:
        return Start(low, low - claim.offset)
    return Start(claim.offset, 0)


def take_over(claim: Claim, start: Start, *, topic: str, partition: int, sink: Sink) -> OwnedPartition:
    """The partition as claimed; records lost to retention are already in its totals."""
    owned = OwnedPartition(
        topic, partition, claim.epoch, start.offset, claim.offset, claim.sequence, OutboxDrain(sink)
    )
    owned.intake.watermark_ms = claim.watermark_ms
    owned.gaps = list(claim.gaps)
    if start.lost:
        owned.intake.totals["lost"] += start.lost
        owned.gaps.append(Gap(start.offset - start.lost, start.lost, claim.watermark_ms))
        owned.gaps_changed = True
    return owned
