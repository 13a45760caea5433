"""One monitored column: which JSON types it takes without a second look, and how its values become numbers.

The typed decoder lets through what can be encoded in C; whatever else arrives goes through
:meth:`Column.repaired`, one value at a time, with the same meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from detectors.columns import INVALID, MISSING, UNSEEN, category_key
from stream.errors import DecodeError

Source = Literal["feature", "prediction", "score", "label"]

INVALID_CATEGORY = object()
"""Stands in a repaired event for a value that is no category."""
NUMERIC = float | bool | None
"""What the fast path decodes a numeric column to."""
_BOOLEANS = {"true": True, "false": False}


class Codes(dict[Any, int]):
    """Category to code; a category that the reference never saw is ``UNSEEN``.

    ``veil`` finds the code of what is not here, where names stand for categories (:mod:`stream.privacy`).
    """

    veil: Callable[[object], int] | None = None

    def __missing__(self, value: object) -> int:
        """Return the code of a category that is not here."""
        return UNSEEN if self.veil is None else self.veil(value)


def codes_of(lookup: Mapping[str | None, int], *, boolean: bool) -> Codes:
    """Return ``lookup`` with JSON values beside the texts: 12 and 12.0 find ``"12"``, true finds ``"true"``.

    Booleans and numbers are never both in it, since ``True == 1`` is one key to a dict.
    """
    codes = Codes(lookup)
    codes |= {None: MISSING, INVALID_CATEGORY: INVALID}
    for category, code in lookup.items():
        value = _json_value(category, boolean=boolean)
        if value is not None:
            codes[value] = code
    return codes


def _json_value(category: str | None, *, boolean: bool) -> float | None:
    if category is None or boolean:
        return _BOOLEANS.get(category or "")
    for read in (int, float):
        try:
            value = read(category)
        except ValueError:
            continue
        if category_key(value) == category:
            return value
    return None


def json_type(kind: str, string_bytes: int, *, boolean: bool) -> Any:
    """Return the type that the fast path decodes a column to; anything else is repaired row by row.

    A numeric column takes no text there: numpy would read the string ``"45"`` as a number.
    """
    if kind == "numeric":
        return NUMERIC
    text = Annotated[str, Meta(max_length=string_bytes)]
    return text | bool | None if boolean else text | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a reference: where an event has it and what it is encoded with.

    ``positive_class`` names the class whose score is monitored when an event scores every class; without it
    the largest score is. ``boolean``: some version of the model has JSON's booleans as categories.
    """

    name: str
    source: Source
    kind: str
    codes: Codes
    boolean: bool = False
    positive_class: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Where the value stands in an event: by name among the features, else in the field of its source."""
        return self.source, self.name if self.source == "feature" else self.source

    def repaired(self, value: object, string_bytes: int) -> Any:
        """Return what stands for any JSON value in an event struct: a wrong type becomes the invalid cell.

        What the typed decoder takes stays as it is; so both give the same answers.

        Raises
        ------
        DecodeError
            ``string_too_long``.
        """
        if isinstance(value, str) and utf8_length(value) > string_bytes:
            raise DecodeError("string_too_long", f"{self.source} {self.name!r} is over {string_bytes} bytes")
        if self.source == "score" and isinstance(value, dict):
            value = self.scalar_score(value)
        if value is None or (isinstance(value, bool) and (self.boolean or self.kind == "numeric")):
            return value
        if self.kind == "numeric":
            return as_number(value)
        is_number = type(value) is int or (type(value) is float and math.isfinite(value))
        return value if is_number and not self.boolean else category(value)

    def scalar_score(self, scores: Mapping[str, object]) -> float | None:
        """Return the one score to monitor of an object of class to score; None when it is missing."""
        if self.positive_class is not None:
            chosen = scores.get(self.positive_class)
            return None if chosen is None else as_number(chosen)
        return max((as_number(score) for score in scores.values() if score is not None), default=None)

    def scalar_scores(self, values: Iterable[Any]) -> list[Any]:
        """Return ``values`` with every object of class to score replaced by the score to monitor."""
        return [self.scalar_score(value) if isinstance(value, dict) else value for value in values]


def category(value: object) -> object:
    """Return the text that any JSON value is as a category: None if missing, or INVALID_CATEGORY."""
    key = category_key(value)
    return INVALID_CATEGORY if isinstance(key, int) else key


def number(value: object) -> float:
    """Return any JSON value as float; NaN if missing."""
    return math.nan if value is None else as_number(value)


def as_number(value: object) -> float:
    """Return a JSON value as float; what is not a number, or too large for one, is infinite: invalid."""
    if not isinstance(value, int | float):
        return math.inf
    try:
        return float(value)
    except OverflowError:
        return math.inf


def utf8_length(text: str) -> int:
    """Return the number of UTF-8 bytes of ``text``."""
    return len(text) if text.isascii() else len(text.encode())
