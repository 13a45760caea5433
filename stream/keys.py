"""Every Redis key, in one place. A hash tag keeps what must change together in one slot (Redis Cluster)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

_JSON = msgspec.json.Encoder()


class PaneKey(NamedTuple):
    """One pane of one model version, as counted from one partition.

    ``fingerprint`` is that of the reference whose bins counted it: a reference replaced under the same
    version starts panes of its own, so counts of different bins never mix.
    """

    model: str
    version: str
    start_ms: int
    fingerprint: str

    def member(self) -> bytes:
        """Unambiguous text of the key: a JSON array (names may hold any character)."""
        return _JSON.encode([self.model, self.version, self.start_ms, self.fingerprint])

    @classmethod
    def from_member(cls, member: bytes) -> PaneKey:
        """Inverse of :meth:`member`."""
        return cls(*msgspec.json.decode(member, type=tuple[str, str, int, str]))


@dataclass(frozen=True)
class PartitionKeys:
    """Keys of one input partition; all in the slot ``{topic:partition}``."""

    prefix: str
    topic: str
    partition: int

    @property
    def _tag(self) -> str:
        return f"{self.prefix}:{{{self.topic}:{self.partition}}}"

    @property
    def cursor(self) -> str:
        """Hash: epoch, offset, watermark, idle, gaps and the exact totals."""
        return f"{self._tag}:cursor"

    @property
    def open(self) -> str:
        """Sorted set: pane members by start."""
        return f"{self._tag}:open"

    @property
    def outbox(self) -> str:
        """Sorted set: messages not yet delivered, by sequence number."""
        return f"{self._tag}:outbox"

    @property
    def unknown(self) -> str:
        """Hash: model (and version) without a reference to the number of its events."""
        return f"{self._tag}:unknown"

    @property
    def pane_stem(self) -> str:
        """Start of the key of every pane; the member of the pane follows."""
        return f"{self._tag}:pane:"

    def pane(self, key: PaneKey) -> str:
        """String: packed counts of one pane."""
        return self.pane_stem + key.member().decode()


@dataclass(frozen=True)
class ModelKeys:
    """Keys of one model; all in the slot ``{model:name}``."""

    prefix: str
    model: str

    @property
    def stem(self) -> str:
        """Start of every key of the model; the label join names the buckets of its entries from it."""
        return f"{self.prefix}:{{model:{self.model}}}:"

    @property
    def state(self) -> str:
        """Hash: revision and the packed state of the model's evaluation, and the incarnation of both."""
        return f"{self.stem}state"

    @property
    def ahead(self) -> str:
        """Hash with a TTL: a state that is to be committed soon, with its revision and its name."""
        return f"{self.stem}ahead"

    @property
    def memory(self) -> str:
        """Hash: what the evaluation remembers beside its state, too much to be written with each commit."""
        return f"{self.stem}memory"

    @property
    def outbox(self) -> str:
        """Sorted set: messages not yet delivered, by sequence number."""
        return f"{self.stem}outbox"

    @property
    def join(self) -> str:
        """Hash: counts of the label join, and how many pieces of its journal have been trimmed."""
        return f"{self.stem}join"

    @property
    def blocks(self) -> str:
        """Hash: blocks of event time with pending predictions to the numbers of their buckets."""
        return f"{self.stem}blocks"

    @property
    def journal(self) -> str:
        """List: transitions of the label join not folded yet, in pieces."""
        return f"{self.stem}journal"

    @property
    def strata(self) -> str:
        """Hash: name of a stratum to its number."""
        return f"{self.stem}strata"

    @property
    def references(self) -> str:
        """Hash: references learned from the stream by version, and the revision that grows with each."""
        return f"{self.stem}references"

    @property
    def learning(self) -> str:
        """Hash: versions without a reference: when and where each was first seen, and how learning goes."""
        return f"{self.stem}learning"

    @property
    def learner(self) -> str:
        """String with a TTL: the worker that learns references of the model now."""
        return f"{self.stem}learner"

    @property
    def forgotten(self) -> str:
        """Sorted set with a TTL: hashes of forgotten ids by the time until which they are kept out."""
        return f"{self.stem}forgotten"

    @property
    def forgettings(self) -> str:
        """List: acts of forgetting, the newest first."""
        return f"{self.stem}forgettings"

    def outcome(self, start_ms: int) -> str:
        """String: packed outcomes of the predictions of one pane."""
        return f"{self.stem}outcome:{start_ms}"


def topic_key(prefix: str, topic: str) -> str:
    """Hash: what all workers must agree on about a topic (its number of partitions)."""
    return f"{prefix}:topic:{topic}"


def flood_key(prefix: str, topic: str) -> str:
    """Hash: since when most of a topic is rejected, and which workers see it."""
    return f"{prefix}:flood:{topic}"


def file_key(prefix: str) -> str:
    """Hash: the start of Redis (``run_id``) whose append-only file is known to be whole."""
    return f"{prefix}:file"


def worker_key(prefix: str, worker: str) -> str:
    """Hash with a TTL: a live worker's address and role, for ``driftstream status``."""
    return f"{prefix}:worker:{worker}"


def workers_pattern(prefix: str) -> str:
    """SCAN pattern of the live workers."""
    return f"{prefix}:worker:*"
