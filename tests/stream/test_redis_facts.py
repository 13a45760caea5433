from __future__ import annotations

from typing import Any

import pytest

from stream.redis_facts import RedisFacts

GOOD = {
    "redis_version": "8.6.3",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "role": "master",
    "cluster_enabled": 0,
}


def facts_of(**changes: Any) -> RedisFacts:
    return RedisFacts.from_info({**GOOD, **changes})


def test_a_good_server_has_nothing_against_it() -> None:
    assert facts_of().refusals() == facts_of().warnings() == []


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "has maxmemory-policy allkeys-lru, which may evict counts"),
        ({"redis_version": "6.0.16"}, "is 6.0.16; driftstream needs 6.2 or newer"),
        ({"role": "slave"}, "is a read-only replica"),
        ({"cluster_enabled": 1}, "is a node of a Redis Cluster"),
    ],
)
def test_what_a_worker_cannot_live_with(changes: dict[str, Any], refusal: str) -> None:
    (found,) = facts_of(**changes).refusals()
    assert found.startswith(refusal)


@pytest.mark.parametrize(
    ("version", "warning"),
    [
        ("6.2.14", "redis 6.2.14 is open to CVE-2025-49844: upgrade to 6.2.20"),
        ("6.2.20", None),
        ("7.0.15", "redis 7.0.15 has no listed fix for CVE-2025-49844: upgrade to 7.2.11 or newer"),
        ("7.2.11", None),
        ("8.2.1", "redis 8.2.1 is open to CVE-2025-49844: upgrade to 8.2.2"),
        ("8.6.2", "redis 8.6.2 is open to CVE-2026-23479: upgrade to 8.6.3"),
        ("9.0.0", None),
    ],
)
def test_known_flaws_are_warnings(version: str, warning: str | None) -> None:
    found = facts_of(redis_version=version).warnings()
    assert (found[0].startswith(warning) if warning else not found) is True


def test_forks_number_their_fixes_otherwise() -> None:
    assert facts_of(server_name="valkey", redis_version="7.2.4").warnings() == []


def test_no_persistence_and_no_rights_are_warnings() -> None:
    assert facts_of(aof_enabled=0).warnings() == [
        "appendonly is off: a restart rewinds to the last snapshot; set `appendonly yes`"
    ]
    assert RedisFacts.from_info({}).refusals() == []
    assert "grant +info" in RedisFacts.from_info({}).warnings()[0]
