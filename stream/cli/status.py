"""``driftstream status``: which workers live, how far they are, and what they last decided."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from stream.settings.configuration import Settings
    from stream.status import Status


def status(
    config: ConfigOption = None, *, insecure: InsecureOption = False, output: OutputOption = Output.TEXT
) -> None:
    """Show workers, input partitions, verdicts, incidents, performance, and models that nobody configured.

    Reads Redis, and the end offsets from Kafka: without Kafka lags are unknown. Changes nothing. Exits with 3
    when Redis cannot be reached.
    """
    from stream.cli.status_output import as_text
    from stream.settings.configuration import load_settings

    found = _read(load_settings(config, insecure=insecure))
    if output is Output.JSON:
        print_json(_plain(found))
    else:
        typer.echo(as_text(found))


def _read(settings: Settings) -> Status:
    """Read the status; raise DependencyError when Redis does not serve it."""
    from redis.exceptions import RedisError

    from stream.end_offsets import topic_bounds
    from stream.errors import DependencyError
    from stream.preflight import read_facts, redis_client
    from stream.status_reader import StatusReader, read_status

    topics = settings.topics.inputs
    with redis_client(settings) as client:
        read_facts(settings, client)
        reader = StatusReader(client, prefix=settings.redis.prefix)
        try:
            places = [(topic, p) for topic in topics for p in range(reader.partitions(topic))]
            bounds, kafka = {}, None
            try:
                bounds = topic_bounds(settings, places)
            except DependencyError as exc:
                kafka = str(exc)
            specs = [settings.model_spec(name) for name in settings.models]
            learning = {spec.name: spec.learn_ms for spec in specs if spec.learn_ms is not None}
            return read_status(
                reader,
                topics=topics,
                models=settings.models,
                bounds=bounds,
                learning=learning,
                kafka=kafka,
            )
        except RedisError as exc:
            reason = str(exc).partition("\n")[0]
            raise DependencyError(f"Redis stopped answering: {reason}; ask again when it is back") from exc


def _plain(found: Status) -> dict[str, Any]:
    """Plain values, with the sums of each topic beside its partitions."""
    plain = asdict(found)
    plain["topics"] = [
        {
            "topic": each.topic,
            "lag": each.lag,
            "totals": each.totals,
            "flood_since_ms": each.flood_since_ms,
            "partitions": rows["partitions"],
        }
        for each, rows in zip(found.topics, plain["topics"], strict=True)
    ]
    return plain
