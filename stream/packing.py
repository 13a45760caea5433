"""Stored bytes: magic, version, type and checksum around a payload. Never pickle.

Layout (little endian): ``b"DRFT"``, u8 format version, u8 kind, u32 payload length, u32 CRC-32 of the
payload, payload.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

from stream.errors import CorruptState, NewerState

MAGIC = b"DRFT"
FORMAT = 1
AHEAD = 8
"""Formats after ours that a later release may write; a larger number is damage."""
_HEADER = struct.Struct("<4sBBII")
_HEAD = struct.Struct("<4sBB")


class Kind(IntEnum):
    """What a payload is; a key that holds another kind is corrupt."""

    PANE = 1
    MODEL_STATE = 2
    MESSAGE = 3
    OUTCOMES = 4
    REFERENCE = 8


def pack(kind: Kind, payload: bytes) -> bytes:
    """Header and payload."""
    return _HEADER.pack(MAGIC, FORMAT, kind, len(payload), zlib.crc32(payload)) + payload


def head_of(kind: Kind) -> bytes:
    """The start of :func:`pack`, for whoever appends length, checksum and payload itself."""
    return _HEAD.pack(MAGIC, FORMAT, kind)


def unpack(kind: Kind, data: bytes) -> bytes:
    """Payload of ``data``.

    Raises
    ------
    CorruptState
        Wrong magic, version, kind, length or checksum; the message says which.
    NewerState
        Nothing is wrong with the bytes, but their version is one of the future.
    """
    if len(data) < _HEADER.size:
        raise CorruptState(f"stored {kind.name.lower()}: {len(data)} bytes are shorter than a header")
    magic, version, stored_kind, length, crc = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != MAGIC:
        raise CorruptState(f"stored {kind.name.lower()}: magic {magic!r} is not {MAGIC!r}")
    if not FORMAT <= version <= FORMAT + AHEAD:
        raise CorruptState(f"stored {kind.name.lower()}: format {version}, this release reads {FORMAT}")
    if stored_kind != kind:
        raise CorruptState(f"stored {kind.name.lower()}: the bytes are of kind {stored_kind}")
    if length != len(payload) or zlib.crc32(payload) != crc:
        raise CorruptState(f"stored {kind.name.lower()}: length or checksum differ, the bytes are damaged")
    if version > FORMAT:
        raise NewerState(f"stored {kind.name.lower()}: format {version}, this release reads up to {FORMAT}")
    return payload
