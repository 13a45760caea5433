"""One run of a program that measures itself, in a process of its own: the yardstick and the peers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from benchmarks.services import TOPIC, Services
from benchmarks.usage import Usage
from benchmarks.worker_run import PATIENCE_S, ROOT
from stream.embedded.process import Process


def run_faust(services: Services, name: str, events: int) -> Usage:
    """Let an empty Faust agent read ``events`` events of the inference topic from its start."""
    return _run(services, name, "benchmarks.faust_agent", [str(events)])


def run_straight_line(services: Services, name: str, events: int, partitions: int) -> Usage:
    """Let the straight-line script count the inference topic."""
    arguments = [str(partitions), str(events), str(services.reference_path)]
    return _run(services, name, "benchmarks.straight_line", arguments)


def _run(services: Services, name: str, module: str, arguments: Sequence[str]) -> Usage:
    """Run ``python -m module BROKER TOPIC arguments RESULT`` and read the usage it writes.

    Raises
    ------
    RuntimeError
        The program failed or took too long.
    """
    process = Process("bench-peer", None)
    result = services.directory / f"{name}.json"
    command = [sys.executable, "-m", module, services.kafka.bootstrap_servers, TOPIC, *arguments, str(result)]
    try:
        process.spawn(command, {**os.environ, "PYTHONPATH": str(ROOT)})
        if process.wait(PATIENCE_S) != 0:
            raise RuntimeError(f"{module} did not finish:\n{process.log_text()[-2000:]}")
        return Usage(**json.loads(result.read_text()))
    finally:
        process.close()
