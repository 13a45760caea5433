"""Read a YAML file into plain values while remembering the line of every key and value.

PyYAML throws the lines away once it has built a dictionary, lets a repeated key win silently and turns
the key ``no`` into ``False``. Here the node tree is walked instead: every path (``("models", "m",
"references", 0)``) keeps its line, a repeated key is an error, and keys stay text as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from stream.errors import ConfigError

_TYPE_NAMES = {"str": "text", "int": "a number", "float": "a number", "list": "a list", "NoneType": "nothing"}
SettingPath = tuple[str | int, ...]
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class ConfigDocument:
    """One configuration file: its values, and the line (from 1) of every path in it."""

    path: Path
    values: Mapping[str, object]
    lines: Mapping[SettingPath, int]


def read_config(path: Path) -> ConfigDocument:
    """Read and parse one file.

    Raises
    ------
    ConfigError
        The file cannot be read, is empty, is not YAML, is not a mapping or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: no such file; pass the configuration with --config FILE") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {exc.start})") from exc
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> ConfigDocument:
    """Parse the text of a configuration file; ``path`` only names it in messages."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}: is empty; the smallest configuration has kafka, redis and models")
        walk = _Walk(path, loader)
        values = walk.build(node, ())
    except yaml.MarkedYAMLError as exc:
        raise ConfigError(f"{_where(path, exc)}: is not valid YAML: {_problem(exc)}") from None
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: is not valid YAML: {str(exc).splitlines()[0]}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{path}: is nested too deeply") from exc
    if not isinstance(values, dict):
        kind = _TYPE_NAMES.get(type(values).__name__, "a value")
        raise ConfigError(f"{path}:1: must be a mapping of keys such as kafka, redis and models, not {kind}")
    return ConfigDocument(path, values, walk.lines)


class _Walk:
    """Builds plain values from a node tree, noting lines on the way."""

    def __init__(self, path: Path, loader: yaml.SafeLoader) -> None:
        self._path = path
        self._loader = loader
        self._inside: set[int] = set()
        self.lines: dict[SettingPath, int] = {}

    def build(self, node: yaml.Node, at: SettingPath) -> object:
        """Return the value of a node, and of everything below it."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._inside:
            raise ConfigError(f"{self._path}:{node.start_mark.line + 1}: an alias contains itself")
        self._inside.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, at)
            return [self.build(item, (*at, index)) for index, item in enumerate(node.value)]
        finally:
            self._inside.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> object:
        """Return text, a number, a boolean, a date or nothing, as YAML reads it."""
        try:
            value: object = self._loader.construct_object(node)
        except ValueError as exc:  # 2026-13-45 looks like a date to YAML
            line = node.start_mark.line + 1
            raise ConfigError(f"{self._path}:{line}: {node.value!r} must be quoted: {exc}") from exc
        return value

    def _mapping(self, node: yaml.MappingNode, at: SettingPath) -> dict[str, object]:
        """Build a mapping; what ``<<`` brings in gives way to the keys written beside it."""
        values: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key_node, value_node in sorted(node.value, key=lambda pair: bool(pair[0].tag != _MERGE_TAG)):
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                merged = {**self._merged(value_node, at), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._path}:{line}: a key must be text")
            key = str(key_node.value)
            if key in values:
                first = self.lines[(*at, key)]
                raise ConfigError(f"{self._path}:{line}: key {key!r} is given twice, first in line {first}")
            self.lines[(*at, key)] = line
            values[key] = self.build(value_node, (*at, key))
        return {**merged, **values}

    def _merged(self, node: yaml.Node, at: SettingPath) -> dict[str, object]:
        """Return what one ``<<: *alias`` or ``<<: [*a, *b]`` brings in; the first of a list wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, object] = {}
        for part in nodes:
            value = self.build(part, at)
            if not isinstance(value, dict):
                line = part.start_mark.line + 1
                raise ConfigError(f"{self._path}:{line}: << must name a mapping")
            result = {**value, **result}
        return result


def _where(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{path}:{mark.line + 1}" if mark else str(path)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong without echoing the text: an unquoted password may start with ``*`` or ``!``."""
    problem = error.problem or "syntax error"
    if "undefined alias" in problem:
        return "a value that starts with * must be quoted"
    if "constructor for the tag" in problem or "tag" in (error.context or ""):
        return "a value that starts with ! must be quoted"
    return problem
