"""The venv of the peers of the ingest: made by uv from ``peers/requirements.txt``, exact versions.

quixstreams wants an older confluent-kafka than ours, so it cannot live beside this project.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality_peers_venv import made, python_version

VENV = Path(__file__).parents[1] / ".tools" / "ingest-peers"
REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"


def peers_python(venv: Path = VENV) -> Path:
    """Make the venv if it is not there, give it the exact versions, and return its Python.

    Raises
    ------
    PeersUnavailable
        uv is missing or failed.
    """
    if not (venv / "bin" / "python").exists():
        made(venv, ["venv", "--quiet", "--python", python_version(), str(venv)])
    return made(venv, ["pip", "sync", "--quiet", "--python", str(venv / "bin" / "python"), str(REQUIREMENTS)])
