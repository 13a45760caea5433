"""What came of the turns of models: committed, shown, published, and taken off the outboxes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec

from stream.alerts import AlertRoute
from stream.clock import Clock
from stream.crash_points import reached
from stream.errors import Conflict
from stream.held_model import HeldModel
from stream.metrics import Metrics
from stream.sinks import Sink
from stream.store import ModelCommit, ModelStore, NotBrought, landed
from stream.turn import Turn

log = logging.getLogger(__name__)
CLOSE_TIMEOUT_S = 5.0


class ModelCommits:
    """Steps 3 and 4 of :mod:`stream.evaluator`, for several models at a time.

    Parameters
    ----------
    metrics_topic, alerts
        Where records and alerts go.
    """

    def __init__(
        self,
        metrics_topic: str,
        alerts: AlertRoute,
        *,
        store: ModelStore,
        sink: Sink,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._metrics_topic = metrics_topic
        self._alerts = alerts
        self._store = store
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._to_show: list[Turn] = []

    def prepare(self, turns: Sequence[Turn]) -> None:
        """Make the commits of turns that are committed later, and send what is large of them."""
        commits = [turn.commit(self._metrics_topic, self._alerts) for turn in turns]
        for turn, commit in zip(turns, self._store.bring(commits) if commits else (), strict=True):
            turn.prepared = commit

    def _decide(self, turns: Sequence[Turn], commits: Sequence[ModelCommit]) -> list[int | Conflict]:
        """What became of commits; those whose state was brought and is gone are made with it."""
        outcomes = self._store.decide_all(commits)
        absent = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, NotBrought)]
        if absent:
            log.warning('states that were brought are gone, sending them again models="%s"', len(absent))
            whole = [
                replace(commits[at], state=turns[at].held.evaluation.to_bytes(), brought=b"") for at in absent
            ]
            for at, outcome in zip(absent, self._store.decide_all(whole), strict=True):
                outcomes[at] = outcome
        return [landed(each) if isinstance(each, NotBrought) else each for each in outcomes]

    def commit(self, turns: Sequence[Turn]) -> list[str]:
        """One script a model, one round trip; the models whose commits were refused."""
        if not turns:
            return []
        commits = [turn.prepared or turn.commit(self._metrics_topic, self._alerts) for turn in turns]
        reached("decide.before")
        outcomes = self._decide(turns, commits)
        reached("decide.after")
        reached("publish.before")
        refused: dict[str, Conflict] = {}
        for turn, commit, outcome in zip(turns, commits, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                refused[turn.model] = outcome
                continue
            turn.held.revision = outcome
            turn.held.drain.send(commit.messages)
            turn.landed()
            turn.landed_ms = self._clock.now_ms()
            self._to_show.append(turn)
        reached("publish.after")
        self._sink.poll()
        if refused:
            first = next(iter(refused.values()))
            log.warning('refused, reading again models="%s" first="%s"', len(refused), first)
        return list(refused)

    def _show(self) -> None:
        shown, self._to_show = self._to_show, []
        for turn in shown:
            for record in turn.records:
                self._metrics.observe_window(msgspec.structs.asdict(record))
            for alert in turn.alerts:
                self._metrics.alert(alert.kind, alert.status)
            incidents = turn.held.evaluation.open_incidents()
            self._metrics.incidents(turn.model, Counter((each.kind, each.severity) for _, each in incidents))
            for end_ms in (end for ends in turn.closed.values() for end in ends):
                delay_ms = turn.landed_ms - turn.held.plan.windows.closes_at(end_ms)
                self._metrics.evaluated(
                    seconds=turn.seconds / turn.windows, close_delay_seconds=delay_ms / 1000
                )

    def publish(self, models: Collection[HeldModel]) -> int:
        """Serve delivery reports, trim what is acknowledged; how many messages still wait."""
        self._show()
        self._sink.poll()
        waiting = 0
        delivered: dict[str, int] = {}
        for held in models:
            drain = held.drain
            if len(drain):
                drain.retry()
                waiting += len(drain)
            if drain.delivered_to is not None and drain.delivered_to != held.trimmed_to:
                delivered[held.plan.model] = held.trimmed_to = drain.delivered_to
        if delivered:
            reached("trim.before")
            self._store.trim_outboxes(delivered)
            reached("trim.after")
        self._metrics.outbox("models", waiting)
        return waiting

    def close(self, models: Collection[HeldModel]) -> None:
        """Wait for the messages under way and trim what was acknowledged; the rest stays in its outbox."""
        self._sink.close(timeout_s=CLOSE_TIMEOUT_S)
        self.publish(models)
