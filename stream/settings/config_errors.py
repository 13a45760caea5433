"""Turn what pydantic found wrong into lines a person can act on: place, setting, value, remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stream.errors import ConfigError
from stream.settings.config_file import SettingPath
from stream.settings.masking import MASK, is_secret, mask_url
from stream.settings.tree import Branch, did_you_mean, nearest


@dataclass(frozen=True)
class Origins:
    """Where each setting was given: a line of the file, or a variable of the environment."""

    file: Path | None = None
    lines: Mapping[SettingPath, int] = field(default_factory=dict)
    variables: Mapping[SettingPath, str] = field(default_factory=dict)

    def where(self, *path: str | int) -> str:
        """Return ``driftstream.yaml:12`` or the variable's name for a setting, or for what it stands in."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return f"environment variable {self.variables[path[:length]]}"
            if self.file is not None and path[:length] in self.lines:
                return f"{self.file}:{self.lines[path[:length]]}"
        return str(self.file or "configuration")

    def line(self, path: SettingPath) -> int:
        """Return the line of a setting, or of what it stands in; 0 when it is not from the file."""
        lengths = range(len(path), -1, -1)
        return next((self.lines[path[:length]] for length in lengths if path[:length] in self.lines), 0)


def explain(error: ValidationError, origins: Origins, tree: Branch) -> ConfigError:
    """Return one error that lists everything pydantic found, each with its place."""
    found = sorted(error.errors(), key=lambda item: origins.line(_path(item["loc"])))
    typos = [_path(item["loc"]) for item in found if item["type"] == "extra_forbidden"]
    told = [item for item in found if item["type"] != "missing" or not _is_typo(_path(item["loc"]), typos)]
    lines = list(dict.fromkeys(_line(dict(item), origins, tree) for item in told))
    return listed(lines, origins)


def listed(lines: list[str], origins: Origins) -> ConfigError:
    """Return one error of several lines: one line as it is, more under a summary."""
    if len(lines) == 1:
        return ConfigError(lines[0])
    return ConfigError("\n".join([f"{origins.file or 'configuration'}: {len(lines)} errors", *lines]))


def _path(loc: SettingPath) -> SettingPath:
    """Return the setting a finding is about; pydantic marks a wrong key by ``[key]`` behind it."""
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _is_typo(missing: SettingPath, typos: list[SettingPath]) -> bool:
    """Tell whether a required key is there, misspelt: then the unknown key says all."""
    beside = [str(path[-1]) for path in typos if path[:-1] == missing[:-1]]
    return any(nearest(key, [str(missing[-1])]) for key in beside)


def _line(item: dict[str, Any], origins: Origins, tree: Branch) -> str:
    """Word one finding."""
    path = _path(item["loc"])
    if item["type"] == "twice":
        path = (*path, "false_alarms")
    return f"{origins.where(*path)}: {_finding(item, path, tree)}"


def _finding(item: dict[str, Any], path: SettingPath, tree: Branch) -> str:
    """Name the setting, its value and the remedy."""
    name, key, message = dotted(path), str(path[-1]) if path else "", str(item["msg"])
    match item["type"]:
        case "extra_forbidden":
            text = f"unknown key {key!r} in {dotted(path[:-1])}{_remedy(key, path[:-1], tree)}"
        case "missing":
            text = f"{name} is missing{_meaning(path, tree)}"
        case "too_short":
            text = f"{name} is empty{_meaning(path, tree)}"
        case "bootstrap":
            text = f"{name} {message}{_near_bootstrap(item['input'])}"
        case "owned" | "name" | "distinct" | "poll" | "twice":
            text = f"{name} {message}"
        case "model_type" | "model_attributes_type" | "dict_type":
            text = f"{name} must be a mapping of keys to values"
        case "tuple_type" | "list_type":
            text = f"{name} must be a list, such as [first, second]"
        case _:
            wanted = message.replace("Input should", "must").replace("a valid integer", "an integer")
            text = f"{name} is {_shown(key, item['input'])}: {wanted}"
    return text


def _remedy(key: str, parent: SettingPath, tree: Branch) -> str:
    """Name the nearest key of the level, else where this very key is known, else what the level knows."""
    branch = tree.at(parent)
    known = list(branch.keys) if branch else []
    elsewhere = tree.places(key)
    if elsewhere and nearest(key, known) is None:
        return f"; it belongs to {' or '.join(elsewhere)}"
    return did_you_mean(key, known)


def dotted(path: SettingPath) -> str:
    """Return ``models.loan-approval.references[0]`` for a path; the whole file for the empty one."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".") or "the configuration"


def _shown(key: str, value: object) -> str:
    """Return a wrong value for a message, never a secret."""
    if is_secret(key) or hasattr(value, "get_secret_value"):
        return MASK
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "empty"
    text = mask_url(value) if key == "url" and isinstance(value, str) else value
    return repr(text)


def _meaning(path: SettingPath, tree: Branch) -> str:
    """Return what a required setting is, from its description."""
    branch = tree.at(path[:-1])
    if branch is None or branch.model is None:
        return ""
    fields = {info.alias or name: info for name, info in branch.model.model_fields.items()}
    info = fields.get(str(path[-1]))
    return f": {info.description}" if info and info.description else ""


def _near_bootstrap(given: object) -> str:
    """Name the key that was probably meant to be ``bootstrap.servers``."""
    if not isinstance(given, Mapping):
        return ""
    for key in given:
        if nearest(str(key), ["bootstrap.servers"]):
            return f"; {key!r} is not it"
    return ""
