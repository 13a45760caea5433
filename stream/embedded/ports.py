"""Loopback ports that nobody uses."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

from stream.errors import DependencyError

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200
_GIVEN: set[int] = set()


def free_port() -> int:
    """Give a free loopback port below the range that the kernel hands to outgoing connections.

    A service that restarts on its port must find it free. In the outgoing range a client that reconnects
    while the service is down can be given that very port, and even connect to itself.
    Another process may take the port before it is used: whoever binds it must be ready to ask again. This one
    is given each port once: a service may bind several, or be down when the next one asks.
    """
    choice = random.SystemRandom()
    for _ in range(_TRIES):
        port = choice.randrange(_LOWEST, _outgoing_from())
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            return port
    raise DependencyError(
        f"no free port on {LOOPBACK} after {_TRIES} tries: end what holds them (see ss -ltn)"
    )


def accepts(port: int) -> bool:
    """Tell whether something listens on the loopback ``port``."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set it too: connections of an earlier server in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def _outgoing_from() -> int:
    """First port of the outgoing range; Linux's usual one where the kernel does not say or leaves no room."""
    try:
        lowest = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return lowest if lowest > _LOWEST + 1_000 else 60_000
