"""Messages that wait in an outbox until Kafka has acknowledged them, and the notices among them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from stream.errors import CorruptState
from stream.keys import PaneKey
from stream.packing import Kind, pack, unpack

MOST_NOTICES = 200
"""Notices of one message: far from what a topic takes at most, also where each names many panes."""
_JSON = msgspec.json.Encoder()
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


_NOTICES: msgspec.json.Decoder[list[Notice] | Notice] = msgspec.json.Decoder(list[Notice] | Notice)


def notices(topic: str, partition: int, keys: list[PaneKey], *, joined: Iterable[str] = ()) -> list[Notice]:
    """One notice a model, for the panes ``keys`` and for the models whose labels were ``joined``."""
    by_model: dict[str, list[tuple[str, int, str]]] = {model: [] for model in joined}
    for key in keys:
        by_model.setdefault(key.model, []).append((key.version, key.start_ms, key.fingerprint))
    return [Notice(topic, partition, model, panes) for model, panes in by_model.items()]


def notice_messages(told: Iterable[Notice], *, topic: str, partitions: int) -> list[Message]:
    """Notices as messages to ``topic``: those of models that share a home partition together.

    A commit may tell of a thousand models: what a message costs, its readers pay once a home.
    """
    by_home: dict[int, list[Notice]] = {}
    for notice in told:
        by_home.setdefault(home_partition(notice.model, partitions), []).append(notice)
    return [
        Message(topic, None, _JSON.encode(here[at : at + MOST_NOTICES]), partition=home)
        for home, here in by_home.items()
        for at in range(0, len(here), MOST_NOTICES)
    ]


def read_notices(value: bytes) -> list[Notice]:
    """Inverse of :func:`notice_messages`, of one value. Also takes a notice alone: an outbox may hold one.

    Raises
    ------
    CorruptState
        The value is no notice.
    """
    try:
        read = _NOTICES.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptState(f"notice: {exc}") from exc
    return [read] if isinstance(read, Notice) else read


def home_partition(model: str, partitions: int) -> int:
    """Partition of the panes topic that owns ``model``; the same on every host and in every release."""
    return zlib.crc32(model.encode()) % partitions
