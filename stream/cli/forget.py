"""``driftstream forget``."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from stream.forgetting import Forgotten
    from stream.settings.configuration import Settings

DEFAULT_REMEMBER = "30d"
STAYS = (
    "counts and verdicts made with them: they hold no id",
    "events in Kafka, dead letters among them, until their topics' retention has passed",
)
_log = logging.getLogger(__name__)


def forget(
    *,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", help="A prediction id; give it again for more.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="File with one prediction id on each line; - is stdin.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Only of this model; by default of all that are known."),
    ] = None,
    remember: Annotated[
        str | None,
        typer.Option(help="How long events read again are ignored; default the retention of the topics."),
    ] = None,
    config: ConfigOption = None,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete what Redis keeps of prediction ids: pending predictions, and labels that wait for one.

    Their events are ignored from now on, also when Kafka is read again. What has been counted stays, and so
    does what Kafka holds. Asking twice is fine.
    """
    from stream.settings.configuration import load_settings

    ids = _ids(subject or [], file)
    settings = load_settings(config, insecure=insecure)
    found = _forget(settings, ids, model or list(settings.models), remember)
    for each in found:
        _log.info(
            'forgotten model="%s" ids="%d" predictions="%d" labels="%d"',
            each.model,
            each.ids,
            each.predictions,
            each.labels,
        )
    if output is Output.JSON:
        print_json({"forgotten": [asdict(each) for each in found], "stays": STAYS})
        return
    for each in found:
        known = f", {each.known} forgotten before" if each.known else ""
        typer.echo(
            f"{each.model}: {each.predictions} pending predictions and {each.labels} waiting labels of "
            f"{each.ids} ids removed{known}"
        )
    for what in STAYS:
        typer.echo(f"stays: {what}")


def _ids(given: list[str], file: Path | None) -> list[str]:
    from stream.errors import ConfigError

    lines: list[str] = []
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            raise ConfigError(f"--file {file}: cannot be read: {exc}") from exc
        lines = text.splitlines()
    ids = list(dict.fromkeys(each for each in (*given, *lines) if each))
    if not ids:
        raise ConfigError("no id to forget: give --subject ID, or --file FILE with one on each line")
    return ids


def _forget(settings: Settings, ids: list[str], models: list[str], remember: str | None) -> list[Forgotten]:
    """Forget the ids of each model; raise DependencyError when Redis does not do it."""
    from redis.exceptions import RedisError

    from stream.errors import ConfigError, DependencyError
    from stream.forgetting import Forgetter, live_keys
    from stream.preflight import require_redis
    from stream.settings.tree import did_you_mean
    from stream.settings.units import parse_duration_ms

    for model in models:
        if model not in settings.models:
            raise ConfigError(f"{settings.where()}: no model {model!r}{did_you_mean(model, settings.models)}")
    try:
        remember_ms = _retention_ms(settings) if remember is None else parse_duration_ms(remember)
    except ValueError as exc:
        raise ConfigError(f"--remember {remember!r} {exc}") from exc
    with require_redis(settings) as client:
        forgetter = Forgetter(
            client,
            prefix=settings.redis.prefix,
            secrets=live_keys(settings.privacy),
            remember_ms=remember_ms,
        )
        try:
            return [forgetter.forget(model, ids) for model in models]
        except RedisError as exc:
            reason = str(exc).partition("\n")[0]
            raise DependencyError(f"Redis stopped answering: {reason}; ask again when it is back") from exc


def _retention_ms(settings: Settings) -> int:
    """How long Kafka may give the events again: the longest retention of the inputs."""
    from stream.errors import ConfigError
    from stream.settings.units import parse_duration_ms
    from stream.topics import KafkaTopics

    kafka = KafkaTopics(settings)
    kafka.describe()
    kept = [kafka.retention_ms(topic) for topic in settings.topics.inputs]
    if None in kept:
        raise ConfigError(
            "Kafka does not say how long it keeps the events, or keeps them for good: say how long their ids "
            "are to be ignored, such as --remember 365d"
        )
    return max(parse_duration_ms(DEFAULT_REMEMBER), *(each for each in kept if each is not None))
