"""Faust: which evaluator owns which models, and when it looks.

The panes topic is keyed by model; Faust's consumer group gives every worker some of its partitions, and with
them the models whose home they are. Faust's tables, windows and web server are not used: tables close windows
on the wall clock, and state is ours (docs/decisions/0001-faust-for-ownership-only.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import faust
import redis

from stream.errors import CorruptState
from stream.evaluator import Evaluator
from stream.messages import Notice, home_partition, read_notices
from stream.progress import LookProgress

log = logging.getLogger(__name__)
BACKOFF_S = 1.0
# A broker that has just restarted may not know the topic yet, and then Faust assigns nothing to anybody. It
# assigns anew when it sees the topic; by default the client looks every five minutes.
METADATA_MAX_AGE_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """How the evaluators find each other.

    Parameters
    ----------
    broker
        ``host:port,host:port``; ``credentials`` as Faust wants them, None = plaintext.
    """

    group: str
    broker: str
    panes_topic: str
    panes_partitions: int
    session_timeout_s: float
    credentials: Any = None


class _App(faust.App):
    """A Faust app that keeps nothing on disk: without tables its data directory would stay empty."""

    def _create_directories(self) -> None:
        """Make none, so that a killed worker leaves none behind."""


@dataclass
class EvaluationAgents:
    """Runs an evaluator inside a Faust app until stopped.

    Every call into the evaluator happens on one thread, so Faust's loop keeps answering its heartbeats.
    """

    spec: AgentSpec
    evaluator: Evaluator
    beat: Callable[[], None]
    _notices: list[Notice] = field(default_factory=list)
    progress: LookProgress = field(default_factory=LookProgress)

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until ``stopping`` is set; what broke the evaluation is raised."""
        self._wake = asyncio.Event()
        app = self._app()
        with ThreadPoolExecutor(1, thread_name_prefix="evaluate") as thread:
            await app.start()
            try:
                await self._look_until(stopping, app, thread)
            finally:
                await app.stop()
                await asyncio.get_running_loop().run_in_executor(thread, self._close)

    def _app(self) -> Any:
        spec = self.spec
        app = _App(
            f"{spec.group}-evaluate",
            broker=[f"kafka://{address}" for address in spec.broker.split(",")],
            broker_credentials=spec.credentials,
            broker_session_timeout=spec.session_timeout_s,
            broker_heartbeat_interval=spec.session_timeout_s / 4,
            broker_max_poll_interval=300.0,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
            topic_disable_leader=True,
            topic_allow_declare=False,
            autodiscover=False,
            store="memory://",
            web_enabled=False,
            debug=False,
        )
        topic = app.topic(
            spec.panes_topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw"
        )

        async def panes(stream: Any) -> None:
            async for value in stream:
                self._heard(value)

        app.agent(topic, name="panes")(panes)
        return app

    def _heard(self, value: bytes) -> None:
        try:
            self._notices += read_notices(value)
        except CorruptState as exc:
            log.error('notice ignored, the index of open panes tells the rest reason="%s"', exc)
            return
        self._wake.set()

    async def _look_until(self, stopping: asyncio.Event, app: Any, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            if app.crashed or app.should_stop:
                raise RuntimeError(f"the evaluation group ended by itself: {app.crash_reason!r}")
            self.beat()
            await self._wait(stopping)
            if app.rebalancing:
                continue
            notices, self._notices = self._notices, []
            models = self._models_of(app.consumer.assignment())
            try:
                if await loop.run_in_executor(thread, self._turn, models, notices):
                    self._wake.set()  # there may be more: look again at once
                self.progress.done()
            except redis.RedisError as exc:
                log.error('evaluation waits for Redis reason="%s"', exc)
                await loop.run_in_executor(thread, self.evaluator.forget)
                await asyncio.sleep(BACKOFF_S)

    async def _wait(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._wake, stopping)]
        timeout_s = self.evaluator.next_look_ms() / 1000
        _, pending = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        self._wake.clear()

    def _models_of(self, assignment: Iterable[Any]) -> list[str]:
        homes = {tp.partition for tp in assignment if tp.topic == self.spec.panes_topic}
        partitions = self.spec.panes_partitions
        return [model for model in self.evaluator.plans if home_partition(model, partitions) in homes]

    def _looking(self) -> None:
        """A group of models is next: a long look is progress too."""
        self.beat()
        self.progress.done()

    def _turn(self, models: list[str], notices: list[Notice]) -> int:
        self.evaluator.own(models)
        for notice in notices:
            self.evaluator.take(notice)
        return self.evaluator.look(self._looking) or self.evaluator.look_ahead()

    def _close(self) -> None:
        try:
            self.evaluator.close()
        except redis.RedisError as exc:
            log.warning('left in the outboxes reason="%s"', exc)
