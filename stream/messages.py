"""Messages that wait in an outbox until Kafka has acknowledged them, and the notices among them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from stream.errors import CorruptState
from stream.keys import PaneKey
from stream.packing import Kind, pack, unpack

_MSGPACK = msgspec.msgpack.Encoder()


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One Kafka record to be; ``partition`` None lets the producer choose by key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = []
    partition: int | None = None

    def to_bytes(self) -> bytes:
        """Packed form for the outbox."""
        return pack(Kind.MESSAGE, _MSGPACK.encode(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Message:
        """Inverse of :meth:`to_bytes`.

        Raises
        ------
        CorruptState
            The bytes fail a check.
        """
        try:
            return msgspec.msgpack.decode(unpack(Kind.MESSAGE, data), type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise CorruptState(f"stored message: {exc}") from exc


class Notice(msgspec.Struct, frozen=True):
    """Ingest to evaluate: a partition of ``topic`` holds new counts of these panes of one model.

    Without panes it tells of labels that were joined.
    """

    topic: str
    partition: int
    model: str
    panes: list[tuple[str, int, str]]

    def pane_keys(self) -> list[PaneKey]:
        """Return the panes as keys."""
        return [PaneKey(self.model, version, start_ms, print_) for version, start_ms, print_ in self.panes]


def notices(topic: str, partition: int, keys: list[PaneKey], *, joined: Iterable[str] = ()) -> list[Notice]:
    """One notice a model, for the panes ``keys`` and for the models whose labels were ``joined``."""
    by_model: dict[str, list[tuple[str, int, str]]] = {model: [] for model in joined}
    for key in keys:
        by_model.setdefault(key.model, []).append((key.version, key.start_ms, key.fingerprint))
    return [Notice(topic, partition, model, panes) for model, panes in by_model.items()]


def home_partition(model: str, partitions: int) -> int:
    """Partition of the panes topic that owns ``model``; the same on every host and in every release."""
    return zlib.crc32(model.encode()) % partitions
