"""What the fault tests share: one Kafka, one nursery, a Redis each, and the table at the end."""

from __future__ import annotations

import dataclasses
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from tests.faults.figures import Figures, lines
from tests.faults.nursery import Nursery
from tests.faults.scene import Scene
from tests.faults.traffic import TrafficSpec

_ROW = "figures"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table: one row a fault, also of tests that ran in other processes."""
    passed = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    rows = [Figures(**row) for report in passed for name, row in report.user_properties if name == _ROW]
    if rows:
        terminalreporter.section("faults")
        for line in lines(sorted(rows, key=lambda row: int((re.findall(r"^\d+", row.fault) or ["99"])[0]))):
            terminalreporter.write_line(line)


@pytest.fixture
def seed() -> int:
    """Of the traffic and of the moments of the faults; ``TEST_SEED`` repeats a run."""
    chosen = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(2**31)))
    print(f"TEST_SEED={chosen}")
    return chosen


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Callable[[Figures], None]:
    """Enter a row."""
    return lambda row: request.node.user_properties.append((_ROW, dataclasses.asdict(row)))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that workers are forked from."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def own_redis(redis_binary: str) -> Iterator[EmbeddedRedis]:
    """A Redis to be killed, cut and emptied."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def make_scene(
    tmp_path: Path, kafka: EmbeddedKafka, own_redis: EmbeddedRedis, nursery: Nursery, seed: int
) -> Iterator[Callable[..., Scene]]:
    """Make the scene of a test; ``traffic`` is what differs from the usual stream."""
    made: list[Scene] = []

    def make(traffic: dict[str, Any] | None = None, **settings: Any) -> Scene:
        spec = TrafficSpec(seed=seed, **(traffic or {}))
        made.append(Scene(tmp_path, kafka=kafka, redis=own_redis, nursery=nursery, traffic=spec, **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.__exit__()
