"""Replay of dead letters: each record goes back to its topic once, however often and wherever this is killed.

One Kafka transaction holds some records *and* the marks that say so, in the dead-letter topic itself. Either
both are there or neither, for readers of committed data, and the ingest is one. A replay reads the marks
after it has fenced whoever replayed before, so it sees everything that was ever replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from stream.dlq.letters import MARK, REPLAY_ID, Letter, Mark, Selection
from stream.dlq.reading import DeadLetterLog, selected
from stream.errors import DependencyError
from stream.kafka_config import producer_config
from stream.settings.configuration import Settings
from stream.sinks import PARTITION_UA

log_client = logging.getLogger("librdkafka")
BATCH = 500
TIMEOUT_S = 30.0
TRANSACTION_MS = 15_000
"""A transaction left open by a kill holds readers of its partitions back no longer than this."""

_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)  # noqa: SLF001  # the client's spelling


@dataclass
class Tally:
    """What a replay did, in letters; ``cut`` ones hold only the beginning of their record."""

    replayed: int = 0
    before: int = 0
    cut: int = 0


class Replay:
    """Replays the letters of one input topic.

    Parameters
    ----------
    partitions
        Of the input topic: a record goes to the one that it was in.

    Raises
    ------
    DependencyError
        Kafka does not take transactions from us.
    """

    def __init__(self, settings: Settings, topic: str, *, partitions: int) -> None:
        self.topic = topic
        self._partitions = partitions
        self._failures: list[KafkaError] = []
        config: dict[str, Any] = {
            **producer_config(settings),
            "transactional.id": f"driftstream-replay-{settings.topics.dlq(topic)}",
            "transaction.timeout.ms": TRANSACTION_MS,
        }
        self._producer = Producer(config, logger=log_client)
        self._transact("begin", lambda: self._producer.init_transactions(TIMEOUT_S))

    def run(self, log: DeadLetterLog, selection: Selection, *, limit: int | None = None) -> Iterator[Tally]:
        """Replay what is selected and not replayed yet; the tally so far after each transaction."""
        tally = Tally()
        wanted = islice(_sendable(log, selection, tally), limit)
        while letters := list(islice(wanted, BATCH)):
            self._send(letters)
            tally.replayed += len(letters)
            yield tally
        yield tally

    def _send(self, letters: Sequence[Letter]) -> None:
        self._failures.clear()
        self._transact("begin", self._producer.begin_transaction)
        try:
            for letter in letters:
                self._produce(letter)
            self._transact("commit", lambda: self._producer.commit_transaction(TIMEOUT_S))
        except (DependencyError, BufferError, KafkaException) as exc:
            self._abort()
            if self._failures:
                reason = self._failures[0].str()
                raise DependencyError(f"topic {self.topic}: a record was refused: {reason}") from exc
            raise

    def _produce(self, letter: Letter) -> None:
        place = letter.partition if letter.partition < self._partitions else PARTITION_UA
        self._producer.produce(
            self.topic,
            value=letter.value,
            key=letter.key,
            headers=replay_headers(letter),
            on_delivery=self._delivered,
            partition=place,
            timestamp=max(letter.recorded_ms, 0),  # 0: now
        )
        mark: list[tuple[str, str | bytes | None]] = [(MARK, letter.id.encode())]
        self._producer.produce(
            letter.dlq, headers=mark, partition=letter.dlq_partition, on_delivery=self._delivered
        )
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failures.append(error)

    def _transact(self, step: str, call: Callable[[], object]) -> None:
        """Take a step of a transaction, again while Kafka asks for it.

        Raises
        ------
        DependencyError
            It cannot be taken. What was not committed was not replayed.
        """
        for _ in range(3):
            try:
                call()
            except KafkaException as exc:
                error = exc.args[0]
                if error.retriable():
                    continue
                raise self._failed(step, error) from exc
            return
        raise DependencyError(f"topic {self.topic}: Kafka does not {step} the replay; run it again")

    def _failed(self, step: str, error: KafkaError) -> DependencyError:
        if error.code() in _FENCED:  # the client's spelling
            return DependencyError(f"topic {self.topic}: another replay has taken over; wait for it")
        return DependencyError(
            f"topic {self.topic}: Kafka does not {step} the replay: {error.str()}; run it again, "
            "what was replayed is skipped"
        )

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(TIMEOUT_S)
        except KafkaException as exc:  # Kafka ends it by itself after TRANSACTION_MS
            log_client.warning('replay not aborted reason="%s"', exc)


def preview(log: DeadLetterLog, selection: Selection, *, limit: int | None = None) -> Tally:
    """Return what a replay would do now; nothing is sent."""
    tally = Tally()
    tally.replayed = sum(1 for _ in islice(_sendable(log, selection, tally), limit))
    return tally


def _sendable(log: DeadLetterLog, selection: Selection, tally: Tally) -> Iterator[Letter]:
    """Give back what is selected, whole and not replayed yet; the others are tallied."""
    stretches = log.stretches()
    done = {entry.id for entry in log.read(stretches) if isinstance(entry, Mark)}
    for letter in selected(log.read(stretches), selection):
        if letter.id in done:
            tally.before += 1
        elif letter.is_cut:
            tally.cut += 1
        else:
            yield letter


def replay_headers(letter: Letter) -> list[tuple[str, str | bytes | None]]:
    """Return the headers of a replayed record: its own, and the id of its letter."""
    kept: list[tuple[str, str | bytes | None]] = [each for each in letter.headers if each[0] != REPLAY_ID]
    return [*kept, (REPLAY_ID, letter.id.encode())]
