"""The demo from start to end, in order.

1. Kafka and Redis start, the configuration is written, the topics are made.
2. The model learns, the reference is built of the next rows, ``driftstream worker`` starts as a process.
3. The story is sent while its alerts and windows are read back.
4. When every event is counted and every label joined, the worker is stopped, what it published last is read,
   and all is compared.

Whatever ends it, the worker goes first, then Redis and Kafka, and their directories with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NoReturn

from stream.demo.interrupts import Interrupts
from stream.demo.product import WorkerProcess, installed
from stream.demo.report import Outcome, Report
from stream.demo.screen import Screen
from stream.demo.services import Broker, RedisServer, open_broker, open_redis, returned_clean
from stream.demo.serving import LEARNED_ROWS, REFERENCE_ROWS, Event, ServingSystem, readings
from stream.demo.story import Story
from stream.demo.traffic import Traffic
from stream.demo.watching import Watching
from stream.errors import DependencyError
from stream.preflight import require_redis

STALLED_SECONDS = 60.0
"""With nothing sent and no new window for so long the story is over: the report says what is missing."""

_LIVE_FROM = LEARNED_ROWS + REFERENCE_ROWS
_TICK_SECONDS = 0.2
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the command line asks for."""

    broker: str = "kafka"
    redis_url: str | None = None
    keep: bool = False
    metrics_port: int = 0
    insecure: bool = False


@dataclass
class _Run:
    """The running parts, for the loop that waits."""

    story: Story
    screen: Screen
    worker: WorkerProcess
    traffic: Traffic
    watching: Watching

    def tell(self, *, worker_stays: bool) -> None:
        """Show the story until all of it is counted and everything published is read."""
        with self.screen.live():
            self.until_final()
            if worker_stays:
                self.until_settled()
            else:
                self.worker.stop()
            self.watching.drain()
            self.screen.update(self.traffic.at_ms, self.watching.copy())

    def until_final(self) -> None:
        """Wait until every event sent is in a window and all labels are joined, or nothing comes for long.

        Raises
        ------
        DependencyError
            The worker ended, or Kafka failed.
        """
        while not self._is_final():
            self._tick()
            if time.monotonic() - max(self.watching.last_news, self.traffic.last_sent) > STALLED_SECONDS:
                return

    def until_settled(self) -> None:
        """Wait until nothing new has come for a moment, with the worker still running."""
        while time.monotonic() - self.watching.last_news < _SETTLE_SECONDS:
            self._tick()

    def _tick(self) -> None:
        time.sleep(_TICK_SECONDS)
        for failure in (self.traffic.failure, self.watching.failure):
            if failure is not None:
                raise DependencyError(f"the demo's Kafka failed: {failure}") from failure
        self.worker.check()
        self.screen.update(self.traffic.at_ms, self.watching.copy())

    def _is_final(self) -> bool:
        if not self.traffic.ended or self.watching.counted() != dict(self.traffic.sent):
            return False
        return self.watching.final == len(self.story.windows("inference"))


def run_demo(choices: Choices, screen: Screen, *, answer: Callable[[Report], None]) -> Report:
    """Run the demo, hand its report to ``answer``, and return it when everything has ended.

    Raises
    ------
    DependencyError
        A service cannot be used, or the worker ended by itself.
    KeyboardInterrupt
        Ctrl-C, after everything has ended.
    """
    began = time.monotonic()
    with Interrupts() as interrupts, ExitStack() as stack:
        try:
            return _run(choices, screen, stack, began=began, answer=answer)
        finally:
            interrupts.ignore()
            screen.say("Stopping what was started")


def _run(
    choices: Choices, screen: Screen, stack: ExitStack, *, began: float, answer: Callable[[Report], None]
) -> Report:
    # 1.
    broker, redis, worker = _set_up(choices, screen, stack)
    # 2.
    screen.say("Training a model on real sensor data, building its reference")
    rows = readings()
    serving = ServingSystem.trained(rows[:LEARNED_ROWS])
    reference = serving.reference(rows[LEARNED_ROWS:_LIVE_FROM])
    screen.say("Starting driftstream worker")
    stack.callback(worker.stop)
    metrics = worker.start(reference)
    # 3. and 4.
    story = Story.ending_before(time.time_ns() // 1_000_000)
    screen.begin(story)
    run = _sending(story, serving.events(story, rows[_LIVE_FROM:]), worker, screen, stack)
    run.tell(worker_stays=choices.keep)
    report = Report.of(
        story,
        run.watching.copy(),
        Outcome(
            sent=dict(run.traffic.sent),
            broker=broker.title,
            redis=redis.title,
            first_alert_seconds=_between(run.traffic.began, run.watching.first_alert),
            seconds=round(time.monotonic() - began, 1),
        ),
    )
    answer(report)
    if choices.keep:
        screen.keep(broker, redis, worker, metrics)
        _stay(worker)
    return report


def _set_up(choices: Choices, screen: Screen, stack: ExitStack) -> tuple[Broker, RedisServer, WorkerProcess]:
    """Start the services, or look at the user's; install a worker for them and create its topics."""
    broker = stack.enter_context(open_broker(choices.broker, screen.say))
    redis = stack.enter_context(open_redis(choices.redis_url, screen.say))
    worker = stack.enter_context(
        installed(broker, redis, metrics_port=choices.metrics_port, insecure=choices.insecure)
    )
    if redis.foreign:
        require_redis(worker.settings).close()
    broker.create_topics(worker.settings)
    stack.enter_context(returned_clean(broker, redis, worker.settings, screen.say))
    return broker, redis, worker


def _sending(
    story: Story, events: Iterator[Event], worker: WorkerProcess, screen: Screen, stack: ExitStack
) -> _Run:
    """Begin to read what the worker says, then to send."""
    watching = stack.enter_context(Watching(worker.settings, on_alert=screen.alert))
    traffic = Traffic(worker.settings, story, events, evaluated_ms=lambda: watching.evaluated_ms)
    return _Run(story, screen, worker, stack.enter_context(traffic), watching)


def _stay(worker: WorkerProcess) -> NoReturn:
    """Wait for Ctrl-C, or for the worker to break."""
    while True:
        worker.check()
        time.sleep(_TICK_SECONDS)


def _between(began: float | None, ended: float | None) -> float | None:
    return None if began is None or ended is None else round(ended - began, 2)
