"""The state of a river detector as named numbers: read from its attributes, checked, written back.

River objects have no format of their own for this. Each attribute is named here by its path, so a state is a
flat table, and one that lacks a name, has one too many or holds another kind of value is refused.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from detectors.errors import CorruptBytes

Value = bool | int | float | None | list[int] | list[float] | dict[str, Any]
_MERSENNE_WORDS = 625


@dataclass(frozen=True)
class Field:
    """One attribute: how it is read, what may stand in its place, and how it is written back."""

    path: str
    valid: Callable[[Any], bool]
    read: Callable[[Any], Value]
    write: Callable[[Any, Any], Any]


def _replaced(_: Any, value: Any) -> Any:
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def numbers(*paths: str) -> tuple[Field, ...]:
    """Floats; infinite is fine, NaN is not."""
    return tuple(Field(path, _is_number, float, _replaced) for path in paths)


def optional_numbers(*paths: str) -> tuple[Field, ...]:
    """Floats that may be absent."""

    def read(value: Any) -> Value:
        return None if value is None else float(value)

    def valid(value: Any) -> bool:
        return value is None or _is_number(value)

    return tuple(Field(path, valid, read, _replaced) for path in paths)


def counts(*paths: str) -> tuple[Field, ...]:
    """Whole numbers from 0 on."""
    return tuple(Field(path, _is_count, int, _replaced) for path in paths)


def flags(*paths: str) -> tuple[Field, ...]:
    """True or false."""
    return tuple(Field(path, _is_flag, bool, _replaced) for path in paths)


def means(*paths: str) -> tuple[Field, ...]:
    """``river.stats.Mean``: how many values, and their mean."""
    return numbers(*(f"{path}.{name}" for path in paths for name in ("n", "_mean")))


def ewma_samples(*paths: str) -> tuple[Field, ...]:
    """HDDM_W's samples: exponentially weighted mean and bound condition, or absent before the first value."""

    def read(sample: Any) -> Value:
        return [float(sample.ewma), float(sample.ibc)] if sample.is_init else None

    def valid(value: Any) -> bool:
        return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)))

    def write(sample: Any, value: list[float] | None) -> Any:
        # Nothing was ever added to the samples of a new detector. The first value added is the mean itself.
        if value is not None:
            sample.update(value[0])
            _set(sample, "_ibc", value[1])
        return sample

    return tuple(Field(path, valid, read, write) for path in paths)


def window(path: str) -> tuple[Field, ...]:
    """A ``deque`` of numbers, no longer than that of the new detector."""

    def valid(value: Any) -> bool:
        return isinstance(value, list) and all(map(_is_number, value))

    def write(fresh: deque[float], value: list[float]) -> deque[float]:
        if fresh.maxlen is not None and len(value) > fresh.maxlen:
            raise CorruptBytes(f"DSRV: {path} has {len(value)} values, the options allow {fresh.maxlen}")
        return deque(value, maxlen=fresh.maxlen)

    return (Field(path, valid, list, write),)


def mersenne_twister(path: str) -> tuple[Field, ...]:
    """``random.Random``: its 624 words and the position in them."""

    def read(random: Any) -> Value:
        return list(random.getstate()[1])

    def valid(value: Any) -> bool:
        words = isinstance(value, list) and len(value) == _MERSENNE_WORDS
        return words and all(_is_count(word) and word < 1 << 32 for word in value)

    def write(random: Any, value: list[int]) -> Any:
        if value[-1] >= _MERSENNE_WORDS:
            raise CorruptBytes(f"DSRV: {path} is at word {value[-1]} of 624")
        random.setstate((3, tuple(value), None))
        return random

    return (Field(path, valid, read, write),)


def read_fields(detector: Any, fields: Iterable[Field]) -> dict[str, Value]:
    """Return the state by name."""
    return {field.path: field.read(_get(detector, field.path)) for field in fields}


def write_fields(detector: Any, fields: Iterable[Field], state: Mapping[str, Any]) -> None:
    """Put a state into a new detector. Raises :class:`CorruptBytes` if it does not fit."""
    fields = tuple(fields)
    if set(state) != {field.path for field in fields}:
        raise CorruptBytes(f"DSRV: the state names {', '.join(sorted(state)) or 'nothing'}")
    for field in fields:
        value = state[field.path]
        if not field.valid(value):
            raise CorruptBytes(f"DSRV: {field.path} cannot be {value!r:.60}")
    for field in fields:
        _set(detector, field.path, field.write(_get(detector, field.path), state[field.path]))


def _get(detector: Any, path: str) -> Any:
    for name in path.split("."):
        detector = getattr(detector, name)
    return detector


def _set(detector: Any, path: str, value: Any) -> None:
    *owners, name = path.split(".")
    setattr(_get(detector, ".".join(owners)) if owners else detector, name, value)
