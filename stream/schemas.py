"""The JSON Schemas of the events, made from :mod:`stream.events`.

``python -m stream.schemas [DIRECTORY]`` writes them, to ``docs/schemas/`` by default. A test compares the
committed files with the structs.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from stream.events import InferenceEvent, LabelEvent

DIRECTORY = Path(__file__).parents[1] / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVENTS: dict[str, type[msgspec.Struct]] = {"inference.json": InferenceEvent, "label.json": LabelEvent}


def schema(event: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event type, with the struct itself at the top level."""
    (top,), components = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    body = components.pop(top["$ref"].rpartition("/")[2])
    body["description"] = inspect.cleandoc(body["description"])
    body = {"$schema": DIALECT, **body}
    if components:
        body["$defs"] = components
    return body


def render(event: type[msgspec.Struct]) -> str:
    """Return the text of the committed schema file of one event type."""
    return json.dumps(schema(event), indent=2, ensure_ascii=False) + "\n"


def write(directory: Path = DIRECTORY) -> list[Path]:
    """Write every schema into ``directory`` and return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, event in EVENTS.items():
        path = directory / name
        path.write_text(render(event), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write(*map(Path, sys.argv[1:2])):
        sys.stdout.write(f"{written}\n")
