"""One worker process: ingest and learning in threads, evaluation in the main one, one endpoint for all."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import Literal

import redis
from confluent_kafka import Consumer, Producer
from prometheus_client import CollectorRegistry

from stream import crash_points
from stream.agents import AgentSpec, EvaluationAgents
from stream.alerts import AlertRoute
from stream.assignment import Assignment
from stream.codec import REASONS
from stream.codec.engine import chosen
from stream.commit import Committer
from stream.errors import DriftstreamError
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.faust_credentials import faust_credentials
from stream.flood_guard import FloodGuard
from stream.flood_register import FloodRegister
from stream.ingest import Ingest, Source
from stream.kafka_config import consumer_config, producer_config
from stream.learning.sightings import LearningMetrics
from stream.learning.step import LearningStep
from stream.learning.store import LearningStore
from stream.metrics import Metrics
from stream.outcomes.journals import journal_watch
from stream.outcomes.plans import joined_models
from stream.outcomes.sending import OutcomeJoin
from stream.plans import (
    ReferencesByVersion,
    flood_policy,
    ingest_spec,
    learning_models,
    model_plans,
    sources_of,
    topics_by_source,
    windows_of,
)
from stream.preflight import redis_client, require_redis, require_topics
from stream.presence import Presence
from stream.progress import Health, LookProgress
from stream.settings.configuration import Settings
from stream.settings.environment import read_environment
from stream.sinks import KafkaSink
from stream.store_redis import RedisStore
from stream.transport import require_private
from stream.web import serve

log = logging.getLogger(__name__)
log_client = logging.getLogger("librdkafka")
Stage = Literal["ingest", "evaluate"]
REDIS_TIMEOUT_S = 10.0
GC_THRESHOLD = 100_000
SWITCH_S = 0.0001
"""How long a thread that has heard from Redis waits for the interpreter while another one computes. Python's
5 ms, at each round trip of the evaluation, were most of an alert's way."""
FOLD_EVERY_MS = 1_000


class Worker:
    """Runs the stages of one process until a signal or a failure.

    Parameters
    ----------
    references
        Of files, by (model, version), the newest version of a model last.
    only
        Run one stage; None runs both.
    """

    def __init__(
        self, settings: Settings, references: ReferencesByVersion, *, only: Stage | None = None
    ) -> None:
        self.settings = settings
        self.references = references
        self.only = only
        self.health = Health()
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        topics = topics_by_source(settings)
        self.metrics = Metrics(
            registry=CollectorRegistry(),
            models=tuple(settings.models),
            topics=tuple(topics.values()),
            reasons=REASONS,
            top_features=settings.metrics.top_features,
        )
        self.metrics.build(version("driftstream"))
        for source, topic in topics.items():
            self.metrics.carries(topic, source)
        self._joined = joined_models(settings)
        self._stopping = threading.Event()
        self._ingest: Ingest | None = None
        self._looks = LookProgress()
        self._learning: LearningStep | None = None

    # ---- life

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then commit, publish and leave the groups.

        Raises
        ------
        DriftstreamError
            A dependency cannot be used; or a stage broke, so that a supervisor starts the worker again.
        """
        crash_points.arm(read_environment())
        require_redis(self.settings).close()
        partitions = require_topics(self.settings)
        require_private(self.settings, "metrics")
        signal.signal(signal.SIGTERM, self._signalled)
        signal.signal(signal.SIGINT, self._signalled)
        endpoint = serve(
            self.metrics.registry,
            livez=self.health.livez,
            readyz=self.readyz,
            host=self.settings.metrics.host,
            port=self.settings.metrics.port,
            token=self._token(),
        )
        panes_partitions, prefix = partitions[self.settings.topics.panes], self.settings.redis.prefix
        watch = journal_watch(prefix, self._joined, self.metrics.performance.waiting)
        with (
            endpoint as at,
            Presence(self._redis(), prefix, self.name, self._about(at.port), watch=watch),
        ):
            log.info('worker started name="%s" metrics="http://%s:%s/metrics"', self.name, at.host, at.port)
            log.info('records are decoded by decoder="%s"', chosen(self.settings.ingest.decoder))
            if at.port != self.settings.metrics.port != 0:
                log.warning(
                    'metrics port is taken wanted="%s" serving="%s"', self.settings.metrics.port, at.port
                )
            with self._learns(), self._ingesting(panes_partitions):
                self._evaluate(panes_partitions)
        if self.health.failure is not None:
            raise self.health.failure
        log.info("worker stopped")

    def _token(self) -> str | None:
        token = self.settings.metrics.token
        return None if token is None else token.get_secret_value()

    def _about(self, port: int) -> dict[str, str]:
        return {
            "stage": self.only or "both",
            "metrics": f"{self.settings.metrics.host}:{port}",
            "started_ms": str(time.time_ns() // 1_000_000),
        }

    def _signalled(self, number: int, _: object) -> None:
        if self._stopping.is_set():
            os._exit(1)  # a second signal: leave at once; what is not committed is counted again
        log.info('stopping signal="%s"', signal.Signals(number).name)
        self.stop()

    def stop(self) -> None:
        """Ask every stage to end."""
        self._stopping.set()
        if self._ingest is not None:
            self._ingest.stop()

    def readyz(self) -> tuple[bool, str]:
        """Whether events are counted and windows evaluated: both groups joined, and what waits goes on."""
        alive, detail = self.health.livez()
        if alive and self._ingest is not None:
            alive, detail = self._ingest.readiness()
        if alive and self.only != "ingest":
            evaluated, why = self._looks.readiness()
            alive, detail = evaluated, detail if evaluated else why
        self.metrics.ready(is_ready=alive)
        return alive, detail

    # ---- parts

    def _redis(self) -> redis.Redis:
        return redis_client(self.settings, timeout_s=REDIS_TIMEOUT_S)

    def _store(self) -> RedisStore:
        return RedisStore(
            self._redis(), prefix=self.settings.redis.prefix, max_unknown=self.settings.limits.models
        )

    def _sink(self) -> KafkaSink:
        return KafkaSink(Producer(producer_config(self.settings), logger=log_client))

    def _route(self) -> AlertRoute:
        return AlertRoute(self.settings.topics.alerts, self.settings.alerts.runbook_base_url)

    @contextmanager
    def _learns(self) -> Iterator[None]:
        models = tuple(sorted(learning_models(self.settings)))
        if not models:
            yield
            return
        prefix, topics = self.settings.redis.prefix, tuple(topics_by_source(self.settings).values())
        with LearningStep(
            self.settings,
            name=self.name,
            files=self.references,
            stores=(LearningStore(self._redis(), prefix=prefix), self._store()),
            metrics=LearningMetrics(self.metrics.registry, models=models, topics=topics),
        ) as step:
            self._learning = step
            self.references = step.references()
            yield

    def _ingesting(self, panes_partitions: int) -> AbstractContextManager[None]:
        return nullcontext() if self.only == "evaluate" else self._ingest_thread(panes_partitions)

    @contextmanager
    def _ingest_thread(self, panes_partitions: int) -> Iterator[None]:
        ingest = self._ingest = self._build_ingest(panes_partitions)
        if self._learning is not None:
            self._learning.follow(lambda known: ingest.replace(self._sources(known)))
        gc.freeze()  # what is alive now lives for good: keep the collector from walking it
        gc.set_threshold(GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_S)
        thread = threading.Thread(target=self._run_ingest, args=(ingest,), name="ingest")
        thread.start()
        try:
            yield
        finally:
            ingest.stop()
            thread.join()

    def _run_ingest(self, ingest: Ingest) -> None:
        try:
            ingest.run()
        except BaseException as exc:  # a dead thread must end the process, whatever killed it
            self._failed("ingest", exc)

    def _failed(self, stage: str, exc: BaseException) -> None:
        if not isinstance(exc, DriftstreamError):
            log.exception('stage broke stage="%s"', stage, exc_info=exc)
        self.health.failure = self.health.failure or exc
        self._stopping.set()

    def _sources(self, references: ReferencesByVersion) -> list[Source]:
        return sources_of(self.settings, references, self._joined)

    def _build_ingest(self, panes_partitions: int) -> Ingest:
        settings, store, sink = self.settings, self._store(), self._sink()
        consumer = Consumer(consumer_config(settings) | {"enable.partition.eof": True}, logger=log_client)
        committer = Committer(
            store=store,
            sink=sink,
            metrics=self.metrics,
            windows=windows_of(settings),
            panes_topic=settings.topics.panes,
            panes_partitions=panes_partitions,
            join=OutcomeJoin(store.joins, self._joined, joined=self.metrics.performance.joined),
        )
        assignment = Assignment(store=store, consumer=consumer, sink=sink, alerts=self._route())
        floods = FloodGuard(
            flood_policy(settings),
            settings.topics.inputs,
            consumer=consumer,
            assignment=assignment,
            register=FloodRegister(self._redis(), prefix=settings.redis.prefix, worker=self.name),
            metrics=self.metrics,
            alerts=self._route(),
        )
        return Ingest(
            ingest_spec(settings),
            self._sources(self.references),
            consumer=consumer,
            assignment=assignment,
            floods=floods,
            committer=committer,
            metrics=self.metrics,
            beat=lambda: self.health.beat("ingest"),
            sightings=None if self._learning is None else self._learning.sightings,
        )

    def _evaluate(self, panes_partitions: int) -> None:
        if self.only == "ingest":
            self._stopping.wait()
            return
        evaluator = Evaluator(
            EvaluatorSpec(
                sources=topics_by_source(self.settings),
                metrics_topic=self.settings.topics.metrics,
                alerts=self._route(),
                out_of_orderness_ms=self.settings.time.out_of_orderness_ms,
                fold_every_ms=FOLD_EVERY_MS,
            ),
            model_plans(self.settings, self.references),
            store=self._store(),
            sink=self._sink(),
            metrics=self.metrics,
        )
        if self._learning is not None:
            self._learning.follow(lambda known: evaluator.replace(model_plans(self.settings, known)))
        agents = EvaluationAgents(
            self._agent_spec(panes_partitions),
            evaluator,
            beat=lambda: self.health.beat("evaluate"),
            progress=self._looks,
        )
        try:
            asyncio.run(self._serve_agents(agents))
        except Exception as exc:  # the ingest thread must be stopped first, then it is raised
            self._failed("evaluate", exc)

    def _agent_spec(self, panes_partitions: int) -> AgentSpec:
        return AgentSpec(
            group=self.settings.consumer.group,
            broker=self.settings.kafka.bootstrap_servers,
            panes_topic=self.settings.topics.panes,
            panes_partitions=panes_partitions,
            session_timeout_s=self.settings.consumer.session_timeout_ms / 1000,
            credentials=faust_credentials(self.settings),
        )

    async def _serve_agents(self, agents: EvaluationAgents) -> None:
        stopping = asyncio.Event()
        watch = asyncio.create_task(self._watch(stopping))
        try:
            await agents.run(stopping)
        finally:
            self._stopping.set()  # lets the watching thread end, whatever ended the agents
            await watch

    async def _watch(self, stopping: asyncio.Event) -> None:
        await asyncio.to_thread(self._stopping.wait)
        stopping.set()
