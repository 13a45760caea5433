"""``driftstream check``: look at everything a worker needs and report each thing; change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stream.errors import ConfigError, DependencyError
from stream.kafka_config import validate_kafka
from stream.preflight import read_facts, redis_client, require_kafka
from stream.settings.configuration import Settings, load_settings
from stream.settings.units import format_duration
from stream.topics import KafkaTopics, missing_topics
from stream.transport import is_open

Status = Literal["ok", "warning", "failed", "invalid", "unreachable"]
_EXIT_CODES: dict[Status, int] = {"invalid": 2, "unreachable": 3, "failed": 1}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    ``invalid``: the configuration is wrong; ``unreachable``: a service does not answer or refuses us;
    ``failed``: it answers and is not as a worker needs it; ``warning``: an operator should know.
    """

    name: str
    status: Status
    detail: str


def run_checks(path: Path | None, *, insecure: bool = False) -> list[Finding]:
    """Return one finding per thing: configuration, references, Kafka, topics, Redis."""
    try:
        settings = load_settings(path, insecure=insecure)
    except ConfigError as exc:
        return [Finding("configuration", "invalid", str(exc))]
    count = len(settings.models)
    findings = [Finding("configuration", "ok", f"{settings.where()}, {count} model{'s' * (count != 1)}")]
    for check in (_references, _kafka, _redis):
        findings += _guarded(check, settings)
    return findings


def exit_code(findings: list[Finding]) -> int:
    """Return 2 for a wrong configuration, else 3 for an absent service, else 1 for an unfit one, else 0."""
    found = {finding.status for finding in findings}
    return next((code for status, code in _EXIT_CODES.items() if status in found), 0)


def _guarded(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    """Yield the findings of one check; an error it raises is its last finding."""
    name = check.__name__.strip("_")
    try:
        yield from check(settings)
    except ConfigError as exc:
        yield Finding(name, "invalid", str(exc))
    except DependencyError as exc:
        yield Finding(name, "unreachable", str(exc))


def _references(settings: Settings) -> Iterator[Finding]:
    for (model, version), reference in settings.references().items():
        yield Finding("references", "ok", f"{model} {version}, {len(reference.names)} columns")
    for model in settings.models:
        learn_ms = settings.model_spec(model).learn_ms
        if learn_ms is not None:
            yield Finding(
                "references", "ok", f"{model} learns its own from {format_duration(learn_ms)} of events"
            )


def _kafka(settings: Settings) -> Iterator[Finding]:
    validate_kafka(settings)
    existing = require_kafka(settings, timeout_s=5)
    servers = settings.kafka.bootstrap_servers
    yield Finding("kafka", "ok", f"{servers} answers, {len(existing)} topics")
    yield from _transport(settings)
    missing = missing_topics(settings, existing)
    for topic in settings.topics.needed:
        if topic in missing:
            remedy = "run `driftstream topics create` or mend topics"
            yield Finding("topics", "failed", f"{topic} does not exist on {servers}; {remedy}")
        else:
            count = existing[topic]
            yield Finding("topics", "ok", f"{topic}, {count} partition{'s' * (count != 1)}")
    if settings.topics.inference not in missing:
        yield from _retention(settings)


def _retention(settings: Settings) -> Iterator[Finding]:
    """Warn about models that learn from more than the topic holds."""
    specs = [settings.model_spec(model) for model in settings.models]
    learning = {spec.name: spec.learn_ms for spec in specs if spec.learn_ms is not None}
    topic = settings.topics.inference
    kept_ms = KafkaTopics(settings, timeout_s=5).retention_ms(topic) if learning else None
    for model, learn_ms in learning.items():
        if kept_ms is not None and kept_ms < learn_ms:
            kept, wanted = format_duration(kept_ms), format_duration(learn_ms)
            detail = f"{topic} keeps events for {kept}, {model} learns from {wanted}: raise its retention.ms"
            yield Finding("topics", "warning", detail)


def _transport(settings: Settings) -> Iterator[Finding]:
    """Warn about what is allowed to travel in clear, and a session timeout that has no effect."""
    if is_open(settings, "kafka"):
        yield Finding("kafka", "warning", "insecure: who is on the way can read events and credentials")
    if (
        settings.consumer.protocol == "consumer"
        and "session_timeout_ms" in settings.consumer.model_fields_set
    ):
        detail = "consumer.session_timeout has no effect with protocol consumer: the broker decides"
        yield Finding("kafka", "warning", detail)


def _redis(settings: Settings) -> Iterator[Finding]:
    with redis_client(settings) as client:
        facts = read_facts(settings, client)
    if is_open(settings, "redis"):
        yield Finding("redis", "warning", "insecure: who is on the way can read and write the state")
    refusals = facts.refusals()
    for refusal in refusals:
        yield Finding("redis", "failed", f"it {refusal}")
    for warning in facts.warnings():
        yield Finding("redis", "warning", warning)
    if not refusals:
        yield Finding("redis", "ok", f"{facts.server} {facts.version_text}, maxmemory-policy {facts.policy}")
