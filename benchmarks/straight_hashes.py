"""The yardstick of the label join: small hashes by raw RESP, one command an entry, nothing checked.

Commands have a fixed size, so a batch of them is one byte matrix: a template tiled, columns pasted in.
Replies are counted by their bytes.
"""

from __future__ import annotations

import socket

import numpy as np
from numpy.typing import NDArray

BATCH = 10_000
ENTRIES = 60
_BUCKET = b"b%08d"
_FIELD, _VALUE = 8, 17
_HSET = (
    b"*4\r\n$4\r\nHSET\r\n$9\r\n"
    + b"." * 9
    + b"\r\n$8\r\n"
    + b"." * _FIELD
    + b"\r\n$17\r\n"
    + b"." * _VALUE
    + b"\r\n"
)
_HGET = b"*3\r\n$4\r\nHGET\r\n$9\r\n" + b"." * 9 + b"\r\n$8\r\n" + b"." * _FIELD + b"\r\n"
_BUCKET_AT, _FIELD_AT, _VALUE_AT = 18, 33, 48
_WRITTEN, _READ = len(b":1\r\n"), len(b"$17\r\n\r\n") + _VALUE


class RawHashes:
    """``pending`` entries of 8 + 17 bytes in hashes of about 60; the bucket follows from the row."""

    def __init__(self, port: int, pending: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        buckets = max(1, pending // ENTRIES)
        self._names = np.frombuffer(b"".join(_BUCKET % b for b in range(buckets)), np.uint8).reshape(-1, 9)
        self._fields = np.random.default_rng(5).integers(0, 256, (pending, _FIELD), dtype=np.uint8)
        self._buckets = np.random.default_rng(7).integers(0, buckets, pending)

    def write(self, first: int, last: int) -> None:
        """HSET of rows ``first`` to ``last``."""
        for at in range(first, last, BATCH):
            rows = np.arange(at, min(at + BATCH, last))
            commands = self._commands(_HSET, rows)
            commands[:, _VALUE_AT : _VALUE_AT + _VALUE] = 7
            self._exchange(commands, _WRITTEN)

    def read(self, rows: NDArray[np.int64]) -> None:
        """HGET of rows."""
        for at in range(0, len(rows), BATCH):
            self._exchange(self._commands(_HGET, rows[at : at + BATCH]), _READ)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _commands(self, template: bytes, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        commands = np.tile(np.frombuffer(template, np.uint8), (len(rows), 1))
        commands[:, _BUCKET_AT : _BUCKET_AT + 9] = self._names[self._buckets[rows]]
        commands[:, _FIELD_AT : _FIELD_AT + _FIELD] = self._fields[rows]
        return commands

    def _exchange(self, commands: NDArray[np.uint8], reply: int) -> None:
        self._socket.sendall(commands.tobytes())
        missing = len(commands) * reply
        while missing:
            received = len(self._socket.recv(min(missing, 1 << 20)))
            if not received:
                raise ConnectionError("Redis closed the connection")
            missing -= received
