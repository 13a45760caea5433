"""The demo as a newcomer runs it, and that nothing stays behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient
from redis import Redis

from stream.embedded.ports import accepts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.embedded import EmbeddedKafka

    Start = Callable[..., subprocess.Popen[str]]

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo; its temporary files go to ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def assert_success(process: subprocess.Popen[str], broker: str) -> dict[str, Any]:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, f"{out}\n{err}"
    answer: dict[str, Any] = json.loads(out)
    assert answer["broker"].startswith(broker)
    assert answer["first_alert_seconds"] < 30
    assert [injected["found"]["kind"] for injected in answer["injected"]] == ["data_drift", "concept_drift"]
    assert all(1 <= injected["found"]["delay_windows"] <= 3 for injected in answer["injected"]), answer
    assert "performance_drop" in {also["kind"] for also in answer["injected"][1]["also"]}
    assert (answer["false_alarms"], answer["windows"], answer["final"]) == (0, 160, 80)
    assert answer["events"] == answer["counted"] == 2 * answer["joined"] == 40_000
    concept = answer["accuracy"][3]
    assert concept["realized"] < 0.9 < 0.98 < concept["estimated"]
    return answer


def read_until(process: subprocess.Popen[str], start: str) -> None:
    assert process.stderr is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith(start)):
        lines.append(process.stderr.readline())
        assert lines[-1], f"ended without {start!r}: {lines}"


def held_by(process: subprocess.Popen[str]) -> tuple[list[psutil.Process], list[int]]:
    family = psutil.Process(process.pid).children(recursive=True)
    listening = [
        connection.laddr.port
        for each in [psutil.Process(process.pid), *family]
        for connection in each.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    return family, listening


def assert_nothing_left(family: list[psutil.Process], ports: list[int], directory: Path) -> None:
    deadline = time.monotonic() + 15
    left: list[object] = [directory]
    while left and time.monotonic() < deadline:
        left = [port for port in ports if accepts(port)]
        left += list(directory.iterdir())
        left += [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.05)
    assert left == []


def test_on_apache_kafka(kafka_parts: list[Path], redis_binary: str, start: Start, tmp_path: Path) -> None:
    process = start("--output", "json")
    read_until(process, "window 20  firing")
    family, ports = held_by(process)
    answer = assert_success(process, "Apache Kafka")
    assert answer["redis"].startswith("redis-server")
    assert len(family) >= 3
    assert len(ports) >= 4
    assert_nothing_left(family, ports, tmp_path)


def test_on_the_mock(redis_binary: str, start: Start, tmp_path: Path) -> None:
    process = start("--output", "json", "--broker", "mock")
    assert_success(process, "librdkafka mock")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing(
    kafka_parts: list[Path], redis_binary: str, start: Start, tmp_path: Path
) -> None:
    process = start()
    read_until(process, "window  0")
    family, ports = held_by(process)
    assert len(family) >= 3
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert_nothing_left(family, ports, tmp_path)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_signal_while_the_worker_starts_leaves_nothing(
    redis_binary: str, start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start("--broker", "mock")
    read_until(process, "Starting driftstream worker")
    family, ports = held_by(process)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert_nothing_left(family, ports, tmp_path)


def test_a_broker_and_a_redis_of_the_user_are_given_back_clean(
    kafka: EmbeddedKafka, redis_url: str, start: Start, tmp_path: Path
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    process = start("--broker", kafka.bootstrap_servers, "--redis", redis_url)
    read_until(process, "window  0")
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() > 0
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, "left" in err) == (130, False), err
        assert client.dbsize() == 0
    assert [t for t in admin.list_topics(timeout=10).topics if t.startswith("driftstream-demo")] == []
    assert_nothing_left([], [], tmp_path)


def test_a_broker_that_is_not_there_is_one_line(redis_binary: str, start: Start, tmp_path: Path) -> None:
    process = start("--broker", "127.0.0.1:1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    (line,) = [line for line in err.splitlines() if line.startswith("driftstream: error:")]
    assert "Kafka at 127.0.0.1:1 cannot be used: Connection refused" in line
    assert list(tmp_path.iterdir()) == []


def test_a_redis_in_clear_elsewhere_is_refused_unless_it_is_said_to_be_fine(
    start: Start, tmp_path: Path
) -> None:
    for options, code, said in (((), 2, "is in clear"), (("--insecure",), 3, "Connection refused")):
        process = start("--broker", "mock", "--redis", "redis://0.0.0.0:1/0", *options)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        (line,) = [line for line in err.splitlines() if line.startswith("driftstream: error:")]
        assert said in line
    assert list(tmp_path.iterdir()) == []
