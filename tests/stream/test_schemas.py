from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stream.schemas import DIRECTORY, EVENTS, render, schema, write

INFERENCE = {
    "prediction_id": "p-1",
    "model": "loan",
    "version": "v2",
    "ts": "2026-11-21T12:00:00Z",
    "features": {"age": 31, "home": "RENT", "member": True, "income": None},
    "prediction": "approve",
    "score": {"approve": 0.7, "decline": 0.3},
    "segments": {"channel": "web"},
    "measures": {"latency_ms": 12.5},
    "status": "ok",
    "weight": 10,
    "new_field": [1],
}
LABEL = {"prediction_id": "p-1", "model": "loan", "label": True, "ts": 1_760_000_000_000, "value": 12.5}


@pytest.mark.parametrize("name", EVENTS)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    committed = (DIRECTORY / name).read_text(encoding="utf-8")
    assert committed == render(EVENTS[name]), "run: python -m stream.schemas"


def test_every_committed_schema_is_generated() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_the_schema_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(EVENTS[name]))


@pytest.mark.parametrize(("name", "event"), [("inference.json", INFERENCE), ("label.json", LABEL)])
def test_events_are_valid(name: str, event: dict[str, Any]) -> None:
    jsonschema.validate(event, schema(EVENTS[name]))


@pytest.mark.parametrize(
    "change",
    [
        {"prediction_id": ""},
        {"prediction_id": 7},
        {"prediction_id": "x" * 129},
        {"model": None},
        {"features": {"age": [1]}},
        {"weight": 0},
        {"status": "fine"},
        {"ts": True},
    ],
)
def test_other_events_are_not(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(INFERENCE | change, schema(EVENTS["inference.json"]))


def test_write_makes_the_directory(tmp_path: Path) -> None:
    paths = write(tmp_path / "new")
    assert [json.loads(path.read_text())["title"] for path in paths] == ["InferenceEvent", "LabelEvent"]


def test_the_module_regenerates_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stream.schemas", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in EVENTS]
