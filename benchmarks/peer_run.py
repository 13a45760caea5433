"""One run of a program that measures itself, in a process of its own: the yardstick and the peers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.services import Services
from benchmarks.usage import Usage
from benchmarks.worker_run import ROOT
from stream.embedded.process import Process

PATIENCE_S = 600.0


def run_straight_line(services: Services, name: str, topic: str, events: int, reference: Path) -> Usage:
    """Let the straight-line script count a topic."""
    command = [sys.executable, "-m", "benchmarks.straight_line", services.kafka.bootstrap_servers, topic]
    arguments = [str(services.partitions), str(events), str(reference)]
    return Usage(**run_program(services.directory / f"{name}.json", [*command, *arguments]))


def run_program(result: Path, command: Sequence[str], rest: Sequence[str] = ()) -> dict[str, Any]:
    """Run ``command RESULT rest`` and return what it wrote to ``result``.

    Raises
    ------
    RuntimeError
        The program failed or took too long.
    """
    process = Process("bench-peer", None)
    try:
        process.spawn([*command, str(result), *rest], {**os.environ, "PYTHONPATH": str(ROOT)})
        code = process.wait(PATIENCE_S)
        if code != 0:
            ended = "took too long" if code is None else f"ended with {code}"
            raise RuntimeError(f"{' '.join(command[:3])} {ended}:\n{process.log_text()[-2000:]}")
        said: dict[str, Any] = json.loads(result.read_text())
        return said
    finally:
        process.close()
