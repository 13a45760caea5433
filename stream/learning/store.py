"""What Redis holds of learning: where versions were first seen, who learns, and the learned references.

All keys of a model are in one slot. Everything here may happen twice: first sightings only get smaller, a
lease saves work and decides nothing, and a reference is stored by whoever finishes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, cast

import msgspec
import redis

from detectors import DetectorError, Reference
from stream.errors import CorruptState
from stream.keys import ModelKeys, PartitionKeys
from stream.packing import Kind, pack, unpack
from stream.quarantine import quarantined

_LUA = files("stream") / "lua"
_REVISION = b"revision"
_VERSION = "v:"
_MSGPACK = msgspec.msgpack.Encoder()


class _Stored(msgspec.Struct, array_like=True):
    first_ms: int
    reference: bytes


@dataclass(frozen=True)
class Learned:
    """A learned reference; ``first_ms`` is the event time from which it was learned."""

    version: str
    first_ms: int
    reference: Reference


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A version that sends events and has no reference yet.

    ``offsets`` are the first it was seen at, by partition of the inference topic; ``spans`` how many times
    the declared time it needs (more than 1: it has had too few events); ``reason`` why it has none yet.
    """

    version: str
    first_ms: int
    offsets: Mapping[int, int] = field(default_factory=dict)
    spans: int = 1
    reason: str = ""


class LearningStore:
    """Learning on one Redis; ``redis.RedisError`` passes through.

    Parameters
    ----------
    client
        With ``decode_responses=False``.
    """

    def __init__(self, client: redis.Redis, *, prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self._sight = client.register_script((_LUA / "sight.lua").read_text())
        self._learn = client.register_script((_LUA / "learn.lua").read_text())
        self._lease = client.register_script((_LUA / "lease.lua").read_text())

    def _keys(self, model: str) -> ModelKeys:
        return ModelKeys(self.prefix, model)

    # ---- what was seen

    def saw(self, model: str, seen: Iterable[tuple[str, int, int, int]]) -> None:
        """Note sightings: (version, partition, event time in ms, offset) each."""
        fields: list[str | int] = []
        for version, partition, first_ms, offset in seen:
            fields += [_first(version), first_ms, _offset(version, partition), offset]
        self._sight(keys=[self._keys(model).learning], args=fields)

    def sightings(self, models: Iterable[str]) -> dict[str, list[Sighting]]:
        """By model, its versions without a reference, the one seen first first."""
        names = list(models)
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._keys(name).learning)
            replies = pipe.execute()
        return {name: _sightings(reply) for name, reply in zip(names, replies, strict=True)}

    def offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Offsets up to which partitions are counted; those never committed are left out."""
        asked = list(partitions)
        with self.client.pipeline(transaction=False) as pipe:
            for partition in asked:
                pipe.hget(PartitionKeys(self.prefix, topic, partition).cursor, "offset")
            replies = pipe.execute()
        return {p: int(reply) for p, reply in zip(asked, replies, strict=True) if reply}

    def postpone(self, model: str, version: str, *, spans: int, reason: str) -> None:
        """Note that a version needs more events than ``spans`` - 1 spans had, and why."""
        self.client.hset(
            self._keys(model).learning,
            mapping={f"spans:{version}": str(spans), f"reason:{version}": reason},
        )

    def begin_at(self, model: str, version: str, *, first_ms: int, reason: str) -> None:
        """Learn a version from this event time on, later than the first that was seen, and note why."""
        self.client.hset(
            self._keys(model).learning,
            mapping={_first(version): str(first_ms), f"spans:{version}": "1", f"reason:{version}": reason},
        )

    def forget(self, model: str, sighting: Sighting) -> None:
        """Drop a sighting: the version is learned from when it is seen next."""
        self.client.hdel(self._keys(model).learning, *_fields(sighting))

    # ---- who learns

    def lease(self, model: str, owner: str, *, ttl_ms: int) -> bool:
        """Take or renew the right to learn references of a model; False when another worker has it."""
        return bool(self._lease(keys=[self._keys(model).learner], args=[owner, ttl_ms]))

    def release(self, model: str, owner: str) -> None:
        """Give the right back."""
        self._lease(keys=[self._keys(model).learner], args=[owner, 0])

    # ---- what was learned

    def revisions(self, models: Iterable[str]) -> dict[str, int]:
        """By model, a number that grows with every reference learned."""
        names = list(models)
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hget(self._keys(name).references, _REVISION.decode())
            replies = pipe.execute()
        return {name: int(reply or 0) for name, reply in zip(names, replies, strict=True)}

    def references(self, model: str) -> list[Learned]:
        """The learned references of a model, the version first seen first.

        A damaged one is left out and told: its version is learned again.
        """
        stored = cast("dict[bytes, bytes]", self.client.hgetall(self._keys(model).references))
        found = []
        for key, data in stored.items():
            version = key.decode().removeprefix(_VERSION)
            if key == _REVISION:
                continue
            try:
                found.append(_learned(version, data))
            except CorruptState as exc:
                quarantined("reference", "it is learned again", exc, of=model)
        return sorted(found, key=lambda each: (each.first_ms, each.version))

    def publish(self, model: str, learned: Learned, sighting: Sighting) -> bool:
        """Store a reference unless the version has a sound one by now; False when it has."""
        keys = self._keys(model)
        name = _VERSION + learned.version
        held = cast("bytes | None", self.client.hget(keys.references, name)) or b""
        if held and _is_sound(learned.version, held):
            return False
        content = _Stored(learned.first_ms, learned.reference.to_json().encode())
        args: list[Any] = [name, held, pack(Kind.REFERENCE, _MSGPACK.encode(content)), *_fields(sighting)]
        return bool(self._learn(keys=[keys.references, keys.learning], args=args))

    def drop(self, model: str, version: str) -> None:
        """Remove a learned reference; workers let go of it."""
        keys = self._keys(model)
        with self.client.pipeline() as pipe:
            pipe.hdel(keys.references, _VERSION + version)
            pipe.hincrby(keys.references, _REVISION.decode(), 1)
            pipe.execute()


def _learned(version: str, data: bytes) -> Learned:
    try:
        stored = msgspec.msgpack.decode(unpack(Kind.REFERENCE, data), type=_Stored)
        return Learned(version, stored.first_ms, Reference.from_json(stored.reference))
    except (msgspec.MsgspecError, DetectorError, ValueError) as exc:
        raise CorruptState(f"stored reference of version {version}: {exc}") from exc


def _is_sound(version: str, data: bytes) -> bool:
    try:
        _learned(version, data)
    except CorruptState:
        return False
    return True


def _sightings(stored: Mapping[bytes, bytes]) -> list[Sighting]:
    text = {key.decode(): value.decode() for key, value in stored.items()}
    found = []
    for key, first_ms in text.items():
        kind, _, version = key.partition(":")
        if kind == "first":
            found.append(
                Sighting(
                    version=version,
                    first_ms=int(first_ms),
                    offsets=_offsets(text, version),
                    spans=int(text.get(f"spans:{version}", 1)),
                    reason=text.get(f"reason:{version}", ""),
                )
            )
    return sorted(found, key=lambda each: (each.first_ms, each.version))


def _first(version: str) -> str:
    return f"first:{version}"


def _offset(version: str, partition: int) -> str:
    return f"offset:{partition}:{version}"


def _offsets(text: Mapping[str, str], version: str) -> dict[int, int]:
    found = {}
    for key, value in text.items():
        kind, _, rest = key.partition(":")
        partition, _, named = rest.partition(":")
        if kind == "offset" and named == version:
            found[int(partition)] = int(value)
    return found


def _fields(sighting: Sighting) -> list[str]:
    """Every field of a sighting."""
    version = sighting.version
    own = [_first(version), f"spans:{version}", f"reason:{version}"]
    return own + [_offset(version, partition) for partition in sighting.offsets]
