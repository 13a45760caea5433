"""What a Redis server says about itself, and what of it driftstream cannot live with.

Facts are read with ``HELLO``-era commands only and change nothing. An account without the right to
``INFO`` leaves facts unknown; unknown is a warning, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, int, int]

OLDEST: Version = (6, 2, 0)
FIXED: Mapping[tuple[int, int], tuple[int, str]] = {
    (6, 2): (20, "CVE-2025-49844"),
    (7, 2): (11, "CVE-2025-49844"),
    (7, 4): (6, "CVE-2025-49844"),
    (8, 2): (2, "CVE-2025-49844"),
    (8, 6): (3, "CVE-2026-23479"),
}
"""First fixed patch release of each maintained series, with the flaw it fixes (script execution)."""


@dataclass(frozen=True)
class RedisFacts:
    """Facts of one server; None where it does not say."""

    server: str
    version: Version | None
    policy: str | None
    appendonly: bool | None
    replica: bool | None
    cluster: bool | None

    @classmethod
    def from_info(cls, info: Mapping[str, object]) -> RedisFacts:
        """Read the answer of ``INFO`` (all sections, as redis-py parses it)."""
        return cls(
            server=str(info.get("server_name", "redis")),
            version=_version(str(info.get("redis_version", ""))),
            policy=str(info["maxmemory_policy"]) if "maxmemory_policy" in info else None,
            appendonly=_flag(info.get("aof_enabled")),
            replica=info["role"] == "slave" if "role" in info else None,
            cluster=_flag(info.get("cluster_enabled")),
        )

    @property
    def version_text(self) -> str:
        """The version as ``7.0.15``."""
        return ".".join(map(str, self.version)) if self.version else "of unknown version"

    def refusals(self) -> list[str]:
        """Return why driftstream must not run on this server, each with its remedy."""
        found = []
        if self.version is not None and self.version < OLDEST:
            found.append(f"is {self.version_text}; driftstream needs 6.2 or newer")
        if self.policy is not None and self.policy != "noeviction":
            found.append(
                f"has maxmemory-policy {self.policy}, which may evict counts and keep their offsets; "
                "set `maxmemory-policy noeviction`"
            )
        if self.replica:
            found.append("is a read-only replica; name the primary")
        if self.cluster:
            found.append("is a node of a Redis Cluster, which this release cannot use; name a single primary")
        return found

    def warnings(self) -> list[str]:
        """Return what an operator should know and may accept, each with its remedy."""
        found = []
        flaw = self._flaw()
        if flaw:
            found.append(
                f"{self.server} {self.version_text} {flaw}, unless your distribution has backported the fix"
            )
        if self.appendonly is False:
            found.append("appendonly is off: a restart rewinds to the last snapshot; set `appendonly yes`")
        if self.policy is None or self.version is None:
            found.append("INFO is not permitted, so version and maxmemory-policy are unknown; grant +info")
        return found

    def _flaw(self) -> str | None:
        """Return the known flaw of this version of Redis itself; forks number their fixes otherwise."""
        if self.version is None or self.server != "redis":
            return None
        series = self.version[:2]
        if series in FIXED:
            patch, cve = FIXED[series]
            return (
                f"is open to {cve}: upgrade to {series[0]}.{series[1]}.{patch}"
                if self.version[2] < patch
                else None
            )
        if series > max(FIXED):
            return None
        newer = min(known for known in FIXED if known > series)
        patch, cve = FIXED[newer]
        return f"has no listed fix for {cve}: upgrade to {newer[0]}.{newer[1]}.{patch} or newer"


def _version(text: str) -> Version | None:
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _flag(value: object) -> bool | None:
    return None if value is None else str(value) == "1"
