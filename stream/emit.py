"""The client for serving code: sends inference and label events without ever holding a request up.

>>> from stream.emit import Emitter
>>> emitter = Emitter(bootstrap_servers="127.0.0.1:9092")
>>> emitter.emit(prediction_id="p-1", model="loan", features={"age": 41}, score=0.7)  # doctest: +SKIP

A field of the wrong type is a mistake in the program and raises :class:`ValueError` at once. Whatever Kafka
does is not: events that do not fit in the queue are dropped and counted, and so are those that could not be
delivered.
For an ASGI application use :mod:`stream.asgi`.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack

import msgspec
from confluent_kafka import KafkaException, Producer

from stream.events import InferenceEvent, LabelEvent, Scalar, Scores

_log = logging.getLogger(__name__)
_ENCODER = msgspec.json.Encoder()
_JSON_TYPES = (str, int, float, bool, type(None))


class Delivery(NamedTuple):
    """What became of the events so far; those in none of the counts are still queued."""

    delivered: int
    failed: int
    dropped: int


class InferenceFields(TypedDict, total=False):
    """The optional fields of an inference event that are not spelled out in :meth:`Emitter.emit`."""

    segments: Mapping[str, str | None]
    variant: str
    measures: Mapping[str, float | None]
    status: str
    error_code: str
    weight: float
    prompt_version: str
    entity_id: str
    trace_id: str


class LabelFields(TypedDict, total=False):
    """The optional fields of a label event."""

    value: float
    feedback: str
    source: str
    supersedes: str


class Emitter:
    """Sends events keyed by prediction id: an event and its label land in partitions of the same number.

    Safe to share between threads, and to create before a process forks: each process connects on its own
    first event. Events wait in a queue of bounded length and 64 MB; when it is full, the newest are dropped.

    Parameters
    ----------
    bootstrap_servers
        Kafka brokers, ``host:port`` separated by commas.
    topic, labels_topic
        Where inference events and labels go.
    queue
        Events that may wait for Kafka in this process.
    close_timeout_ms
        How long :meth:`close`, also at the end of the process, waits for events to be delivered.
    properties
        Further librdkafka properties, for example of TLS and SASL.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topic: str = "inference",
        labels_topic: str = "labels",
        queue: int = 10_000,
        close_timeout_ms: int = 5_000,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        if queue < 1:
            raise ValueError(f"queue is {queue}: give room for at least one event")
        self._topic = topic
        self._labels_topic = labels_topic
        self._close_timeout_ms = close_timeout_ms
        self._kafka = _Kafka({"bootstrap.servers": bootstrap_servers, **(properties or {})}, queue)
        atexit.register(self.close)

    def emit(
        self,
        *,
        prediction_id: str,
        model: str,
        features: Mapping[str, Any] | None = None,
        prediction: Scalar = None,
        score: Scores = None,
        version: str | None = None,
        ts: datetime | float | None = None,
        **more: Unpack[InferenceFields],
    ) -> None:
        """Queue one inference event; ``ts`` (aware datetime or epoch ms) is now by default.

        Numpy scalars are taken as the numbers they are. A NaN feature is sent as missing, an infinite one so
        that it counts as invalid. Never waits.

        Raises
        ------
        ValueError
            When a field has a wrong type or name; the message names it.
        """
        event = {
            "prediction_id": prediction_id,
            "model": model,
            "version": version,
            "ts": _event_time(ts),
            **more,
        }
        event |= {"prediction": _scalar("prediction", prediction), "score": _nested("score", score)}
        event["features"] = _nested("features", features, infinite="Infinity")
        event["measures"] = _nested("measures", more.get("measures"))
        self._send(self._topic, prediction_id, event, InferenceEvent)

    def label(
        self,
        *,
        prediction_id: str,
        model: str,
        label: Scalar,
        ts: datetime | float | None = None,
        **more: Unpack[LabelFields],
    ) -> None:
        """Queue the truth about an earlier prediction; raises like :meth:`emit`, and never waits."""
        event = {"prediction_id": prediction_id, "model": model, "ts": _event_time(ts), **more}
        event |= {"label": _scalar("label", label), "value": _scalar("value", more.get("value"))}
        self._send(self._labels_topic, prediction_id, event, LabelEvent)

    @property
    def delivered(self) -> int:
        """Events that Kafka has acknowledged."""
        return self._kafka.counts.delivered

    @property
    def failed(self) -> int:
        """Events that Kafka refused, or that were not delivered in time."""
        return self._kafka.counts.failed

    @property
    def dropped(self) -> int:
        """Events that found the queue full, or the emitter closed."""
        return self._kafka.counts.dropped

    @property
    def counts(self) -> Delivery:
        """Return the three counts at one moment."""
        return self._kafka.counts

    def flush(self, timeout_ms: int = 5_000) -> int:
        """Wait until the queue is empty, at most ``timeout_ms``; return how many events are left in it."""
        return self._kafka.flush(timeout_ms)

    def close(self) -> None:
        """Deliver what is queued, for a bounded time, and stop. Later events are dropped and counted."""
        atexit.unregister(self.close)
        left = self._kafka.close(self._close_timeout_ms)
        if left:
            _log.warning("%d events were not delivered within %d ms", left, self._close_timeout_ms)

    def __enter__(self) -> Emitter:
        """Return the emitter; leaving the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the emitter."""
        self.close()

    def _send(self, topic: str, key: object, event: Mapping[str, Any], kind: type[msgspec.Struct]) -> None:
        for name in event:
            if name not in kind.__struct_fields__:
                raise ValueError(f"{name} is no field: take one of {', '.join(kind.__struct_fields__)}")
        try:
            checked = msgspec.convert(event, kind)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at ")
            raise ValueError(f"{place.strip('`').removeprefix('$.') or 'event'}: {message}") from None
        self._kafka.send(topic, str(key).encode(), _ENCODER.encode(checked))


def _event_time(ts: datetime | float | None) -> Any:
    if ts is None:
        return time.time_ns() // 1_000_000
    if isinstance(ts, datetime) and ts.tzinfo is None:
        raise ValueError(f"ts: {ts.isoformat()} has no time zone: give an aware datetime or epoch ms")
    return ts


def _nested(name: str, value: Any, *, infinite: str | None = None) -> Any:
    if not isinstance(value, Mapping):
        return _scalar(name, value)
    return {key: _scalar(f"{name}[{key!r}]", given, infinite=infinite) for key, given in value.items()}


def _scalar(name: str, value: Any, *, infinite: str | None = None) -> Any:
    """Return ``value`` as JSON can say it: numpy scalars as Python's own, NaN as null."""
    if type(value) not in _JSON_TYPES and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else infinite
    if type(value) not in _JSON_TYPES:
        raise ValueError(f"{name} is a {type(value).__name__}: give a number, a string, a boolean or None")
    return value


class _Kafka:
    """A producer for each process, made at the first event, and a thread that takes its delivery reports.

    librdkafka's own queue is the bounded one: ``produce`` copies into it, or says at once that it is full.
    """

    def __init__(self, properties: Mapping[str, Any], queue: int) -> None:
        self._properties = {
            "partitioner": "murmur2_random",  # that of the Java client, which may send the labels
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 65_536,
            **properties,
            "queue.buffering.max.messages": queue,
        }
        self._closed = False
        self._start()

    def _start(self) -> None:
        """Forget what a parent process had: its counts, its locks, and its producer without touching it."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._producer: Any = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="driftstream-emit", daemon=True)
        self._delivered = self._failed = self._dropped = 0

    @property
    def counts(self) -> Delivery:
        """The counts of this process."""
        with self._lock:
            return Delivery(self._delivered, self._failed, self._dropped)

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        """Queue one record, or count it as dropped."""
        producer = self._connected()
        try:
            if producer is not None:
                producer.produce(topic, value, key, on_delivery=self._on_delivery)
                return
        except BufferError:
            producer = None
        except KafkaException:  # not for this broker: too large, or a topic of an impossible name
            pass
        with self._lock:
            self._dropped += producer is None
            self._failed += producer is not None

    def flush(self, timeout_ms: int) -> int:
        """Wait for deliveries; return how many events are still queued."""
        if self._producer is None or self._pid != os.getpid():
            return 0
        return int(self._producer.flush(timeout_ms / 1000))

    def close(self, timeout_ms: int) -> int:
        """Flush, stop the thread, refuse later events; return how many were left."""
        self._closed = True
        left = self.flush(timeout_ms)
        if self._pid == os.getpid() and self._thread.is_alive():
            self._stopping.set()
            self._thread.join(timeout=1.0)
        return left

    def _connected(self) -> Any:
        if self._pid != os.getpid():
            if (
                self._producer is not None
            ):  # librdkafka's threads are not in this process: its end would wait for them
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))
            self._start()
        if self._closed or self._producer is not None:
            return None if self._closed else self._producer
        with self._lock:
            if self._producer is None:
                self._producer = self._new_producer()
                self._thread.start()
        return self._producer

    def _new_producer(self) -> Any:
        try:
            return Producer(self._properties, logger=_log)
        except KafkaException as error:
            raise ValueError(f"Kafka properties: {error.args[0].str()}") from None

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)

    def _on_delivery(self, error: object, _message: object) -> None:
        with self._lock:
            self._delivered += error is None
            self._failed += error is not None
