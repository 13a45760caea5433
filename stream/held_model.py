"""One model as its owner holds it: its evaluation, the windows that wait, the panes not retired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream.errors import CorruptState
from stream.evaluate import ModelEvaluation
from stream.messages import Message
from stream.outcomes.folding import OutcomeFolding
from stream.outcomes.join import JoinStore
from stream.quarantine import quarantined
from stream.series import ModelPlan, SeriesKey
from stream.sinks import OutboxDrain, Sink
from stream.store import Sequenced, StoredModel
from stream.windows import LivePanes, OpenWindows

if TYPE_CHECKING:
    from stream.turn import Turn


@dataclass
class HeldModel:
    """A model that this evaluator owns.

    ``revision`` and ``incarnation`` are those of the state it was loaded from or last committed,
    ``is_stored`` whether there is one in the store: not when it is damaged, or was never written. ``labels``
    folds its labels; None where there are none. ``trimmed_to`` is the last message taken off the stored
    outbox. ``ahead`` is what was evaluated ahead and not committed: while there is any, ``evaluation`` is
    ahead of the store. ``wasted`` tells how seldom that is worth it, ``folded_ms`` when its labels were
    looked at, by the monotonic clock.
    """

    plan: ModelPlan
    evaluation: ModelEvaluation
    revision: int
    drain: OutboxDrain
    is_stored: bool = False
    incarnation: bytes = b""
    labels: OutcomeFolding | None = None
    open: dict[SeriesKey, OpenWindows] = field(default_factory=dict)
    restate: dict[SeriesKey, set[int]] = field(default_factory=dict)
    panes: dict[SeriesKey, LivePanes] = field(default_factory=dict)
    trimmed_to: int | None = None
    ahead: Turn | None = None
    wasted: int = 0
    folded_ms: int = 0

    @classmethod
    def of(cls, plan: ModelPlan, stored: StoredModel, joins: JoinStore, sink: Sink) -> HeldModel:
        """Take up what is stored of a model; its outbox is sent again. A damaged state is dropped."""
        evaluation, is_stored = restored(plan, stored)
        held = cls(plan, evaluation, stored.revision, OutboxDrain(sink), is_stored, stored.incarnation)
        if plan.labels is not None:
            held.labels = OutcomeFolding(joins, plan, plan.labels)
        held.open = {key: OpenWindows(plan.windows) for key in plan.references}
        held.restate = {key: set() for key in plan.references}
        held.panes = {key: LivePanes(plan.windows, plan.restate_ms) for key in plan.references}
        held.drain.send(stored.outbox)
        return held

    def take(self, key: SeriesKey, start_ms: int) -> None:
        """A pane was counted into: its windows are open, or are to be stated again."""
        self.panes[key].add(start_ms)
        for end_ms in self.plan.windows.ends_of_pane(start_ms):
            if self.evaluation.is_evaluated(key, end_ms):
                self.restate[key].add(end_ms)
            else:
                self.open[key].add(end_ms)

    def rewind(self, stored: StoredModel) -> bool:
        """Forget what was evaluated ahead; False when the store holds what another evaluator made of it."""
        if (stored.revision, stored.incarnation) != (self.revision, self.incarnation):
            return False
        self.ahead = None
        self.evaluation, self.is_stored = restored(self.plan, stored)
        for key, late in self.restate.items():
            for end_ms in [end for end in late if not self.evaluation.is_evaluated(key, end)]:
                late.discard(end_ms)
                self.open[key].add(end_ms)
        return True

    def numbered(self, messages: Sequence[Message]) -> list[Sequenced]:
        """Give messages the next numbers of the model's outbox, and the state the last of them."""
        first = self.evaluation.sequence + 1
        self.evaluation.sequence += len(messages)
        return [(first + i, message) for i, message in enumerate(messages)]


def restored(plan: ModelPlan, stored: StoredModel) -> tuple[ModelEvaluation, bool]:
    """The evaluation as it was committed, and whether it was; one that is damaged starts anew."""
    if stored.state is None:
        return ModelEvaluation(plan), False
    try:
        return ModelEvaluation.from_bytes(stored.state, plan, stored.memory), True
    except CorruptState as exc:
        quarantined("state", "the monitor starts anew", exc, of=plan.model)
        evaluation = ModelEvaluation(plan)
        evaluation.forget(stored.memory)
        return evaluation, False
