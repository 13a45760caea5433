"""A turn: what is due of one model, evaluated together, and the commit that becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from stream.alerts import Alert, AlertRoute
from stream.held_model import HeldModel
from stream.messages import Message
from stream.outcomes.join import OutcomeCommit
from stream.pane_reader import PaneRequest
from stream.records import WindowRecord
from stream.series import INFERENCE, SeriesKey
from stream.store import ModelCommit
from stream.watermarks import GlobalWatermark

Item = TypeVar("Item")
Step = tuple[Sequence[WindowRecord], Sequence[Alert]]
GAP_PANES = 16
"""How far back a pane is looked for whose notice is late."""


@dataclass
class Turn:
    """Windows of one model to evaluate, and to state again, by series; their ends in order.

    ``steps`` are the records and alerts that came of it, in the order in which they are published; ``read``
    is all that was read for it, ``seconds`` how long its evaluation took, ``landed_ms`` when it was
    committed, ``prepared`` the commit that is made of it later.
    """

    held: HeldModel
    closed: dict[SeriesKey, list[int]] = field(default_factory=dict)
    restated: dict[SeriesKey, list[int]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    requests: dict[SeriesKey, PaneRequest] = field(default_factory=dict)
    read: list[PaneRequest] = field(default_factory=list)
    seconds: float = 0.0
    landed_ms: int = 0
    prepared: ModelCommit | None = None
    outcomes: OutcomeCommit | None = None

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.steps) or self.outcomes is not None

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

    @property
    def has_alerts(self) -> bool:
        """Whether anybody is to be alerted."""
        return any(alerts for _, alerts in self.steps)

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

    def take_gap(self, request: PaneRequest, limit: int) -> None:
        """Take up those panes of :meth:`gaps` that hold events; at most ``limit`` windows are due."""
        self.read.append(request)
        found = [start for start, counts in request.counts.items() if counts.n]
        for start in found:
            self.held.take(request.key, start)
        if found:
            ends = self.held.open[request.key].up_to(self.closed[request.key][-1])
            self.closed[request.key] = ends[:limit]

    def needs(self) -> Iterable[PaneRequest]:
        """The panes of all windows; to be read before :meth:`evaluate`."""
        spec = self.held.plan.windows
        for key in self.closed.keys() | self.restated.keys():
            ends = [*self.closed.get(key, ()), *self.restated.get(key, ())]
            starts = {start for end in ends for start in spec.panes_of_window(end)}
            self.requests[key] = PaneRequest(self.held.plan, key, sorted(starts))
        self.read += self.requests.values()
        return self.requests.values()

    def evaluate(self, data_ms: Mapping[str, int | None]) -> None:
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
        self.steps.append((records, alerts))

    def _restate(self, key: SeriesKey, ends: Sequence[int]) -> None:
        request, evaluation = self.requests[key], self.held.evaluation
        windows = (request.window(end_ms, data_ms=None) for end_ms in ends)
        records = [record for window in windows if (record := evaluation.restate(key, window)) is not None]
        if records:
            self.steps.append((records, []))

    def finish(self, labels: GlobalWatermark | None, limit: int) -> int:
        """Judge slices by their labels, and state windows for the last time; the number of both."""
        held = self.held
        if held.labels is None:
            return 0
        labels_ms = None if labels is None else labels.ms
        judged, alerts = held.labels.judgements(held.evaluation, labels_ms, limit)
        records = held.labels.finals(held.evaluation, labels, limit)
        if judged or records:
            self.steps.append((records, alerts))
        return judged + len(records)

    def commit(self, metrics_topic: str, route: AlertRoute) -> ModelCommit:
        """The commit of the model: its messages are numbered by it, so it is made once.

        The state is left out of it where nothing was evaluated and it is stored.
        """
        messages: list[Message] = []
        for records, alerts in self.steps:
            messages += [record.to_message(metrics_topic) for record in records]
            messages += [alert.to_message(route) for alert in alerts]
        numbered, evaluation = self.held.numbered(messages), self.held.evaluation
        return ModelCommit(
            model=self.model,
            revision=self.held.revision,
            incarnation=self.held.incarnation,
            state=None if self.held.is_stored and not self.steps else evaluation.to_bytes(),
            messages=numbered,
            memory=evaluation.changed_memory(),
            outcomes=self.outcomes,
        )

    def landed(self) -> None:
        """The commit is stored: its windows are no longer due."""
        self.held.is_stored = True
        for key, ends in self.closed.items():
            self.held.open[key].discard(ends)
        for key, ends in self.restated.items():
            self.held.restate[key].difference_update(ends)
        self.held.ahead = None


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


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """``items`` in order, at most ``size`` at a time."""
    return (items[at : at + size] for at in range(0, len(items), size))
