"""Worker processes that start in a tenth of a second: forks of one process that has imported everything."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.pipeline import WorkerProcess

SERVER = Path(__file__).with_name("nursery_server.py")


class Fork:
    """A running fork, with the part of :class:`subprocess.Popen` that the tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def end(self, code: int) -> None:
        """Note the end; the nursery calls it."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery(AbstractContextManager["Nursery"]):
    """Starts forks; those that still run when it ends are killed."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._forks: dict[int, Fork] = {}
        self._started: queue.Queue[Fork] = queue.Queue()
        self._one_at_a_time = threading.Lock()
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listener.start()

    def start(self, arguments: list[str], *, env: Mapping[str, str], log: Path) -> Fork:
        """Run ``driftstream ARGUMENTS`` in a fork, with these variables over ours."""
        request = {"arguments": arguments, "env": dict(env), "log": str(log)}
        stdin = self._server.stdin
        assert stdin is not None
        with self._one_at_a_time:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            return self._started.get(timeout=60)

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            said: dict[str, Any] = json.loads(line)
            if "started" in said:
                fork = self._forks[said["started"]] = Fork(said["started"])
                self._started.put(fork)
            elif "ended" in said:
                self._forks.pop(said["ended"]).end(said["code"])

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._listener.join(10)
        self._server.stdout.close()


@dataclass
class ForkedWorker(WorkerProcess):
    """A worker made by a nursery. ``env`` holds for the next :meth:`start` and may be changed in between."""

    nursery: Nursery
    env: dict[str, str] = field(default_factory=dict)
    started_s: float = 0.0

    def start(self) -> None:
        """Start, or start again after an end; the log goes on."""
        self.note_start()
        self.started_s = time.monotonic()
        self.process = self.nursery.start(self.arguments, env=self.env, log=self.log_path)  # type: ignore[assignment]

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
