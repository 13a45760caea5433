"""Bytes that know what they are: magic, version, length and checksum around a payload."""

from __future__ import annotations

import struct
import zlib

from detectors.errors import CorruptBytes, NewerBytes

AHEAD = 8
"""Versions after ours that a later release may write; a larger number is damage."""
_HEADER = struct.Struct("<4sHIQ")  # magic, version, crc32 of the payload, length of the payload


def frame(magic: bytes, version: int, payload: bytes) -> bytes:
    """Put ``payload`` behind a header that :func:`unframe` can check.

    >>> unframe(b"DEMO", 1, frame(b"DEMO", 1, b"counts"))
    b'counts'
    """
    return _HEADER.pack(magic, version, zlib.crc32(payload), len(payload)) + payload


def unframe(magic: bytes, version: int, data: bytes, *, oldest: int | None = None) -> bytes:
    """Give the payload back, or raise :class:`CorruptBytes` that names the check which failed.

    Versions from ``oldest`` on are accepted; without it, ``version`` alone. Sound bytes of a later version
    raise :class:`NewerBytes`.
    """
    name = magic.decode("ascii")
    if len(data) < _HEADER.size:
        raise CorruptBytes(f"{name}: {len(data)} bytes are too few for a header of {_HEADER.size}")
    found, found_version, checksum, length = _HEADER.unpack_from(data)
    if found != magic:
        raise CorruptBytes(f"{name}: the magic is {found!r}, these bytes hold something else")
    if found_version < (version if oldest is None else oldest):
        raise CorruptBytes(f"{name}: version {found_version} is no longer readable, {version} is written now")
    if found_version > version + AHEAD:
        raise CorruptBytes(f"{name}: there is no version {found_version}")
    payload = data[_HEADER.size :]
    if len(payload) != length:
        raise CorruptBytes(f"{name}: {len(payload)} bytes of payload, the header says {length}")
    if zlib.crc32(payload) != checksum:
        raise CorruptBytes(f"{name}: the checksum does not fit the payload")
    if found_version > version:
        raise NewerBytes(f"{name}: version {found_version}, this release reads versions up to {version}")
    return payload
