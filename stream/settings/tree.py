"""The shape of the configuration: which keys exist where.

Error messages need it to name the nearest known key, the environment to find the setting a variable
means, and docs/configuration.md to list them all; it is read off the pydantic models, never kept by hand.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, RootModel

from stream.settings.config_file import SettingPath


@dataclass(frozen=True)
class Branch:
    """One level of the configuration: fixed ``keys``, or any name with the same keys below (``each``)."""

    model: type[BaseModel] | None = None
    keys: Mapping[str, Branch | None] = field(default_factory=dict)
    each: Branch | None = None
    free: bool = False
    """Any key with a scalar value: the ``kafka`` map."""

    def at(self, path: SettingPath) -> Branch | None:
        """Return the level at ``path``; None for a value or an unknown key."""
        branch: Branch | None = self
        for key in path:
            if branch is None:
                return None
            branch = branch.each or branch.keys.get(str(key))
        return branch

    def places(self, key: str, at: str = "") -> list[str]:
        """Return where else ``key`` is known, such as ``models.NAME.window``."""
        found = []
        for name, branch in self.keys.items():
            place = f"{at}{name}"
            if name == key:
                found.append(place)
            if branch is not None:
                found += (branch.each or branch).places(key, f"{place}.{'NAME.' if branch.each else ''}")
        return found


def setting_tree(model: type[BaseModel]) -> Branch:
    """Return the levels below a settings model; a key maps to None when it holds a value."""
    keys = {}
    for name, info in model.model_fields.items():
        keys[info.alias or name] = _branch_of(info.annotation)
    return Branch(model=model, keys=keys)


def _branch_of(annotation: object) -> Branch | None:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return Branch(model=annotation, free=True)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return setting_tree(annotation)
    item = typing.get_args(annotation)[-1:]
    if item and isinstance(item[0], type) and issubclass(item[0], BaseModel):
        return Branch(each=setting_tree(item[0]))
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to ``word``, or None when none is close.

    >>> nearest("widnow", ["window", "slide", "grace"])
    'window'
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?``, or the known words when none is close."""
    words = list(known)
    close = nearest(word, words)
    return f", did you mean {close!r}?" if close else f"; known: {', '.join(words)}"
