"""The evaluation of one model: closed windows in, records and alerts out. Pure and deterministic.

Replay and the Faust agents run this very class. Windows of a series arrive in order of their ends; each
brings the counts of its newest pane (the decision looks back over disjoint panes) and of the whole window
(which is shown).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from detectors import DetectorError, NewerBytes
from stream.alerts import Alert
from stream.errors import CorruptState, NewerState
from stream.incidents import Incident
from stream.outcomes.records import WindowOutcomes
from stream.packing import Kind, pack, unpack
from stream.records import WindowRecord
from stream.series import ClosedWindow, ModelPlan, Series, SeriesKey, SeriesState

_MSGPACK = msgspec.msgpack.Encoder()
NOTHING_REMEMBERED: Mapping[str, bytes] = MappingProxyType({})


class ModelState(msgspec.Struct, array_like=True):
    """What a model's evaluation is stored as; ``sequence`` is the number of its last message."""

    sequence: int
    series: list[SeriesState]

    @classmethod
    def from_bytes(cls, data: bytes, model: str) -> ModelState:
        """Unpack a stored state without its references, as ``driftstream status`` does.

        Raises
        ------
        CorruptState
            The bytes fail a check.
        """
        try:
            return msgspec.msgpack.decode(unpack(Kind.MODEL_STATE, data), type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise CorruptState(f"stored state of model {model}: {exc}") from exc


class ModelEvaluation:
    """All series of one model, and the numbers of its outbox messages.

    ``sequence`` is the number of the last message; it is part of the state, so a message's number is decided
    by the same compare-and-set as the verdict it carries. ``memory`` is what the model remembers beside it.
    """

    def __init__(self, plan: ModelPlan, memory: Mapping[str, bytes] = NOTHING_REMEMBERED) -> None:
        self.plan = plan
        self.sequence = 0
        self._forgotten: dict[str, bytes | None] = {}
        self._series = {key: Series(plan, key, memory) for key in plan.references}

    def is_evaluated(self, key: SeriesKey, end_ms: int) -> bool:
        """Whether the window was evaluated, or lies before one that was."""
        return end_ms <= self._series[key].last_end_ms

    def last_end_ms(self, key: SeriesKey) -> int:
        """End of the last evaluated window of the series, 0 = none."""
        return self._series[key].last_end_ms

    def evaluate(
        self, key: SeriesKey, window: ClosedWindow, outcomes: WindowOutcomes | None = None
    ) -> tuple[WindowRecord, list[Alert]]:
        """Decide on a window that follows all evaluated ones; ``outcomes`` are those known so far."""
        return self._series[key].evaluate(window, outcomes)

    def awaits_labels(self, key: SeriesKey, end_ms: int) -> bool:
        """Whether the window was evaluated, and its labels may still come."""
        labelled = self._series[key].labelled
        return labelled is not None and end_ms in labelled

    def due(self, key: SeriesKey, labels_ms: int | None) -> list[int]:
        """Ends of the windows whose labels can no longer come, by the watermark of the labels."""
        labelled = self._series[key].labelled
        return [] if labelled is None else labelled.due(labels_ms)

    def forget_labelled(self, key: SeriesKey, data_ms: int | None) -> None:
        """Let go of final windows that no event can change any more."""
        labelled = self._series[key].labelled
        if labelled is not None and data_ms is not None:
            labelled.forget(data_ms)

    def ripe(self, key: SeriesKey, labels_ms: int | None) -> list[int]:
        """Ends of the slices to be judged by their labels now, in order."""
        outcomes = self._series[key].outcomes
        return [] if outcomes is None else outcomes.ripe(labels_ms)

    def judge(
        self, key: SeriesKey, end_ms: int, outcomes: WindowOutcomes, *, labels_ms: int
    ) -> list[Alert] | None:
        """Judge a slice by the labels that have come; the notifications it causes, None = wait for more."""
        performance = self._series[key].outcomes
        if performance is None:
            return []
        return performance.judge(end_ms, outcomes, key.version, labels_ms=labels_ms)

    def relabel(
        self, key: SeriesKey, end_ms: int, outcomes: WindowOutcomes, *, final: bool, age_ms: int | None
    ) -> WindowRecord | None:
        """State a window evaluated before again, with its labels; None when there is nothing to tell."""
        return self._series[key].relabel(end_ms, outcomes, final=final, age_ms=age_ms)

    def restate(self, key: SeriesKey, window: ClosedWindow) -> WindowRecord | None:
        """Count late events into a window evaluated before; None when nothing changed."""
        return self._series[key].restate(window)

    def open_incidents(self) -> list[tuple[SeriesKey, Incident]]:
        """Every open incident."""
        return [(key, each) for key, series in self._series.items() for each in series.incidents()]

    def changed_memory(self) -> dict[str, bytes | None]:
        """Entries of the memory to write and to forget since the last call; they commit with the state."""
        changed, self._forgotten = self._forgotten, {}
        for series in self._series.values():
            changed |= series.changed_memory()
        return changed

    def forget(self, names: Iterable[str]) -> None:
        """Forget entries of the memory with the next commit: they belong to a state that is damaged."""
        self._forgotten = dict.fromkeys(names)

    def to_bytes(self) -> bytes:
        """Packed state."""
        series = [self._series[key].snapshot() for key in sorted(self._series)]
        return pack(Kind.MODEL_STATE, _MSGPACK.encode(ModelState(self.sequence, series)))

    @classmethod
    def from_bytes(
        cls, data: bytes, plan: ModelPlan, memory: Mapping[str, bytes] = NOTHING_REMEMBERED
    ) -> ModelEvaluation:
        """Inverse of :meth:`to_bytes`; series that the plan no longer has are dropped.

        Raises
        ------
        CorruptState
            The bytes fail a check.
        """
        state = ModelState.from_bytes(data, plan.model)
        try:
            evaluation = cls(plan, memory)
            evaluation.sequence = state.sequence
            for each in state.series:
                series = evaluation._series.get(SeriesKey(each.source, each.version))
                if series is not None:
                    series.restore(each)
        except NewerBytes as exc:
            raise NewerState(f"stored state of model {plan.model}: {exc}") from exc
        except DetectorError as exc:
            raise CorruptState(f"stored state of model {plan.model}: {exc}") from exc
        return evaluation
