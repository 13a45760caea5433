"""What should come out: the stream evaluated by one thread, in memory, without services, groups or faults.

It reads the configuration and the references that the workers read, and runs the core on a
:class:`stream.store_memory.MemoryStore`. The counts are checked against the ledger besides, which knows
nothing of the core.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from stream.alerts import AlertRoute
from stream.commit import Committer
from stream.evaluator import Evaluator, EvaluatorSpec
from stream.ingest import Source
from stream.messages import Message, read_notices
from stream.metrics import Metrics
from stream.ownership import OwnedPartition, Start, take_over
from stream.plans import model_plans, sources_of, topics_by_source, windows_of
from stream.settings.configuration import load_settings
from stream.sinks_memory import ListSink
from stream.store_memory import MemoryStore
from tests.faults.traffic import Sent


class _Still:
    """A clock that closes nothing."""

    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0


class Oracle:
    """Feed it what was sent, in the order of each partition; ``records`` and ``alerts`` grow by id.

    Parameters
    ----------
    config
        The configuration file of the workers.
    """

    def __init__(self, config: Path, *, partitions: int) -> None:
        settings = load_settings(config)
        references = settings.references()
        self._topics = topics_by_source(settings)
        self._store, self._sink = MemoryStore(), ListSink()
        metrics = Metrics(registry=CollectorRegistry(), models=tuple(settings.models))
        self._committer = Committer(
            store=self._store,
            sink=self._sink,
            metrics=metrics,
            windows=windows_of(settings),
            panes_topic="panes",
            panes_partitions=1,
        )
        self._oo_ms = settings.time.out_of_orderness_ms
        self._sources = {source.topic: source for source in sources_of(settings, references, {})}
        self._owned = {
            (topic, partition): self._claimed(topic, partition)
            for topic in self._topics.values()
            for partition in range(partitions)
        }
        for topic in self._topics.values():
            self._store.declare_topic(topic, partitions)
        self._metrics_topic = settings.topics.metrics
        spec = EvaluatorSpec(
            sources=self._topics,
            metrics_topic=self._metrics_topic,
            alerts=AlertRoute(settings.topics.alerts, settings.alerts.runbook_base_url),
        )
        self._evaluator = Evaluator(
            spec,
            model_plans(settings, references),
            store=self._store,
            sink=self._sink,
            metrics=metrics,
            clock=_Still(),
        )
        self._evaluator.own(settings.models)
        self._newest_ms = 2_000_000_000_000
        self.records: dict[str, bytes] = {}
        self.alerts: dict[str, bytes] = {}
        self.rejected = 0

    def _claimed(self, topic: str, partition: int) -> OwnedPartition:
        claim = self._store.claim(topic, partition)
        return take_over(claim, Start(0, 0), topic=topic, partition=partition, sink=self._sink)

    def feed(self, sent: Sequence[Sent]) -> None:
        """Count the records and evaluate what they close."""
        by_topic: dict[str, list[Sent]] = defaultdict(list)
        for each in sent:
            by_topic[self._topics[each.role]].append(each)
        for topic, records in by_topic.items():
            self._count(self._sources[topic], records)
        self._evaluate()

    def _count(self, source: Source, records: Sequence[Sent]) -> None:
        present = sorted({each.partition for each in records})
        owned = [self._owned[source.topic, partition] for partition in present]
        at = np.searchsorted(present, [each.partition for each in records]).astype(np.intp)
        decoded = source.decoder.decode([each.value for each in records], [0] * len(records))
        counted = source.counter.count(
            decoded, at, [each.intake.watermark_ms for each in owned], newest_ms=self._newest_ms
        )
        self.rejected += len(counted.rejected)
        for each, delta, rows in zip(owned, counted.deltas, np.bincount(at).tolist(), strict=True):
            self._committer.take(each, delta, out_of_orderness_ms=self._oo_ms)
            each.position += rows
        assert self._committer.commit(owned) == []

    def _evaluate(self) -> None:
        looking = True
        while looking:
            for message in self._sink.take():
                self._sort(message)
            looking = self._evaluator.look() > 0
        for message in self._sink.take():
            self._sort(message)

    def _sort(self, message: Message) -> None:
        headers = dict(message.headers)
        if message.topic == "panes":
            for notice in read_notices(message.value or b""):
                self._evaluator.take(notice)
        elif message.topic == self._metrics_topic:
            self.records[headers["id"].decode()] = message.value or b""
        else:
            self.alerts[headers["ce_id"].decode()] = message.value or b""

    def windows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The newest revision of every window record, by model and start."""
        return newest(json.loads(value) for value in self.records.values())


def newest(records: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """The newest revision of every window of inference events, by model and start."""
    windows: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        if record["source"] != "inference":
            continue
        key = (record["model"], record["window_start_ms"])
        if key not in windows or record["revision"] >= windows[key]["revision"]:
            windows[key] = record
    return windows
