"""The invariants I1 to I8. Each gives a reason in one line where it does not hold, None where it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message
from redis import Redis
from redis.exceptions import RedisError

from stream.keys import PartitionKeys
from stream.panes import Pane
from tests.integration.pipeline import header

Windows = Mapping[tuple[str, int], int]
TOTALS = (
    "events",
    "late",
    "rejected",
    "unknown",
    "unmonitored",
    "errors",
    "other_variant",
    "learning",
    "lost",
)
_SNAPSHOT = """
local panes = redis.call('KEYS', KEYS[2])
return {redis.call('HGETALL', KEYS[1]), #panes > 0 and redis.call('MGET', unpack(panes)) or {}}
"""


@dataclass(frozen=True)
class Snapshot:
    """One partition as Redis held it at one instant: its cursor, and the events in its panes."""

    partition: int
    cursor: Mapping[str, int]
    in_panes: int


def snapshots(client: Redis, prefix: str, topic: str, partitions: int) -> list[Snapshot]:
    """Every partition, each read by one script."""
    found = []
    script = client.register_script(_SNAPSHOT)
    for partition in range(partitions):
        stem = PartitionKeys(prefix, topic, partition).cursor.removesuffix("cursor")
        flat, panes = script(keys=[f"{stem}cursor", f"{stem}pane:*"])
        cursor = {
            name.decode(): int(value)
            for name, value in zip(flat[::2], flat[1::2], strict=True)
            if value.lstrip(b"-").isdigit()
        }
        found.append(Snapshot(partition, cursor, sum(Pane.from_bytes(each).counts.n for each in panes)))
    return found


@dataclass
class Watch:
    """Snapshots taken while a fault is on; keeps the first reason against I3 and I5."""

    reasons: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    steps_back: int = 0
    _last: dict[int, Mapping[str, int]] = field(default_factory=dict)

    def look(self, client: Redis, prefix: str, topic: str, partitions: int) -> None:
        """Take one snapshot of every partition; Redis may be away."""
        try:
            seen = snapshots(client, prefix, topic, partitions)
        except RedisError:
            return
        for each in seen:
            self._agree(each)
            self._forward(each)
        self.taken += 1

    def _agree(self, seen: Snapshot) -> None:
        offset = seen.cursor.get("offset", 0)
        told = sum(seen.cursor.get(name, 0) for name in TOTALS)
        if told != offset:
            self.reasons.setdefault("I3", f"partition {seen.partition}: offset {offset}, totals {told}")
        if seen.in_panes != seen.cursor.get("events", 0):
            self.reasons.setdefault(
                "I3",
                f"partition {seen.partition}: {seen.cursor.get('events')} events, {seen.in_panes} in panes",
            )

    def _forward(self, seen: Snapshot) -> None:
        before, self._last[seen.partition] = self._last.get(seen.partition, {}), seen.cursor
        if seen.cursor.get("offset", 0) < before.get("offset", 0):
            self.steps_back += 1
        elif seen.cursor.get("watermark", 0) < before.get("watermark", 0):
            self.reasons.setdefault(
                "I5",
                f"partition {seen.partition}: watermark went from {before['watermark']} to "
                f"{seen.cursor.get('watermark')} at offset {seen.cursor.get('offset')}",
            )


def lost_and_doubled(ledger: Windows, counted: Windows) -> tuple[int, int]:
    """Events missing from the windows, and events too many."""
    keys = set(ledger) | set(counted)
    lost = sum(max(ledger.get(key, 0) - counted.get(key, 0), 0) for key in keys)
    return lost, sum(max(counted.get(key, 0) - ledger.get(key, 0), 0) for key in keys)


def counts_are_the_ledgers(ledger: Windows, counted: Windows) -> str | None:
    """I1 and I2: every window holds each of its events once."""
    lost, doubled = lost_and_doubled(ledger, counted)
    if not lost and not doubled:
        return None
    worst = max(set(ledger) | set(counted), key=lambda key: abs(ledger.get(key, 0) - counted.get(key, 0)))
    return (
        f"{lost} events lost, {doubled} doubled; window {worst}: sent {ledger.get(worst, 0)}, "
        f"counted {counted.get(worst, 0)}"
    )


def totals_are_the_ledgers(expected: Mapping[str, int], cursors: Iterable[Mapping[str, int]]) -> str | None:
    """I1, the totals beside the offsets."""
    held: Counter[str] = Counter()
    for cursor in cursors:
        held.update({name: cursor.get(name, 0) for name in expected})
    return None if dict(held) == dict(expected) else f"totals {dict(held)}, expected {dict(expected)}"


def one_content_an_id(records: Sequence[Message], name: str) -> str | None:
    """I4: a message may come twice, with equal id and equal bytes."""
    contents = {(header(record, name), record.value()) for record in records}
    twice = [each for each, n in Counter(name for name, _ in contents).items() if n > 1]
    return f"{len(twice)} ids with two contents, {twice[0]} among them" if twice else None


def ids_are_the_oracles(expected: Mapping[str, bytes], records: Sequence[Message], name: str) -> str | None:
    """I4: exactly the oracle's messages, bit for bit."""
    published = {header(record, name): record.value() for record in records}
    missing, strange = expected.keys() - published.keys(), published.keys() - expected.keys()
    other = [each for each in expected.keys() & published.keys() if expected[each] != published[each]]
    if not (missing or strange or other):
        return None
    example: Any = next(iter(strange), None)
    return (
        f"{len(missing)} messages missing, {len(strange)} that should not be, {len(other)} of other content"
        + (f"; such as {published[example]!r}" if example else "")
        + (f"; expected {expected[other[0]]!r}, got {published[other[0]]!r}" if other else "")
    )


def progress_again(seconds: float | None, limit_s: float) -> str | None:
    """I6: commits go on within a time after the fault."""
    if seconds is None:
        return f"no progress within {limit_s:.0f} s after the fault"
    return None if seconds <= limit_s else f"progress after {seconds:.1f} s, the limit is {limit_s:.0f} s"


def not_up_but_stuck(ready: Collection[str], behind: int) -> str | None:
    """I7: with records waiting and none counted, no worker may say that it is ready."""
    return f"{behind} records wait, nothing is counted, and {sorted(ready)} say ready" if ready else None


def memory_bounded(peak_bytes: int, limit_bytes: int) -> str | None:
    """I8: the resident memory of a worker."""
    if peak_bytes <= limit_bytes:
        return None
    return f"a worker took {peak_bytes / 2**20:.0f} MiB, the limit is {limit_bytes / 2**20:.0f} MiB"
