"""Settings from the environment. This is the one file that reads it.

``DRIFTSTREAM_REDIS__URL`` sets ``redis.url``: upper case, ``__`` between levels. Below ``kafka`` a ``_``
stands for a dot: ``DRIFTSTREAM_KAFKA__BOOTSTRAP_SERVERS``. A model is named by its name in upper case with
``_`` for what is neither letter nor digit: ``DRIFTSTREAM_MODELS__LOAN_APPROVAL__WINDOW``. The same name with
``_FILE`` at the end names a file that holds the value, which keeps secrets out of the process table.
The environment wins over the file. A variable that sets nothing is an error, as a key in the file would be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ConfigError
from stream.settings.config_file import SettingPath
from stream.settings.tree import Branch, nearest

PREFIX = "DRIFTSTREAM_"
INSECURE = "DRIFTSTREAM_INSECURE"
COMMAND_LINE = frozenset({"DRIFTSTREAM_CONFIG", INSECURE, "DRIFTSTREAM_LOG_LEVEL", "DRIFTSTREAM_LOG_FORMAT"})
"""Variables that stand for options of the command line, not for settings."""
TESTS = frozenset({"DRIFTSTREAM_CRASH_AT", "DRIFTSTREAM_UNDER_TEST"})
"""Variables of :mod:`stream.crash_points`."""

# Kubernetes puts these into every pod when a Service is called driftstream or driftstream-*.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?$")
_SERVICE_ADDRESS = re.compile(r"[a-z]+://")


@dataclass(frozen=True)
class Override:
    """One setting given by the environment variable ``name``."""

    path: SettingPath
    value: str
    name: str


def read_environment() -> dict[str, str]:
    """Return the variables of this process that belong to driftstream."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}


def read_overrides(
    environ: Mapping[str, str], tree: Branch, values: Mapping[str, object]
) -> tuple[Override, ...]:
    """Return what the environment sets; ``values`` is the file, for the names of its models.

    Raises
    ------
    ConfigError
        A variable names no setting, names one twice, or its ``_FILE`` cannot be read.
    """
    known = dict(_variables(tree, values))
    overrides: dict[SettingPath, Override] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in COMMAND_LINE | TESTS or _is_service_link(name, text):
            continue
        path, from_file = _target(name, known)
        if path in overrides:
            other = overrides[path].name
            raise ConfigError(f"environment: {other} and {name} set the same setting; keep one of them")
        overrides[path] = Override(path, _file_value(name, text) if from_file else text, name)
    return tuple(overrides.values())


def variable(path: SettingPath) -> str:
    """Return the environment variable that sets ``path``.

    >>> variable(("kafka", "sasl.password"))
    'DRIFTSTREAM_KAFKA__SASL_PASSWORD'
    """
    return PREFIX + "__".join(re.sub(r"[^A-Za-z0-9]", "_", str(key)).upper() for key in path)


def _variables(
    tree: Branch, values: Mapping[str, object], at: SettingPath = ()
) -> Iterator[tuple[str, SettingPath]]:
    """Yield each variable that can be set, with the setting it means."""
    for key, branch in tree.keys.items():
        path = (*at, key)
        if branch is None or branch.free:
            yield variable(path), path
            continue
        below = values.get(key)
        below = below if isinstance(below, Mapping) else {}
        if branch.each is None:
            yield from _variables(branch, below, path)
        else:
            for name, inside in below.items():
                values_inside = inside if isinstance(inside, Mapping) else {}
                yield from _variables(branch.each, values_inside, (*path, name))


def _target(name: str, known: Mapping[str, SettingPath]) -> tuple[SettingPath, bool]:
    """Return the setting a variable means, and whether the variable names a file with its value."""
    plain = name.removesuffix("_FILE")
    if name in known and "__" in name:
        return known[name], False
    section, _, prop = plain.partition("__")
    if prop and section in known:  # the kafka map: any property
        return (*known[section], prop.lower().replace("_", ".")), plain != name
    if plain in known and "__" in plain:
        return known[plain], plain != name
    close = nearest(plain, [*known, *COMMAND_LINE])
    hint = f", did you mean {close}?" if close else "; `driftstream config schema` lists the settings"
    raise ConfigError(f"environment variable {name} sets nothing{hint}")


def _file_value(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as exc:
        raise ConfigError(f"environment variable {name}: cannot read {path!r}: {exc}") from exc


def _is_service_link(name: str, value: str) -> bool:
    if "__" in name:
        return False
    return bool(_SERVICE_LINK.search(name)) or (
        name.endswith("_PORT") and _SERVICE_ADDRESS.match(value) is not None
    )
