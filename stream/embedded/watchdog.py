"""The witness of a service: when its starter is gone, the service and its directory go too.

Run as a script of its own, so that it outlives a starter that got SIGKILL. The starter holds the other end
of standard input; each line on it is the process group to end, or 0 for "nothing runs now". It cleans up and
ends at end of file (the starter closed it, or died) or when its parent changes (a forked child of the
starter may keep the pipe open).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

_LOOK_EVERY_SECONDS = 1.0
_GIVE_UP_SECONDS = 10.0


def last_group(parent: int) -> int:
    """Read standard input until the starter is gone; give the process group that still runs, else 0."""
    group, rest, orphaned = 0, b"", False
    while True:
        readable, _, _ = select.select([0], [], [], _LOOK_EVERY_SECONDS)
        if readable:
            chunk = os.read(0, 4096)
            if not chunk:
                return group
            *lines, rest = (rest + chunk).split(b"\n")
            group = int(lines[-1]) if lines else group
        elif orphaned:
            return group
        # What was written before the starter died is still read, in one more round.
        orphaned = os.getppid() != parent


def remove(directory: Path) -> None:
    """Remove ``directory``, also while a killed process is still writing its last files there."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while directory.exists() and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            time.sleep(0.05)


if __name__ == "__main__":
    running = last_group(parent=int(sys.argv[1]))
    if running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running, signal.SIGKILL)
    if sys.argv[2]:
        remove(Path(sys.argv[2]))
