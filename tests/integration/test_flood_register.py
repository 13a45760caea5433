"""Floods of several workers in one Redis: one incident, which ends when the last of them has seen its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from stream.flood_register import TTL_MS, FloodRegister

pytestmark = pytest.mark.services
NOW = 1_760_000_000_000


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def test_workers_share_one_incident_and_the_last_one_ends_it(client: Redis) -> None:
    first, second = (FloodRegister(client, prefix="ds", worker=name) for name in ("a", "b"))
    assert first.over("inference", NOW) is None
    assert first.join("inference", NOW) == NOW
    assert second.join("inference", NOW + 700) == NOW
    assert first.join("labels", NOW + 900) == NOW + 900
    first.leave("inference")
    assert first.over("inference", NOW + 1_000) is None
    second.leave("inference")
    assert second.over("inference", NOW + 1_000) == NOW
    assert first.over("inference", NOW + 1_000) == NOW  # until the end is told
    second.forget("inference")
    assert first.over("inference", NOW + 1_000) is None
    assert first.join("inference", NOW + 2_000) == NOW + 2_000


def test_a_worker_that_died_holds_no_flood_open(client: Redis) -> None:
    dead, alive = (FloodRegister(client, prefix="ds", worker=name) for name in ("a", "b"))
    assert dead.join("inference", NOW) == NOW
    assert alive.over("inference", NOW + TTL_MS - 1) is None
    assert alive.over("inference", NOW + TTL_MS) == NOW
