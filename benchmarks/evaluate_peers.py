"""The peers on the windows of the evaluation benchmark, in a process of their own (see --peers)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate_ways import Setting
from benchmarks.quality_peers_check import PROGRAM
from benchmarks.quality_peers_venv import QUIET, PeersUnavailable, last_line, peers_python
from benchmarks.quality_world import is_levels, named

PATIENCE_S = 900.0


def peers_cpu_ms(of: Setting, windows: int) -> tuple[dict[str, str], dict[str, float]]:
    """Return the versions of the libraries, and median CPU milliseconds a window of each.

    Each sees one window more: the first also fits.

    Raises
    ------
    PeersUnavailable
        The libraries cannot be installed, or failed.
    """
    python = peers_python()
    rows = len(next(iter(of.raw[0].values())))
    with tempfile.TemporaryDirectory(prefix="driftstream-peers-") as directory:
        _write([named(of.past)], Path(directory) / "reference.npz")
        _write(of.raw[: windows + 1], Path(directory) / "windows.npz")
        names = list(of.past)
        order = {
            "directory": directory,
            "rows": rows,
            "numeric": [name for name in names if not is_levels(name)],
            "categories": [name for name in names if is_levels(name)],
        }
        done = subprocess.run(
            [str(python), str(PROGRAM)],
            input=json.dumps(order) + "\n",
            env={**os.environ, **QUIET},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(lines) != 2:
        raise PeersUnavailable(f"the peers' process failed: {last_line(done.stderr)}")
    versions, answers = lines
    return versions, {library: median(said["cpu_ms"]) for library, said in answers.items()}


def _write(windows: Any, path: Path) -> None:
    columns: Mapping[str, NDArray[Any]] = {
        name: np.concatenate([window[name] for window in windows]) for name in windows[0]
    }
    np.savez(path, **columns)
