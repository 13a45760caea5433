"""What the embedded services share: start, stop, kill, restart, close."""

from __future__ import annotations

import atexit
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from stream.embedded.ports import free_port
from stream.embedded.process import Process
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

Progress = Callable[[str], None]
"""Takes one line for a human: what is being fetched or started."""

_PORT_TRIES = 5
_LOOK_EVERY_SECONDS = 0.05
_PORT_TAKEN = "address already in use"


class Service(ABC):
    """A server process on loopback ports, ready when :meth:`start` returns, gone when its starter is.

    ``stop``, ``kill`` and ``start`` keep the data and the ports; ``close`` (also by ``with`` and at
    interpreter exit) removes a temporary directory. When the starter dies, by whatever signal, the service
    is killed and its temporary directory removed.
    """

    title: ClassVar[str]
    slug: ClassVar[str]
    patience_seconds: ClassVar[float] = 15.0
    start_seconds: ClassVar[float] = 60.0

    def __init__(
        self,
        *,
        directory: str | Path | None,
        ports: Sequence[str],
        progress: Progress | None,
    ) -> None:
        self._process = Process(self.slug, None if directory is None else Path(directory))
        self._port_names = tuple(ports)
        self._progress = progress
        self.ports: Mapping[str, int] = {}

    @property
    def directory(self) -> Path:
        """Where configuration, data and log are."""
        return self._process.directory

    @property
    def log_path(self) -> Path:
        """The service's log."""
        return self._process.log_path

    @property
    def pid(self) -> int | None:
        """Process id, None when the service does not run."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process.pid is not None

    def start(self) -> Self:
        """Start the service and wait until it serves; nothing happens when it runs already.

        Raises
        ------
        DependencyError
            It cannot be started: a part is missing, its port is taken, or it ended; the message says which.
        """
        if self.running:
            return self
        atexit.register(self.close)
        self._process.open()
        first, tries = not self.ports, _PORT_TRIES if not self.ports else 1
        for _ in range(tries):
            if first:
                self.ports = {name: free_port() for name in self._port_names}
            if self._try_start():
                return self
        ports = ", ".join(str(port) for port in self.ports.values())
        raise self._failed(f"a port of {ports} is taken by another process: end it, or use a new directory")

    def stop(self) -> None:
        """End the service in an orderly way; data and ports are kept for :meth:`start`."""
        self._process.terminate(self.patience_seconds)

    def kill(self) -> None:
        """End the service as a crash does (SIGKILL); data and ports are kept for :meth:`start`."""
        self._process.kill()

    def restart(self) -> Self:
        """Stop in an orderly way and start on the same data and ports."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End the service for good: in an orderly way when its directory is kept, else with the directory."""
        atexit.unregister(self.close)
        if not self._process.temporary:
            self.stop()
        self._process.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Write the files that the service needs for ``self.ports``; give the command that runs it."""

    @abstractmethod
    def _serves(self) -> bool:
        """Tell whether this very process answers clients now."""

    def _environment(self) -> Mapping[str, str] | None:
        return None

    def _try_start(self) -> bool:
        """Start on ``self.ports``; False when one of them is taken."""
        self._process.spawn(self._command(), self._environment())
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if not self.running:
                return self._explain_end()
            if self._serves():
                return True
            time.sleep(_LOOK_EVERY_SECONDS)
        self._process.kill()
        raise self._failed(f"does not serve after {self.start_seconds:.0f} s")

    def _explain_end(self) -> bool:
        if _PORT_TAKEN in self._process.log_text().lower():
            return False
        raise self._failed(f"ended with code {self._process.exit_code} while starting")

    def _failed(self, what: str) -> DependencyError:
        lines = [line.strip() for line in self._process.log_text().splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or "exception" in line.lower()]
        told = (errors[:1] or lines[-1:] or ["its log is empty"])[0][:300]
        where = "" if self._process.temporary else f" (log: {self.log_path})"
        return DependencyError(f"{self.title} {what}: {told}{where}")

    def _say(self, message: str) -> None:
        if self._progress is not None:
            self._progress(message)
