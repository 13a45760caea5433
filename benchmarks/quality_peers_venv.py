"""The venv of the peers: made by uv from the dependency group ``peers`` of pyproject.toml and uv.lock.

The libraries want numpy 1 and pandas 2 and cannot live beside this project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".tools" / "peers"
LAST_PYTHON = (3, 12)
QUIET: Mapping[str, str] = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}


class PeersUnavailable(Exception):
    """The venv of the peers cannot be made; the message says why and what to do."""


def peers_python(venv: Path = VENV) -> Path:
    """Make the venv if it is not there or not as locked, and return its Python.

    Raises
    ------
    PeersUnavailable
        uv is missing or failed.
    """
    return made(
        venv, ["sync", "--locked", "--only-group", "peers", "--python", python_version(), "--no-progress"]
    )


def made(venv: Path, arguments: Sequence[str]) -> Path:
    """Let uv work on ``venv`` in ``.tools``, and return its Python.

    Raises
    ------
    PeersUnavailable
        uv is missing or failed.
    """
    command = [_uv(), *arguments]
    venv.parent.mkdir(parents=True, exist_ok=True)
    ignored = venv.parent / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")
    # Behind a proxy that signs with a certificate of its own, only the system's store knows it.
    for more in ({}, {"UV_SYSTEM_CERTS": "1"}):
        done = _run(command, {"UV_PROJECT_ENVIRONMENT": str(venv), **more})
        if done.returncode == 0:
            return venv / "bin" / "python"
    raise PeersUnavailable(
        f"the venv of the peers cannot be made in {venv}: {' '.join(command)} ended with"
        f" {done.returncode}: {last_line(done.stderr)}"
    )


def _run(command: list[str], more: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        command, env=given | dict(more), cwd=ROOT, capture_output=True, text=True, check=False
    )


def _uv() -> str:
    own = ROOT / ".tools" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        raise PeersUnavailable("uv is not on PATH and not in .tools: install it (pip install uv) for --peers")
    return found


def python_version() -> str:
    """Return the Python to ask for: this one where the peers can run on it."""
    return ".".join(map(str, min(sys.version_info[:2], LAST_PYTHON)))


def last_line(text: str) -> str:
    """Return what a program said last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
