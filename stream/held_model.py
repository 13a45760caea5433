"""One model as its owner holds it: its evaluation, the windows that wait, the panes not retired."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.errors import CorruptState
from stream.evaluate import ModelEvaluation
from stream.messages import Message
from stream.outcomes.folding import OutcomeFolding
from stream.series import ModelPlan, SeriesKey
from stream.sinks import OutboxDrain, Sink
from stream.store import ModelStore, Sequenced
from stream.windows import OpenWindows

log = logging.getLogger(__name__)


@dataclass
class HeldModel:
    """A model that this evaluator owns.

    ``revision`` is that of the state it was loaded from or last committed. ``labels`` folds its labels; None
    where there are none. ``trimmed_to`` is the last message taken off the stored outbox.
    """

    plan: ModelPlan
    evaluation: ModelEvaluation
    revision: int
    drain: OutboxDrain
    labels: OutcomeFolding | None = None
    open: dict[SeriesKey, OpenWindows] = field(default_factory=dict)
    restate: dict[SeriesKey, set[int]] = field(default_factory=dict)
    panes: dict[SeriesKey, set[int]] = field(default_factory=dict)
    trimmed_to: int | None = None

    @classmethod
    def load(cls, plan: ModelPlan, store: ModelStore, sink: Sink) -> HeldModel:
        """Read what is stored of a model; its outbox is sent again. A damaged state is dropped."""
        revision, stored = store.load_model(plan.model)
        evaluation = ModelEvaluation(plan)
        if stored is not None:
            memory = store.load_memory(plan.model)
            try:
                evaluation = ModelEvaluation.from_bytes(stored, plan, memory)
            except CorruptState as exc:
                evaluation.forget(memory)
                log.error(
                    'state quarantined, the monitor starts anew model="%s" reason="%s"', plan.model, exc
                )
        held = cls(plan, evaluation, revision, OutboxDrain(sink))
        if plan.labels is not None:
            held.labels = OutcomeFolding(store.joins, plan, plan.labels)
        held.open = {key: OpenWindows(plan.windows) for key in plan.references}
        held.restate = {key: set() for key in plan.references}
        held.panes = {key: set() for key in plan.references}
        held.drain.send(store.outbox(plan.model))
        return held

    def numbered(self, messages: Sequence[Message]) -> list[Sequenced]:
        """Give messages the next numbers of the model's outbox, and the state the last of them."""
        first = self.evaluation.sequence + 1
        self.evaluation.sequence += len(messages)
        return [(first + i, message) for i, message in enumerate(messages)]
