"""A TCP proxy with faults: what lies between a worker and Redis can be cut, slowed, silenced and reset."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close with RST instead of FIN
_CHUNK = 65_536


@dataclass
class Faults:
    """What the proxy does to the bytes that pass; changed at any time by the test.

    Parameters
    ----------
    delay_s, jitter_s
        Before each piece, both ways.
    slice_bytes
        Pieces are cut to this size, 0 = as they come.
    mute
        Replies are read and thrown away: the server has done what it was asked, the client never hears.
    cut
        Nothing passes and nobody is let in.
    reset_every
        Each n-th reply resets its connection instead, 0 = never.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    slice_bytes: int = 0
    mute: bool = False
    cut: bool = False
    reset_every: int = 0


@dataclass
class Proxy(AbstractContextManager["Proxy"]):
    """Listens on a free loopback port and passes on to ``target`` (a port), which may be switched."""

    target: int
    faults: Faults = field(default_factory=Faults)
    replies: int = 0
    resets: int = 0
    muted: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(7)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @contextmanager
    def suffers(self, **faults: Any) -> Iterator[None]:
        """Set these fields of :class:`Faults` for the time of the body."""
        before = {name: getattr(self.faults, name) for name in faults}
        vars(self.faults).update(faults)
        try:
            yield
        finally:
            vars(self.faults).update(before)

    def switch(self, target: int) -> None:
        """Send new connections elsewhere and reset the present ones."""
        self.target = target
        self.reset()

    def reset(self) -> None:
        """Reset every connection."""
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _close(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.faults.cut:
                _close(client)
                continue
            try:
                server = socket.create_connection((LOOPBACK, self.target), timeout=5)
            except OSError:
                _close(client)
                continue
            for end in (client, server):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            for source, sink, replies in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pass, args=(source, sink), kwargs={"replies": replies}, daemon=True
                ).start()

    def _pass(self, source: socket.socket, sink: socket.socket, *, replies: bool) -> None:
        try:
            while data := source.recv(_CHUNK):
                self._one(data, sink, replies=replies)
        except OSError:
            pass  # one of the ends is gone: so is the other now
        finally:
            with self._lock:
                self._open -= {source, sink}
            _close(source)
            _close(sink)

    def _one(self, data: bytes, sink: socket.socket, *, replies: bool) -> None:
        faults = self.faults
        while faults.cut:
            time.sleep(0.02)
        if replies:
            self.replies += 1
            if faults.mute:
                self.muted += 1
                return
            if faults.reset_every and self.replies % faults.reset_every == 0:
                self.resets += 1
                raise ConnectionResetError
        size = faults.slice_bytes or len(data)
        for start in range(0, len(data), size):
            if faults.delay_s or faults.jitter_s:
                time.sleep(faults.delay_s + self._random.uniform(0, faults.jitter_s))
            sink.sendall(data[start : start + size])

    def __exit__(self, *_: object) -> None:
        self.faults = Faults()
        _close(self._listener)
        self.reset()


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it, and sends nothing
    with contextlib.suppress(OSError):
        end.close()
