"""Labels of a group of models: their journals, and the outcomes of their windows, in a round trip for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from stream.held_model import HeldModel
from stream.outcomes.folding import Changes, OutcomeFolding
from stream.outcomes.join import JoinStore
from stream.series import INFERENCE
from stream.turn import Step, Turn

ROWS_PER_FOLD = 50_000
MODELS_PER_FOLD = 16
"""So many journals are read at a time: it bounds the memory that a backlog takes."""


class LabelReads:
    """Reads what the label join knows of models; nothing is committed here."""

    def __init__(self, joins: JoinStore) -> None:
        self._joins = joins

    def folded(self, models: Sequence[HeldModel], labels_ms: int | None) -> tuple[list[Turn], int]:
        """Fold the labels of at most :data:`MODELS_PER_FOLD` models that were joined since.

        Returns the turns to commit, and how many windows they state again. ``labels_ms`` is the watermark of
        the labels.
        """
        labelled = {held.plan.model: (held, held.labels) for held in models if held.labels is not None}
        journals = self._joins.journals(list(labelled), ROWS_PER_FOLD) if labelled else {}
        found: list[tuple[HeldModel, OutcomeFolding, Changes]] = []
        for model, (held, labels) in labelled.items():
            if journals[model].upto != journals[model].base:
                found.append((held, labels, labels.changes(journals[model])))
        self._hold(
            [
                (held, labels, labels.panes_to_fold(held.evaluation, changes))
                for held, labels, changes in found
            ]
        )
        turns, stated = [], 0
        for held, labels, changes in found:
            fold = labels.fold(held.evaluation, changes, labels_ms)
            labels.let_go()
            steps: list[Step] = [(fold.records, [])] if fold.records else []
            turns.append(Turn(held, steps=steps, outcomes=fold.commit))
            stated += len(fold.records) + fold.more
        return turns, stated

    @contextmanager
    def of_windows(self, turns: Sequence[Turn], labels_ms: int | None) -> Iterator[None]:
        """Have the outcomes at hand of the windows of ``turns``, and of the slices judged with them."""
        needed: list[tuple[HeldModel, OutcomeFolding, set[int]]] = []
        for turn in turns:
            held, labels = turn.held, turn.held.labels
            if labels is None:
                continue
            ends = {end for key, ends in turn.closed.items() if key.source == INFERENCE for end in ends}
            starts = {start for end in ends for start in held.plan.windows.panes_of_window(end)}
            needed.append((held, labels, starts | labels.panes_to_judge(held.evaluation, labels_ms)))
        self._hold(needed)
        try:
            yield
        finally:
            for _, labels, _ in needed:
                labels.let_go()

    def _hold(self, needed: Sequence[tuple[HeldModel, OutcomeFolding, set[int]]]) -> None:
        asked = {held.plan.model: sorted(starts) for held, _, starts in needed if starts}
        stored = self._joins.outcome_panes_of(asked) if asked else {}
        for held, labels, starts in needed:
            labels.hold(starts, stored.get(held.plan.model, {}))
