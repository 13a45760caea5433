"""Whatever ends the starter of a service, the service, its directory and its port end too."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from stream.embedded.ports import accepts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.services

STARTER = """
import signal, sys, time
from stream.embedded import EmbeddedKafka, EmbeddedRedis

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored

def run(service):
    with service as started:
        print(started.pid, started.directory, *started.ports.values(), flush=True)
        ENDING

def idle():
    while True:  # a signal that comes just before one long sleep would be seen at its end only
        time.sleep(0.05)

run(globals()[sys.argv[1]]())
"""


@pytest.fixture
def starter() -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Starts a Python that starts a service, prints what it holds, then runs ``ending``."""
    started: list[subprocess.Popen[str]] = []

    def start(service: str, ending: str) -> subprocess.Popen[str]:
        source = STARTER.replace("ENDING", ending)
        command = [sys.executable, "-c", source, service]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def held(process: subprocess.Popen[str]) -> tuple[int, Path, list[int]]:
    assert process.stdout is not None
    pid, directory, *ports = process.stdout.readline().split()
    return int(pid), Path(directory), [int(port) for port in ports]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_all_gone(pid: int, directory: Path, ports: list[int], within_seconds: float = 10.0) -> None:
    deadline = time.monotonic() + within_seconds
    left: list[object] = [pid]
    while left and time.monotonic() < deadline:
        left = [port for port in ports if accepts(port)]
        left += [directory] * directory.exists()
        left += [pid] * lives(pid)
        time.sleep(0.02)
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_starter_of_redis(
    redis_binary: str, starter: Callable[[str, str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = starter("EmbeddedRedis", "idle()")
    left = held(process)
    assert left[1].exists()
    process.send_signal(number)
    assert_all_gone(*left)


def test_sigkill_of_the_starter_of_kafka(
    kafka_parts: list[Path], starter: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    process = starter("EmbeddedKafka", "idle()")
    left = held(process)
    process.kill()
    assert_all_gone(*left)


def test_killed_service_leaves_no_directory_when_its_starter_dies_too(
    redis_binary: str, starter: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    process = starter("EmbeddedRedis", "started.kill(); print('down', flush=True); idle()")
    left = held(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "down\n"
    assert left[1].exists()
    process.kill()
    assert_all_gone(*left)


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "started.start(); 1 / 0", "pass"])
def test_ordinary_ends_of_the_starter(
    redis_binary: str, starter: Callable[[str, str], subprocess.Popen[str]], ending: str
) -> None:
    process = starter("EmbeddedRedis", ending)
    left = held(process)
    process.communicate(timeout=30)
    assert_all_gone(*left, within_seconds=2.0)


def test_forked_copy_of_the_starter_leaves_the_service_alone(
    redis_binary: str, starter: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    fork = "import os; child = os.fork(); child or started.close() or sys.exit(0); os.waitpid(child, 0)"
    process = starter("EmbeddedRedis", f"{fork}; print(started.running, flush=True); idle()")
    left = held(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    process.kill()
    assert_all_gone(*left)
