"""The rights that docs/security.md names, given to a secured Kafka and Redis as the page writes them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis

if TYPE_CHECKING:
    from tests.integration.pipeline import Pipeline
    from tests.security.secured import Secured

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()


def allow_redis(services: Secured) -> None:
    """Give the worker's account the rights of the page; the tests' prefixes start with ``ds``."""
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)
    words = line.replace(">PASSWORD", f">{services.secrets['redis']}").replace("~ds:", "~ds-").split()
    with Redis.from_url(services.redis.url) as admin:
        assert admin.execute_command(*words)


def allow_kafka(services: Secured, pipeline: Pipeline) -> None:
    """Grant what the page's ``kafka-acls`` lines say, for the topics and the group of the pipeline."""
    names = {"inference": "inference", "labels": "labels"} | {
        f"drift.{role}": role for role in pipeline.topics
    }
    lines = re.findall(r"^kafka-acls --add (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        words = iter(shlex.split(line))
        given: dict[str, list[str]] = {}
        for option, value in zip(words, words, strict=True):
            given.setdefault(option, []).append(value)
        (principal,) = given["--allow-principal"]
        for operation in given["--operation"]:
            for topic in given.get("--topic", []):
                stem, dlq, _ = topic.partition(".dlq")
                name = pipeline.topics[names[stem]] + dlq
                services.grant(principal.removeprefix("User:"), operation.upper(), "TOPIC", name)
            for group in given.get("--group", []):
                name = group.replace("driftstream", f"workers-{pipeline.prefix}")
                services.grant(principal.removeprefix("User:"), operation.upper(), "GROUP", name)
