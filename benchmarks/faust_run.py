"""One run of the empty Faust agent."""

from __future__ import annotations

import json
import os
import sys

from benchmarks.services import TOPIC, Services
from benchmarks.usage import Usage
from benchmarks.worker_run import PATIENCE_S, ROOT
from stream.embedded.process import Process


def run_faust(services: Services, name: str, events: int) -> Usage:
    """Let an empty Faust agent read ``events`` events of the inference topic from its start.

    Raises
    ------
    RuntimeError
        The agent ended early or took too long.
    """
    process = Process("bench-faust", None)
    result = services.directory / f"{name}.json"
    reads = (services.kafka.bootstrap_servers, TOPIC, str(events), str(result))
    try:
        process.spawn(
            [sys.executable, "-m", "benchmarks.faust_agent", *reads], {**os.environ, "PYTHONPATH": str(ROOT)}
        )
        if process.wait(PATIENCE_S) != 0:
            raise RuntimeError(f"the Faust agent did not finish:\n{process.log_text()[-2000:]}")
        return Usage(**json.loads(result.read_text()))
    finally:
        process.close()
