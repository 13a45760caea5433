"""Values of fields that are nobody's business: changed before anything of them is kept.

A rule names a feature and what becomes of its values, in references and in live events alike:

* ``hash``: a category becomes ``#KEY:HASH``, a keyed hash of model, field and category. Drift is seen as
  before; which category it is, only who has the key and a guess can tell.
* ``mask``: every value becomes ``***``; that it is there, or missing, is all that is watched.
* ``bucket WIDTH``: a number becomes the multiple of WIDTH at or below it.
* ``drop``: the field is not read at all.

Pure: the key comes with the settings.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors import Reference
from detectors.binning import NumericBins
from detectors.columns import MISSING, UNSEEN, category_key
from stream.errors import ConfigError

Kind = Literal["hash", "mask", "drop", "bucket"]
KINDS: Final = ("hash", "mask", "drop", "bucket")
MASKED: Final = "***"
_MARK: Final = "#"


@dataclass(frozen=True)
class FieldRule:
    """What becomes of the values of one field; ``width`` is that of buckets."""

    kind: Kind
    width: float = 0.0

    @classmethod
    def parse(cls, text: str) -> FieldRule:
        """Read ``hash``, ``mask``, ``drop`` or ``bucket WIDTH``; ValueError for anything else.

        >>> FieldRule.parse("bucket 1000")
        FieldRule(kind='bucket', width=1000.0)
        """
        kind, _, width = text.strip().partition(" ")
        if kind not in KINDS or bool(width) != (kind == "bucket"):
            raise ValueError("must be hash, mask, drop or bucket WIDTH, such as bucket 1000")
        size = float(width or 0)
        if kind == "bucket" and not (math.isfinite(size) and size > 0):
            raise ValueError("must have a WIDTH above 0, such as bucket 1000")
        return cls(cast("Kind", kind), size)


@dataclass(frozen=True)
class Pseudonyms:
    """Names that stand for categories: keyed BLAKE2b over model, field and category.

    Keyed BLAKE2b is a pseudo-random function by design, as HMAC is of a hash that is none (RFC 7693, 2.9):
    without the key a list of all categories does not help to find the one behind a name.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    """By the name of each key; the first one makes new names."""

    @classmethod
    def of(cls, secrets: Iterable[bytes]) -> Pseudonyms:
        """Of secret keys, the current one first."""
        return cls({_key_name(secret): secret for secret in secrets})

    def name(self, model: str, column: str, category: str, key: str | None = None) -> str:
        """Return what stands for a category; ``key`` names the key, None = the current one."""
        name = next(iter(self.keys)) if key is None else key
        person = hashlib.blake2b(f"{model}\0{column}".encode(), digest_size=16).digest()
        digest = hashlib.blake2b(category.encode(), key=self.keys[name], digest_size=8, person=person)
        return f"{_MARK}{name}:{digest.hexdigest()}"

    def key_of(self, categories: Sequence[str]) -> str | None:
        """Return the name of the one key that made all these names; None if that is not so."""
        found = {category[1:5] for category in categories if category[:1] == _MARK and category[5:6] == ":"}
        plain = any(category[:1] != _MARK or category[5:6] != ":" for category in categories)
        return found.pop() if len(found) == 1 and not plain and found <= self.keys.keys() else None


def _key_name(secret: bytes) -> str:
    return hashlib.blake2b(b"name of the key", key=secret, digest_size=2).hexdigest()


@dataclass(frozen=True)
class FieldPrivacy:
    """The rules of all fields, and the names that stand for categories."""

    rules: Mapping[str, FieldRule] = field(default_factory=dict)
    pseudonyms: Pseudonyms = field(default_factory=lambda: Pseudonyms({}))

    @property
    def dropped(self) -> frozenset[str]:
        """Features that are not read."""
        return frozenset(name for name, rule in self.rules.items() if rule.kind == "drop")

    def built(self, features: Mapping[str, ArrayLike], model: str) -> dict[str, ArrayLike]:
        """Return the features of a model as a reference may be built from them."""
        return {
            name: self._built(name, values, model)
            for name, values in features.items()
            if name not in self.dropped
        }

    def _built(self, name: str, values: ArrayLike, model: str) -> ArrayLike:
        rule = self.rules.get(name)
        if rule is None:
            return values
        if rule.kind == "bucket":
            return bucketed(np.asarray(values, np.float64), rule.width)
        listed = values.tolist() if isinstance(values, np.ndarray) else list(cast("Sequence[Any]", values))
        names: dict[tuple[type, Any], Any] = {}
        for value in listed:
            if (type(value), value) not in names:
                names[type(value), value] = self._name(model, name, rule, value)
        return cast("ArrayLike", [names[type(value), value] for value in listed])

    def _name(self, model: str, column: str, rule: FieldRule, value: object) -> str | float | None:
        key = category_key(value)
        if not isinstance(key, str):
            return None if key is None else math.inf
        return MASKED if rule.kind == "mask" else self.pseudonyms.name(model, column, key)

    def needs_values(self, references: Iterable[Reference]) -> bool:
        """Whether live values of these references must be changed before they are counted."""
        return any(
            rule.kind != "drop" and name in _features(reference)
            for reference in references
            for name, rule in self.rules.items()
        )

    def require(self, references: Mapping[tuple[str, str], Reference]) -> None:
        """Refuse references that were built without the rules: they hold what they should not.

        Raises
        ------
        ConfigError
            The message names the model, the column and the remedy.
        """
        for (model, version), reference in references.items():
            for name in _features(reference) & self.rules.keys():
                fault = self._fault(reference, name)
                if fault is not None:
                    rule = self.rules[name].kind
                    raise ConfigError(
                        f"privacy.fields.{name} is {rule}, and the reference of {model} {version} {fault}: "
                        "build it again with --config, or have it learned again (`reference forget`)"
                    )

    def _fault(self, reference: Reference, name: str) -> str | None:
        rule = self.rules[name]
        if rule.kind == "drop":
            return f"has a column {name!r}"
        is_numeric = dict(zip(reference.names, reference.kinds, strict=True))[name] == "numeric"
        if is_numeric != (rule.kind == "bucket"):
            return f"has {name!r} as a column of {'numbers' if is_numeric else 'categories'}"
        if rule.kind == "bucket":
            is_bucketed = _is_bucketed(reference, name, rule.width)
            return None if is_bucketed else f"has bins of {name!r} between buckets"
        categories = [key for key in reference.binning.lookup(name) if key is not None]
        if rule.kind == "mask":
            return None if set(categories) <= {MASKED} else f"names categories of {name!r}"
        if categories and self.pseudonyms.key_of(categories) is None:
            return f"names categories of {name!r} that no key of privacy.id_key or previous_id_keys has made"
        return None

    def code(self, model: str, column: str, lookup: Mapping[str | None, int]) -> Any:
        """Return the function from a live value to its code among the categories that ``lookup`` has."""
        codes = {key: code for key, code in lookup.items() if isinstance(key, str)}
        masks = self.rules[column].kind == "mask"
        made_by = None if masks or not codes else self.pseudonyms.key_of(list(codes))

        def code_of(value: object) -> int:
            key = category_key(value)
            if not isinstance(key, str):
                return MISSING if key is None else key
            name = MASKED if masks else self.pseudonyms.name(model, column, key, made_by)
            return codes.get(name, UNSEEN)

        return code_of


NO_RULES: Final = FieldPrivacy()


def bucketed(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the multiple of ``width`` at or below each value; NaN and infinities stay.

    >>> bucketed(np.array([0.0, 999.0, 1000.0, -1.0, np.inf]), 1000.0).tolist()
    [0.0, 0.0, 1000.0, -1000.0, inf]
    """
    found: NDArray[np.float64] = np.floor(values / width) * width
    return found


def _is_bucketed(reference: Reference, name: str, width: float) -> bool:
    """Whether every edge lies on a bucket's, or midway between two, as those of bucketed values do."""
    column = reference.binning.columns[reference.names.index(name)]
    edges = np.asarray(column.edges if isinstance(column, NumericBins) else ()) / (width / 2)
    return bool(np.allclose(edges, np.round(edges), rtol=0, atol=1e-6))


def _features(reference: Reference) -> set[str]:
    pairs = zip(reference.names, reference.roles, strict=True)
    return {name for name, role in pairs if role == "feature"}
