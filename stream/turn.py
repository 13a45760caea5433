"""A turn: what is due of one model, evaluated together, and the commit that becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from stream.alerts import Alert, AlertRoute
from stream.held_model import HeldModel
from stream.messages import Message
from stream.outcomes.join import OutcomeCommit
from stream.pane_reader import PaneRequest
from stream.records import WindowRecord
from stream.series import INFERENCE, SeriesKey
from stream.store import ModelCommit

Step = tuple[Sequence[WindowRecord], Sequence[Alert]]
GAP_PANES = 16
"""How far back a pane is looked for whose notice is late."""


@dataclass
class Turn:
    """Windows of one model to evaluate, and to state again, by series; their ends in order.

    ``steps`` are the records and alerts that came of it, in the order in which they are published;
    ``changed`` tells whether there is anything to commit.
    """

    held: HeldModel
    closed: dict[SeriesKey, list[int]] = field(default_factory=dict)
    restated: dict[SeriesKey, list[int]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    requests: dict[SeriesKey, PaneRequest] = field(default_factory=dict)
    outcomes: OutcomeCommit | None = None
    changed: bool = False

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.held.plan.model

    @property
    def due_ms(self) -> int:
        """When the first of the closed windows ends; those to be stated again come after all others."""
        return min((ends[0] for ends in self.closed.values()), default=1 << 62)

    @property
    def windows(self) -> int:
        """How many windows are evaluated."""
        return sum(map(len, self.closed.values()))

    @property
    def panes(self) -> int:
        """How many panes the windows are made of, at most."""
        spec = self.held.plan.windows
        count = sum(map(len, self.closed.values())) + sum(map(len, self.restated.values()))
        return count * (spec.size_ms // spec.slide_ms)

    @property
    def records(self) -> Iterator[WindowRecord]:
        """Every record, in order."""
        return (record for records, _ in self.steps for record in records)

    @property
    def alerts(self) -> Iterator[Alert]:
        """Every alert, in order."""
        return (alert for _, alerts in self.steps for alert in alerts)

    def gaps(self) -> list[PaneRequest]:
        """Panes before and between the closed windows that nobody has told of: a notice may be under way."""
        held, slide = self.held, self.held.plan.windows.slide_ms
        requests = []
        for key, ends in self.closed.items():
            before = held.evaluation.last_end_ms(key)
            starts: list[int] = []
            for end in ends:
                newest = end - slide
                starts += range(max(before, newest - GAP_PANES * slide), newest, slide)
                before = end
            unheard = [start for start in starts if start not in held.panes[key]]
            if unheard:
                requests.append(PaneRequest(held.plan, key, unheard))
        return requests

    def needs(self) -> Iterable[PaneRequest]:
        """The panes of all windows; to be read before :meth:`evaluate`."""
        spec = self.held.plan.windows
        for key in self.closed.keys() | self.restated.keys():
            ends = [*self.closed.get(key, ()), *self.restated.get(key, ())]
            starts = {start for end in ends for start in spec.panes_of_window(end)}
            self.requests[key] = PaneRequest(self.held.plan, key, sorted(starts))
        return self.requests.values()

    def evaluate(self, data_ms: dict[str, int | None]) -> None:
        """Evaluate the closed windows, oldest first; then state again what late events have changed.

        ``data_ms`` are the watermarks, by source, that events alone carried.
        """
        for key in self.held.plan.references:
            ends = self.closed.get(key)
            if ends:
                self._evaluate(key, ends, data_ms[key.source])
            if key in self.restated:
                self._restate(key, self.restated[key])

    def _evaluate(self, key: SeriesKey, ends: Sequence[int], data_ms: int | None) -> None:
        held, request = self.held, self.requests[key]
        labelled = held.labels is not None and key.source == INFERENCE
        outcomes = held.labels.outcomes(ends) if held.labels is not None and labelled else {}
        records: list[WindowRecord] = []
        alerts: list[Alert] = []
        for end_ms in ends:
            window = request.window(end_ms, data_ms=data_ms)
            record, caused = held.evaluation.evaluate(key, window, outcomes.get(end_ms))
            records.append(record)
            alerts += caused
        self.add(records, alerts)

    def _restate(self, key: SeriesKey, ends: Sequence[int]) -> None:
        request, evaluation = self.requests[key], self.held.evaluation
        windows = (request.window(end_ms, data_ms=None) for end_ms in ends)
        records = [record for window in windows if (record := evaluation.restate(key, window)) is not None]
        if records:
            self.add(records, [])

    def add(self, records: Sequence[WindowRecord], alerts: Sequence[Alert]) -> None:
        """Add what is to be committed and published."""
        self.steps.append((records, alerts))
        self.changed = True

    def commit(self, metrics_topic: str, route: AlertRoute) -> ModelCommit:
        """The commit of the model: its messages are numbered by it, so it is made once."""
        messages: list[Message] = []
        for records, alerts in self.steps:
            messages += [record.to_message(metrics_topic) for record in records]
            messages += [alert.to_message(route) for alert in alerts]
        numbered, evaluation = self.held.numbered(messages), self.held.evaluation
        return ModelCommit(
            model=self.model,
            revision=self.held.revision,
            state=evaluation.to_bytes(),
            messages=numbered,
            memory=evaluation.changed_memory(),
            outcomes=self.outcomes,
        )

    def landed(self) -> None:
        """The commit is stored: its windows are no longer due."""
        for key, ends in self.closed.items():
            self.held.open[key].discard(ends)
        for key, ends in self.restated.items():
            self.held.restate[key].difference_update(ends)


def grouped(turns: Iterable[Turn], *, windows: int, panes: int) -> Iterator[list[Turn]]:
    """Turns in groups of about so many windows and panes at most; a turn is never cut."""
    group: list[Turn] = []
    n_windows = n_panes = 0
    for turn in turns:
        if group and (n_windows + turn.windows > windows or n_panes + turn.panes > panes):
            yield group
            group, n_windows, n_panes = [], 0, 0
        group.append(turn)
        n_windows += max(1, turn.windows)
        n_panes += turn.panes
    if group:
        yield group
