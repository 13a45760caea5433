"""A pipeline under test: its configuration and topics, its workers as processes, and what they publish.

Everything is read from outside, as a user would: plain consumers, keys of Redis, the endpoint, exit codes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import yaml
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from redis import Redis

from detectors import Reference
from stream.embedded import EmbeddedKafka

T = TypeVar("T")
STARTED = re.compile(r'worker started .*metrics="http://([^"/]+)/metrics"')


def eventually(condition: Callable[[], T], what: str | Callable[[], object], *, timeout_s: float = 60.0) -> T:
    """The first true value of ``condition``; fails with ``what`` when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.05)
    return value


def synthetic_reference(model: str = "m", version: str = "v1", *, seed: int = 7, **more: Any) -> Reference:
    """A model with a numeric and a categorical feature; ``labels=True`` adds a label."""
    rng = np.random.default_rng(seed)
    n = 4_000
    columns: dict[str, Any] = {
        "x": rng.normal(size=n),
        "c": rng.choice(["a", "b"], size=n, p=[0.7, 0.3]).tolist(),
    }
    if more.pop("labels", False):
        columns["y"] = rng.choice(["no", "yes"], size=n, p=[0.8, 0.2]).tolist()
        more["label"] = "y"
    return Reference.build(columns, window_rows=200, model=model, version=version, outputs=(), **more)


def labelled_reference() -> Reference:
    """A model that is scored and labelled, without features."""
    rng = np.random.default_rng(7)
    score = rng.uniform(size=4_000)
    columns = {
        "score": score,
        "said": np.where(score > 0.5, "yes", "no").tolist(),
        "y": np.where(rng.uniform(size=4_000) < score, "yes", "no").tolist(),
    }
    return Reference.build(columns, window_rows=200, label="y", prediction="said", model="m", version="v1")


@dataclass
class WorkerProcess(AbstractContextManager["WorkerProcess"]):
    """A ``driftstream worker`` of its own process group; killed at the end of the context."""

    arguments: list[str]
    log_path: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start, or start again after an end; the log goes on."""
        self.note_start()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )

    def note_start(self) -> None:
        """Remember where the log of the start that comes now begins."""
        self._before = self.log_path.stat().st_size if self.log_path.exists() else 0

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def new_log(self) -> str:
        """The log since the newest start."""
        return self.log_path.read_bytes()[self._before :].decode(errors="replace")

    def url(self, path: str, *, timeout_s: float = 60.0) -> str:
        """Address of the endpoint of the newest start."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log
            return STARTED.search(self.new_log)

        return f"http://{eventually(found, 'the worker to start', timeout_s=timeout_s)[1]}{path}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the endpoint; status 0 while it does not answer."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def await_ready(self, *, timeout_s: float = 90.0) -> None:
        eventually(lambda: self.get("/readyz")[0] == 200, "the worker to be ready", timeout_s=timeout_s)

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def stop(self, number: int = signal.SIGTERM, *, timeout_s: float = 60.0) -> int:
        """Send the signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def __exit__(self, *_: object) -> None:
        self.kill()


class Reader:
    """A plain consumer of a whole topic, from its start; keeps every record it has seen."""

    def __init__(self, servers: str, topic: str) -> None:
        self.records: list[Message] = []
        self._consumer = Consumer(
            {"bootstrap.servers": servers, "group.id": f"reader-{uuid.uuid4().hex}", "log_level": 0}
        )
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])

    def poll(self) -> list[Message]:
        """Take in what is there; every record so far."""
        while records := self._consumer.consume(500, 0.1):
            self.records += [record for record in records if record.error() is None]
        return self.records

    def close(self) -> None:
        self._consumer.close()


def values(records: Iterable[Message]) -> list[dict[str, Any]]:
    """The JSON of records."""
    return [json.loads(record.value() or b"null") for record in records]


def header(record: Message, name: str) -> str:
    """One header as text."""
    return next(bytes(value).decode() for key, value in record.headers() or [] if key == name)


class Pipeline(AbstractContextManager["Pipeline"]):
    """Topics, configuration and processes of one test; ends all of them.

    Parameters
    ----------
    settings
        Sections laid over those written here.
    """

    def __init__(
        self,
        directory: Path,
        kafka: EmbeddedKafka,
        redis_url: str,
        *,
        references: Mapping[str, list[Reference | Path]],
        partitions: int = 8,
        dead_letter_bytes: int = 8_388_608,
        **settings: Mapping[str, Any],
    ) -> None:
        self.directory, self.kafka, self.redis_url = directory, kafka, redis_url
        self.partitions = partitions
        token = uuid.uuid4().hex[:8]
        names = ("inference", "labels", "alerts", "metrics", "actions", "panes")
        self.topics = {name: f"{name}-{token}" for name in names}
        self.prefix = f"ds-{token}"
        scaling = {self.topics[name]: partitions for name in ("inference", "labels", "panes")}
        dead = {f"{self.topics[name]}.dlq": 1 for name in ("inference", "labels")}
        outputs = {self.topics[name]: 1 for name in ("alerts", "metrics", "actions")}
        kafka.create_topics({**scaling, **outputs})
        kafka.create_topics(dead, {"max.message.bytes": str(dead_letter_bytes)})
        self.config = directory / "driftstream.yaml"
        self.configure(references, **settings)
        self._entered: list[AbstractContextManager[Any]] = []
        self._readers: list[Reader] = []

    def configure(
        self, references: Mapping[str, list[Reference | Path]], **settings: Mapping[str, Any]
    ) -> None:
        """Write the configuration and the references beside it."""
        document: dict[str, Any] = {
            "kafka": {"bootstrap.servers": self.kafka.bootstrap_servers},
            "redis": {"url": self.redis_url, "prefix": self.prefix},
            "topics": self.topics,
            "consumer": {"group": f"workers-{self.prefix}", "session_timeout": "6s"},
            "time": {"out_of_orderness": "1s", "idle_after": "2s"},
            "metrics": {"port": 0},
            "defaults": {"window": "10s", "slide": "10s", "grace": "0s"},
            "models": {
                model: {"references": [self._reference_file(each) for each in given]}
                for model, given in references.items()
            },
        }
        for section, given in settings.items():
            document[section] = {**document.get(section, {}), **given}
        self.config.write_text(yaml.safe_dump(document, sort_keys=False))

    def _reference_file(self, reference: Reference | Path) -> str:
        if isinstance(reference, Path):
            return str(reference)
        name = f"{reference.model}-{reference.version}.json"
        (self.directory / name).write_text(reference.to_json())
        return name

    # ---- processes

    def worker(self, *options: str, name: str = "worker") -> WorkerProcess:
        """Start a worker."""
        arguments = ["worker", "--config", str(self.config), *options]
        worker = WorkerProcess(arguments, self.directory / f"{name}.log")
        self._entered.append(worker)
        return worker

    def ready_worker(self, *options: str, name: str = "worker") -> WorkerProcess:
        """Start a worker and wait until it is ready."""
        worker = self.worker(*options, name=name)
        worker.await_ready()
        return worker

    def __exit__(self, *_: object) -> None:
        for each in self._entered:
            each.__exit__(None, None, None)
        for reader in self._readers:
            reader.close()

    # ---- Kafka

    def reader(self, topic: str) -> Reader:
        """A plain consumer of one of our topics (by its role), or of its dead letters (``inference.dlq``)."""
        role, dot, suffix = topic.partition(".")
        reader = Reader(self.kafka.bootstrap_servers, self.topics[role] + dot + suffix)
        self._readers.append(reader)
        return reader

    def producer(self) -> Producer:
        """A producer that acknowledges everything."""
        return Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 2_000_000,
                "message.max.bytes": 8_388_608,
                "log_level": 0,
            }
        )

    # ---- Redis

    def cursors(self, role: str = "inference") -> dict[int, dict[str, int]]:
        """What Redis holds of every partition: epoch, offset, watermark, totals."""
        with Redis.from_url(self.redis_url) as client:
            held = {
                partition: client.hgetall(f"{self.prefix}:{{{self.topics[role]}:{partition}}}:cursor")
                for partition in range(self.partitions)
            }
        return {
            partition: {name.decode(): int(value) for name, value in stored.items() if name != b"gaps"}
            for partition, stored in held.items()
        }

    def total(self, name: str, role: str = "inference") -> int:
        """One of the exact totals kept beside the offsets, over all partitions."""
        return sum(cursor.get(name, 0) for cursor in self.cursors(role).values())


def send(producer: Producer, topic: str, events: Iterable[tuple[int, bytes]]) -> int:
    """Produce (partition, value) pairs and wait until all are acknowledged; how many."""
    failures: list[object] = []

    def report(error: object, _: object) -> None:
        if error is not None:
            failures.append(error)

    sent = 0
    for partition, value in events:
        producer.produce(topic, value, partition=partition, on_delivery=report)
        sent += 1
        if sent % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    assert not failures
    return sent


def last_revisions(records: Iterable[Message], source: str = "inference") -> dict[int, dict[str, Any]]:
    """The newest revision of every window, by the window's start."""
    windows: dict[int, dict[str, Any]] = {}
    for record in values(records):
        if record["source"] != source:
            continue
        held = windows.get(record["window_start_ms"])
        if held is None or record["revision"] >= held["revision"]:
            windows[record["window_start_ms"]] = record
    return windows
