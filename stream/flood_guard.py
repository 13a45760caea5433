"""The circuit breaker at work: pauses topics that are flooded, tells of it once, and lets them go again.

The alert goes through the outbox of a partition, in the commit of its counts: a crash repeats it with the
same id and never loses it. Its identity is the topic and the moment that the first worker noticed, which all
workers share by :class:`FloodRegister`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

import redis
from confluent_kafka import Consumer, TopicPartition

from stream.alerts import AlertRoute, dead_letter_flood
from stream.assignment import Assignment
from stream.flood import FloodGate, FloodPolicy
from stream.flood_register import FloodRegister
from stream.messages import Message
from stream.metrics import Metrics
from stream.ownership import OwnedPartition

log = logging.getLogger(__name__)
LOOK_EVERY_MS = 5_000
RETRY_MS = 1_000


class FloodGuard:
    """Guards every input topic of one worker; used from the ingest thread only."""

    def __init__(
        self,
        policy: FloodPolicy,
        topics: Iterable[str],
        *,
        consumer: Consumer,
        assignment: Assignment,
        register: FloodRegister,
        metrics: Metrics,
        alerts: AlertRoute,
    ) -> None:
        self._policy = policy
        self._gates = {topic: FloodGate(policy) for topic in topics}
        self._consumer = consumer
        self._assignment = assignment
        self._register = register
        self._metrics = metrics
        self._alerts = alerts
        self._halted: dict[str, int] = {}  # topic: hand-over of partitions since which all of it is paused
        self._told: dict[str, int] = {}  # topic: since when, as our alert says
        self._ending: dict[str, tuple[OwnedPartition, Message]] = {}
        self._unsent: dict[str, tuple[OwnedPartition, Message]] = {}
        self._seen: list[bool] = []
        self._next_ms = 0

    # ---- asked by the ingest

    def saw(self, topic: str, records: int, rejected: Mapping[str, int]) -> None:
        """Count a batch of a topic; ``rejected`` by reason."""
        self._gates[topic].saw(_now_ms(), records, rejected)

    def paused(self, topic: str) -> bool:
        """Whether the topic's partitions are paused by us: they are neither idle nor to be resumed."""
        return topic in self._halted

    def limit(self, batch: int) -> int:
        """How many records to gather: few while a topic is probed."""
        probing = any(gate.probing for gate in self._gates.values())
        return min(batch, self._policy.probe_records) if probing else batch

    def trouble(self) -> str | None:
        """What /readyz should say; None while everything flows."""
        paused = sorted(topic for topic, gate in self._gates.items() if gate.flooding and self._policy.pauses)
        if not paused:
            return None
        names = ", ".join(paused)
        return f"intake of {names} is paused, most of it is rejected: see docs/runbooks/dead_letter_flood.md"

    def turn(self) -> None:
        """Let time pass, pause and resume, and tell; once a turn of the loop while commits are taken."""
        now = _now_ms()
        for topic, gate in self._gates.items():
            gate.look(now)
            self._steer(topic, gate)
        seen = [gate.flooding for gate in self._gates.values()]
        if now < self._next_ms and seen == self._seen:
            return
        self._seen = seen
        self._next_ms = now + (RETRY_MS if self._unsent else LOOK_EVERY_MS)
        try:
            for topic, gate in self._gates.items():
                self._tell(topic, gate)
        except redis.RedisError as exc:
            self._next_ms = now + RETRY_MS
            log.warning('flood register unavailable reason="%s"', exc)

    # ---- intake

    def _steer(self, topic: str, gate: FloodGate) -> None:
        """Pause or resume the topic's partitions, those that came to us meanwhile too."""
        generation = self._assignment.generation
        if gate.paused and self._halted.get(topic) != generation:
            self._consumer.pause(self._places(topic))
            if topic not in self._halted:
                records, rejected = gate.judged
                log.log(
                    logging.INFO if topic in self._told else logging.ERROR,  # a probe found it going on
                    'flood of bad records, intake paused topic="%s" rejected="%s" records="%s"',
                    topic,
                    rejected.total(),
                    records,
                )
            self._halted[topic] = generation
        elif not gate.paused and self._halted.pop(topic, None) is not None:
            for owned in self._assignment:  # not polled while paused: it was not quiet, it was not looked at
                if owned.topic == topic:
                    owned.quiet_since_ms = _now_ms()
            self._consumer.resume(self._places(topic))
            log.info('intake probed topic="%s"', topic)

    def _places(self, topic: str) -> list[TopicPartition]:
        return [at for at in self._assignment.positions() if at.topic == topic]

    # ---- alerts

    def _tell(self, topic: str, gate: FloodGate) -> None:
        self._metrics.flooded(topic, is_flooded=gate.flooding)
        now_ms = time.time_ns() // 1_000_000
        self._resend(topic)
        if gate.flooding:
            since = self._register.join(topic, now_ms)
            if self._told.get(topic) != since and self._send(topic, "firing", since, now_ms):
                self._told[topic] = since
            return
        if self._told.pop(topic, None) is not None:
            self._register.leave(topic)
            log.info('flood of bad records is over topic="%s"', topic)
        if topic in self._ending:
            if self._landed(*self._ending[topic]):
                del self._ending[topic]
                self._register.forget(topic)
            return
        since_ended = self._register.over(topic, now_ms)
        if since_ended is not None and self._send(topic, "resolved", since_ended, now_ms):
            self._ending[topic] = self._unsent[topic]

    def _send(self, topic: str, status: str, since_ms: int, now_ms: int) -> bool:
        """Give the alert to the outbox of one of our partitions; False while we have none."""
        carrier = next((owned for owned in self._assignment if owned.topic == topic), None)
        if carrier is None:
            return False
        records, rejected = self._gates[topic].judged
        alert = dead_letter_flood(
            topic=topic,
            status=status,
            since_ms=since_ms,
            ended_ms=now_ms if status == "resolved" else None,
            records=records,
            rejected=rejected,
            is_paused=self._policy.pauses,
        )
        message = alert.to_message(self._alerts)
        carrier.messages.append(message)
        self._unsent[topic] = (carrier, message)
        self._metrics.alert(alert.kind, status)
        return True

    def _resend(self, topic: str) -> None:
        """Give an alert to another partition when its own left us before the commit."""
        carrier, message = self._unsent.get(topic, (None, None))
        if carrier is None or message is None:
            return
        if self._assignment.get(carrier.topic, carrier.partition) is carrier:
            if self._landed(carrier, message):
                del self._unsent[topic]
            return
        other = next((owned for owned in self._assignment if owned.topic == topic), None)
        if other is not None:
            other.messages.append(message)
            self._unsent[topic] = (other, message)
            if topic in self._ending:
                self._ending[topic] = (other, message)

    def _landed(self, carrier: OwnedPartition, message: Message) -> bool:
        ours = self._assignment.get(carrier.topic, carrier.partition) is carrier
        return ours and all(each is not message for each in carrier.messages)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
