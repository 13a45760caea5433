"""Outcome panes: the outcomes of the predictions of one slice of event time, apart by stratum. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors import CorruptBytes, MismatchError, NewerBytes
from detectors.performance import Outcomes, PerformanceCounts, PerformanceSpec
from detectors.performance.delays import DelayCounts
from detectors.performance.values import ValueCounts
from stream.errors import CorruptState, NewerState
from stream.outcomes.fold import Folded, OutcomeRows
from stream.packing import Kind, pack, unpack

_MSGPACK = msgspec.msgpack.Encoder()


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    predictions: int
    labelled: int
    performance: bytes
    silent: bytes
    delays: bytes
    values: bytes


@dataclass
class StratumOutcomes:
    """Predictions of one stratum, those with a label counted with it.

    ``silent`` are the predictions without a label, counted as if they had ``negative`` as theirs; empty where
    silence is no answer. Counts are exact: a corrected label leaves nothing of the one before.
    """

    predictions: int
    labelled: int
    performance: PerformanceCounts
    silent: PerformanceCounts
    delays: DelayCounts
    values: ValueCounts

    @classmethod
    def empty(cls, spec: PerformanceSpec) -> StratumOutcomes:
        """No predictions."""
        return cls(
            0,
            0,
            PerformanceCounts.empty(spec),
            PerformanceCounts.empty(spec),
            DelayCounts(),
            ValueCounts(),
        )

    def apply(self, change: Folded, *, negative: float | None) -> None:
        """Take in what transitions changed; ``negative`` is the class that silence stands for, if it does."""
        self.predictions += change.predictions
        for rows, sign in ((change.added, 1), (change.removed, -1)):
            if len(rows):
                self._count(rows, sign)
        if negative is not None:
            self.silent.add(_as_labelled(change.silent, negative))
            self.silent.add(_as_labelled(change.answered, negative), sign=-1)

    def _count(self, rows: OutcomeRows, sign: int) -> None:
        self.labelled += sign * len(rows)
        self.performance.add(Outcomes(rows.prediction, rows.score, rows.label), sign=sign)
        self.delays.add(rows.delay_ms, sign=sign)
        self.values.add(rows.value, sign=sign)

    def with_silence(self) -> PerformanceCounts:
        """The performance where a prediction without a label has the negative one."""
        counts = self.performance.copy()
        counts.merge(self.silent)
        return counts

    @property
    def is_possible(self) -> bool:
        """Whether nothing was taken out that had not been counted."""
        least = min(int(each.tally.counts.min()) for each in (self.performance, self.delays))
        return 0 <= self.labelled <= self.predictions and least >= 0

    def merge(self, other: StratumOutcomes) -> None:
        """Add the outcomes of another pane or stratum."""
        self.predictions += other.predictions
        self.labelled += other.labelled
        self.performance.merge(other.performance)
        self.silent.merge(other.silent)
        self.delays.merge(other.delays)
        self.values.merge(other.values)


def _as_labelled(predicted: NDArray[np.float64], label: float) -> Outcomes:
    return Outcomes(predicted[:, 0].copy(), predicted[:, 1].copy(), np.full(len(predicted), label))


class OutcomePane:
    """The outcomes of one pane by stratum number.

    ``damaged``: some of them are not known any more. It stays so, and holds none: a label that takes the
    place of one that is not known would be taken out of counts that never held it.
    """

    def __init__(self, spec: PerformanceSpec, *, damaged: bool = False) -> None:
        self.spec = spec
        self.strata: dict[int, StratumOutcomes] = {}
        self.damaged = damaged

    def apply(self, stratum: int, change: Folded, *, negative: float | None) -> None:
        """Take in what transitions changed in one stratum."""
        if self.damaged:
            return
        held = self.strata.setdefault(stratum, StratumOutcomes.empty(self.spec))
        held.apply(change, negative=negative)

    @property
    def is_possible(self) -> bool:
        """Whether nothing was taken out that had not been counted."""
        return all(each.is_possible for each in self.strata.values())

    def to_bytes(self) -> bytes:
        """Packed form, exact; nothing, where it is damaged."""
        if self.damaged:
            return pack(Kind.OUTCOMES, b"")
        stored = {
            stratum: _Stored(
                held.predictions,
                held.labelled,
                held.performance.to_bytes(),
                held.silent.to_bytes(),
                held.delays.to_bytes(),
                held.values.to_bytes(),
            )
            for stratum, held in sorted(self.strata.items())
        }
        return pack(Kind.OUTCOMES, _MSGPACK.encode(stored))

    @classmethod
    def from_bytes(cls, data: bytes, spec: PerformanceSpec) -> OutcomePane:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        CorruptState
            The bytes fail a check, or belong to predictions that were judged in another way.
        """
        payload = unpack(Kind.OUTCOMES, data)
        pane = cls(spec, damaged=not payload)
        if pane.damaged:
            return pane
        try:
            stored = msgspec.msgpack.decode(payload, type=dict[int, _Stored])
            for stratum, each in stored.items():
                pane.strata[stratum] = StratumOutcomes(
                    each.predictions,
                    each.labelled,
                    PerformanceCounts.from_bytes(each.performance, spec),
                    PerformanceCounts.from_bytes(each.silent, spec),
                    DelayCounts.from_bytes(each.delays),
                    ValueCounts.from_bytes(each.values),
                )
        except (msgspec.MsgspecError, UnicodeDecodeError, CorruptBytes, MismatchError) as exc:
            raise CorruptState(f"stored outcomes: {exc}") from exc
        except NewerBytes as exc:
            raise NewerState(f"stored outcomes: {exc}") from exc
        return pane


def merged(
    panes: Iterable[OutcomePane], spec: PerformanceSpec, wanted: Callable[[int], bool]
) -> StratumOutcomes:
    """The outcomes of all ``wanted`` strata of several panes together."""
    together = StratumOutcomes.empty(spec)
    for pane in panes:
        for stratum, held in pane.strata.items():
            if wanted(stratum):
                together.merge(held)
    return together
