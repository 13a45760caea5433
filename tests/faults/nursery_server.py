"""A process that has imported everything and forks: a worker made by it is up in a tenth of a second.

Started by :mod:`tests.faults.nursery`. One JSON line on stdin asks for a child, one on stdout tells its id,
one more tells how it ended. Has no threads and no clients of its own, so its forks are clean. When stdin
closes, whoever asked is gone: the children are killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

import stream.worker
from stream.cli import main

WARM = stream.worker  # imported for its own sake: a fork starts with it


def say(**message: Any) -> None:
    """Tell the asker, in one write."""
    os.write(1, json.dumps(message).encode() + b"\n")


def misfortune() -> None:
    """What the environment asks for: a wall clock that is off, too few file descriptors."""
    shift_ns = int(os.environ.get("TEST_CLOCK_SHIFT_S", "0")) * 10**9
    if shift_ns:
        true_ns = time.time_ns
        time.time_ns = lambda: true_ns() + shift_ns
        time.time = lambda: time.time_ns() / 1e9
    if files := os.environ.get("TEST_OPEN_FILES"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))


def become(request: dict[str, Any]) -> None:
    """Turn this fork into the command that was asked for; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(request["env"])
    faulthandler.enable()
    misfortune()
    code = 1
    try:
        code = main(request["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def reap(children: set[int]) -> None:
    """Tell of every child that has ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        say(ended=pid, code=os.waitstatus_to_exitcode(status))


def serve() -> None:
    """Fork on demand until stdin closes."""
    children: set[int] = set()
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    say(ready=True)
    pending = b""
    while True:
        readable, _, _ = select.select([0, wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            reap(children)
        if 0 not in readable:
            continue
        data = os.read(0, 65_536)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            pid = os.fork()
            if not pid:
                become(json.loads(line))
            children.add(pid)
            say(started=pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
