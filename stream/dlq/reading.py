"""Reading the dead-letter topics from their beginning to where they end now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType

from stream.dlq.letters import Letter, Mark, Selection, read_letter
from stream.errors import ConfigError
from stream.learning.kafka_range import RangeReader, Stretch
from stream.settings.configuration import Settings


class DeadLetterLog:
    """The dead-letter topics of the input topics; use it as a context.

    Parameters
    ----------
    topics
        Input topics; all of the configuration unless given.

    Raises
    ------
    ConfigError
        A topic is no input topic.
    """

    def __init__(self, settings: Settings, topics: Sequence[str] = ()) -> None:
        for topic in topics:
            if topic not in settings.topics.inputs:
                inputs = " and ".join(settings.topics.inputs)
                raise ConfigError(f"--topic {topic} is no input topic; those of the configuration: {inputs}")
        self._dlqs = [settings.topics.dlq(topic) for topic in topics or settings.topics.inputs]
        self._reader = RangeReader(settings)

    def __enter__(self) -> DeadLetterLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, value, trace)

    def stretches(self) -> list[Stretch]:
        """Everything that Kafka holds now."""
        return [stretch for dlq in self._dlqs for stretch in self._reader.bounds(dlq)]

    def since(self, stretches: Sequence[Stretch], at_ms: int) -> list[Stretch]:
        """Cut off what was written before ``at_ms``."""
        return self._reader.since(stretches, at_ms)

    def read(self, stretches: Sequence[Stretch]) -> Iterator[Letter | Mark]:
        """Give back letters and marks, of each partition in order; records that are neither are passed over.

        Raises
        ------
        DependencyError
            Kafka stops giving.
        """
        for records in self._reader.read(stretches):
            for record in records:
                found = read_letter(record)
                if found is not None:
                    yield found


def selected(entries: Iterator[Letter | Mark], selection: Selection) -> Iterator[Letter]:
    """Give back the letters that are meant, each id once."""
    seen: set[str] = set()
    for entry in entries:
        if isinstance(entry, Letter) and entry.id not in seen and selection.has(entry):
            seen.add(entry.id)
            yield entry
