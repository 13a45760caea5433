"""The product as shipped: a configuration file, a reference file and ``driftstream worker`` as a process."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml
from redis import Redis
from redis.exceptions import RedisError

from detectors import Reference
from stream.demo.services import Broker, RedisServer, unique_name
from stream.demo.serving import MODEL, VERSION
from stream.demo.story import LABEL_DELAY, WINDOW_MS
from stream.embedded.process import Process
from stream.errors import DependencyError
from stream.keys import workers_pattern
from stream.preflight import redis_client
from stream.settings.configuration import Settings, load_settings
from stream.settings.environment import INSECURE, PREFIX
from stream.settings.security_section import LINKS, links_of

REFERENCE_FILE = f"{MODEL}-{VERSION}.json"

_READY_SECONDS = 90.0
_LEAVE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.1


class WorkerProcess:
    """One ``driftstream worker`` with the directory that holds its configuration and its log."""

    def __init__(self, process: Process, settings: Settings, config: Path) -> None:
        self.settings = settings
        self.config = config
        self._process = process

    @property
    def log_path(self) -> Path:
        """The worker's log."""
        return self._process.log_path

    def start(self, reference: Reference) -> str:
        """Write the reference, start the worker and wait until it counts; the address of its metrics.

        Raises
        ------
        DependencyError
            It ended, or is not ready in time.
        """
        (self.config.parent / REFERENCE_FILE).write_text(reference.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "stream", "worker", "--config", str(self.config)]
        self._process.spawn(command, self._environment())
        deadline = time.monotonic() + _READY_SECONDS
        with closing(redis_client(self.settings)) as client:
            while time.monotonic() < deadline:
                self.check()
                address = self._address(client)
                if address is not None and _is_ready(address):
                    return address
                time.sleep(_LOOK_EVERY_SECONDS)
        raise DependencyError(
            f"driftstream worker is not ready after {_READY_SECONDS:.0f} s: {self._last_line()}"
        )

    def check(self) -> None:
        """Raise DependencyError when the worker has ended by itself."""
        if self._process.pid is None:
            raise DependencyError(f"driftstream worker ended by itself: {self._last_line()}")

    def stop(self) -> None:
        """Have the worker commit, publish and leave."""
        self._process.terminate(_LEAVE_SECONDS)

    def _address(self, client: Redis) -> str | None:
        """Where the worker says that its metrics are: the port it wanted may have been taken."""
        try:
            for key in client.scan_iter(match=workers_pattern(self.settings.redis.prefix), count=1000):
                about: Any = client.hget(key, "metrics")
                if about is not None:
                    return str(about.decode())
        except RedisError:
            return None  # not up yet, or busy: asked again until the deadline
        return None

    def _environment(self) -> dict[str, str]:
        """Our environment without the settings of another driftstream; temporary files beside the log."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return {**kept, "TMPDIR": str(self._process.directory)}

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._process.log_text().splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines or ["its log is empty"])[-1].removeprefix("driftstream: error: ")[:300]


@contextmanager
def installed(
    broker: Broker, redis: RedisServer, *, metrics_port: int, insecure: bool
) -> Iterator[WorkerProcess]:
    """Write the configuration of a worker into a directory that goes with the context.

    ``insecure`` allows links in clear to other machines, as ``DRIFTSTREAM_INSECURE`` does.
    """
    allowed = LINKS if insecure else links_of(INSECURE, os.environ.get(INSECURE, ""))
    process = Process("demo", None)
    process.open()
    try:
        config = process.directory / "driftstream.yaml"
        values = configuration(broker, redis, metrics_port=metrics_port) | {
            "security": {"insecure": list(allowed)}
        }
        config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        yield WorkerProcess(process, load_settings(config, environ={}), config)
    finally:
        process.terminate(_LEAVE_SECONDS)
        process.close()


def configuration(broker: Broker, redis: RedisServer, *, metrics_port: int) -> dict[str, Any]:
    """The configuration file of the demo. Windows close soon: the events are in order."""
    name = unique_name()
    window_s = WINDOW_MS // 1000
    delay_s = LABEL_DELAY * window_s
    topics = {"inference": "inference", "labels": "labels"}
    if broker.foreign:
        own = ("inference", "labels", "drift.alerts", "drift.metrics", "drift.actions", "drift.panes")
        topics = {topic.removeprefix("drift."): f"{name}.{topic}" for topic in own}
    return {
        "kafka": {"bootstrap.servers": broker.servers},
        "redis": {"url": redis.url, "prefix": redis.prefix},
        "topics": topics,
        "consumer": {"group": name if broker.foreign else "driftstream"},
        "time": {"out_of_orderness": "1s", "idle_after": "2s"},
        "metrics": {"port": metrics_port},
        "defaults": {
            "window": f"{window_s}s",
            "grace": "1s",
            "labels": {"settle": f"{delay_s}s", "horizon": f"{delay_s + window_s}s"},
        },
        "models": {MODEL: {"references": [REFERENCE_FILE]}},
    }


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=2.0):  # nosec B310 # http, loopback
            return True
    except (urllib.error.URLError, OSError):
        return False
