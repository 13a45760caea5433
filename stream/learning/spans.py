"""Events of a range of Kafka into a harvest, and the labels of those that it sampled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Message

from stream.learning.kafka_range import RangeReader, Stretch
from stream.learning.labels import LabelHarvest
from stream.learning.sample import Harvest, prediction_ids
from stream.plans import limits_of
from stream.settings.configuration import Settings

BEAT_S = 5.0


def read_range(
    settings: Settings,
    reader: RangeReader,
    stretches: Sequence[Stretch],
    harvest: Harvest,
    *,
    since_ms: int,
    unless: Callable[[], bool] = lambda: False,
    beat: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Read events into ``harvest``; give back the labels of the sampled ones, by model and prediction id.

    Parameters
    ----------
    since_ms
        Labels recorded before are not looked at: none was given before its prediction.
    unless
        Ends the reading early: what has been read by then is of no use.
    beat
        Called every few seconds while there are records.

    Raises
    ------
    DependencyError
        Kafka does not give what is asked for.
    """
    _read(reader, stretches, harvest.take, unless, beat)
    topic = settings.topics.labels
    if topic is None or unless():
        return {}
    wanted: dict[str, set[str]] = {}
    for (model, _), sample in harvest.samples.items():
        wanted.setdefault(model, set()).update(prediction_ids(sample.events()))
    found = LabelHarvest(wanted, limits=limits_of(settings))
    _read(reader, reader.since(reader.bounds(topic), since_ms), found.take, unless, beat)
    return {model: found.of(model) for model in wanted}


def _read(
    reader: RangeReader,
    stretches: Sequence[Stretch],
    take: Callable[[list[bytes | None], list[int]], None],
    unless: Callable[[], bool],
    beat: Callable[[], None],
) -> None:
    last = time.monotonic()
    for records in reader.read(stretches, unless=unless):
        take([record.value() for record in records], list(map(_record_ms, records)))
        if time.monotonic() - last > BEAT_S:
            last = time.monotonic()
            beat()


def _record_ms(record: Message) -> int:
    return int(record.timestamp()[1])
