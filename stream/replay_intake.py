"""The ingest half of a replay: records of one topic to commits, cut where the watermark closes windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stream.codec import Decoder, Limits
from stream.codec.times import MAX_MS
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.incidents import IncidentPolicy
from stream.ownership import OwnedPartition
from stream.privacy import NO_RULES, FieldPrivacy
from stream.row_events import Record
from stream.settings.label_sections import LabelSettings
from stream.windows import WindowSpec


@dataclass(frozen=True, kw_only=True)
class ReplaySpec:
    """How a model is watched; the meaning of each is that of the configuration file. Times in ms.

    ``batch`` bounds the records decoded at a time and changes no answer. ``labels``, ``segments`` and
    ``variants`` are used where inference events and labels both come, and the reference knows performance.
    """

    windows: WindowSpec
    min_samples: int = 50
    min_effect: float = 0.05
    min_effects: Mapping[str, float] = field(default_factory=dict)
    arl: float = 10_000
    compare_with: tuple[str, ...] = ()
    out_of_orderness_ms: int = 5_000
    restate_ms: int = 3_600_000
    limits: Limits = field(default_factory=Limits)
    incidents: IncidentPolicy = field(default_factory=IncidentPolicy)
    runbook_base_url: str = "docs/runbooks/"
    batch: int = 5_000
    labels: LabelSettings = field(default_factory=LabelSettings)
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    privacy: FieldPrivacy = NO_RULES


@dataclass
class Totals:
    """What became of the events: ``counted`` in windows, ``late`` beyond restating, or refused by reason."""

    counted: int = 0
    late: int = 0
    unknown: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class ReplayIntake:
    """One topic of one partition: records in, commits out, and where to cut between them.

    A cut is due where the watermark passes a multiple of the slide after which a window closes or an event
    becomes too late to restate one; between two cuts no record meets another watermark than its neighbours.
    """

    def __init__(
        self, spec: ReplaySpec, decoder: Decoder, counter: BatchCounter, owned: OwnedPartition
    ) -> None:
        self.totals = Totals()
        self.owned = owned
        self.newest_ms = 0
        self._spec = spec
        self._decoder = decoder
        self._counter = counter
        self._waiting: list[Record] = []
        self._passed: tuple[int, int] | None = None

    def add(self, record: Record) -> bool:
        """Take one record; True when the watermark has passed a cut."""
        self._waiting.append(record)
        if record.ts_ms <= self.newest_ms:
            return False
        self.newest_ms = record.ts_ms
        windows = self._spec.windows
        closing_ms = record.ts_ms - self._spec.out_of_orderness_ms - windows.grace_ms
        passed = (closing_ms // windows.slide_ms, (closing_ms - self._spec.restate_ms) // windows.slide_ms)
        before, self._passed = self._passed, passed
        return before != passed

    @property
    def is_full(self) -> bool:
        """Whether enough records wait to be decoded."""
        return len(self._waiting) >= self._spec.batch

    def flush(self, committer: Committer) -> None:
        """Decode, count and commit what waits."""
        records, self._waiting = self._waiting, []
        if not records:
            return
        decoded = self._decoder.decode([r.value for r in records], [r.ts_ms for r in records])
        counted = self._counter.count(
            decoded,
            np.zeros(len(records), dtype=np.intp),
            [self.owned.intake.watermark_ms],
            newest_ms=MAX_MS,
        )
        (delta,) = counted.deltas
        self.totals.counted += delta.totals["events"]
        self.totals.late += delta.totals["late"]
        self.totals.unknown += delta.totals["unknown"]
        self.totals.rejected.update(row.reason for row in counted.rejected)
        self.owned.position += len(records)
        committer.take(self.owned, delta, out_of_orderness_ms=self._spec.out_of_orderness_ms)
        commit(committer, self.owned)


def commit(committer: Committer, owned: OwnedPartition) -> None:
    """Commit a partition that nobody else can own; a refusal is a programming error and is raised."""
    for _, refusal in committer.commit([owned]):
        raise refusal
