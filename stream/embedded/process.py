"""One child process with a directory and a log, that never outlives the process that started it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

_WATCHDOG = Path(__file__).with_name("watchdog.py")

# The child names itself to the watchdog before it becomes the service, so there is no moment in which
# a service runs that the watchdog does not know of.
_ANNOUNCE = 'echo $$; exec "$@" >&2'
_NOTHING_RUNS = b"0\n"


class Process:
    """A directory, a log in it, and at most one running child.

    ``directory`` None makes a temporary one, which goes when the process is closed or its starter dies,
    however it dies. A given directory is kept.
    """

    def __init__(self, name: str, directory: Path | None) -> None:
        temporary = Path(tempfile.gettempdir()) / f"driftstream-{name}-{secrets.token_hex(8)}"
        self.directory = (directory or temporary).absolute()
        self.log_path = self.directory / f"{name}.log"
        self.temporary = directory is None
        self._owner = 0
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Process id of the running child, None when none runs."""
        return self._child.pid if self._child is not None and self.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last child, negative for a signal; None while it runs or before the first."""
        return self._ended(0.0)

    def open(self) -> None:
        """Start the watchdog, then make the directory: nothing is left whenever the starter dies."""
        if self._watchdog is not None:
            return
        self._owner = os.getpid()
        command = [sys.executable, "-I", "-S", str(_WATCHDOG)]
        self._watchdog = subprocess.Popen(
            [*command, str(self._owner), str(self.directory) if self.temporary else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=not self.temporary)

    def spawn(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start ``command`` in the directory, in a session of its own: Ctrl-C is for its starter."""
        self.open()
        assert self._watchdog is not None
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _ANNOUNCE, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=self._watchdog.stdin,
                stderr=log,
                cwd=self.directory,
                env=None if env is None else dict(env),
                start_new_session=True,
            )

    def wait(self, timeout_seconds: float) -> int | None:
        """Wait for the child to end by itself; its exit code, or None when it still runs."""
        return self._ended(timeout_seconds)

    def terminate(self, patience_seconds: float) -> None:
        """Ask the child to end (SIGTERM); kill it when it has not after ``patience_seconds``."""
        if self.pid is not None and not self._forked():
            self._signal(signal.SIGTERM)
            if self.wait(patience_seconds) is None:
                self.kill()

    def kill(self) -> None:
        """End the child and whatever it started at once (SIGKILL)."""
        if self._child is not None and not self._forked():
            self._signal(signal.SIGKILL)
            self.wait(60.0)

    def close(self) -> None:
        """Kill what runs and remove a temporary directory."""
        if self._watchdog is None or self._forked():
            return
        self.kill()
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.communicate()
        self._watchdog = None

    def log_text(self) -> str:
        """Give what the child has logged since it was started."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _ended(self, timeout_seconds: float) -> int | None:
        """Exit code of the child, once it has ended; its id is free for others then: tell the watchdog."""
        if self._child is None:
            return None
        first = self._child.returncode is None
        try:
            code = self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        if first and self._watchdog is not None and not self._forked():
            self._tell_watchdog(self._watchdog.stdin)
        return code

    def _forked(self) -> bool:
        """Tell whether this is a forked copy of the starter, which must leave the service alone."""
        return self._owner != os.getpid()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    @staticmethod
    def _tell_watchdog(pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.write(_NOTHING_RUNS)
            pipe.flush()
