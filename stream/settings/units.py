"""Durations and sizes as people write them: ``5m``, ``250ms``, ``64MiB``.

Inside the program a duration is an integer number of milliseconds and a size an integer number of
bytes; only the configuration file, the command line and its answers speak the written forms. The two
annotated types :data:`DurationMs` and :data:`ByteSize` are what a pydantic model declares.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION_TERM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_LONGEST_MS = 3650 * _MS["d"]


def parse_duration_ms(value: object) -> int:
    """Return the milliseconds of a written duration such as ``90s``, ``1h30m`` or ``0s``.

    Raises
    ------
    ValueError
        The value has no unit, is negative, is not a whole number of milliseconds or exceeds ten years.

    >>> parse_duration_ms("1.5s"), parse_duration_ms("1h30m"), parse_duration_ms("30d")
    (1500, 5400000, 2592000000)
    """
    text = str(value).strip() if isinstance(value, str) else ""
    total, end = Decimal(0), 0
    for term in _DURATION_TERM.finditer(text):
        if term.start() != end:
            break
        total += Decimal(term[1]) * _MS[term[2]]
        end = term.end()
    if not text or end != len(text):
        raise ValueError("must be a duration: a number with its unit, such as 250ms, 30s, 5m, 24h or 30d")
    if total != int(total):
        raise ValueError("must be a whole number of milliseconds, such as 250ms")
    if total > _LONGEST_MS:
        raise ValueError("must be at most 3650d")
    return int(total)


def format_duration(ms: int) -> str:
    """Return the shortest one-unit form of a duration in milliseconds.

    >>> format_duration(300_000), format_duration(90_000), format_duration(250), format_duration(0)
    ('5m', '90s', '250ms', '0s')
    """
    if ms == 0:
        return "0s"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if ms % _MS[unit] == 0)
    return f"{ms // _MS[unit]}{unit}"


def parse_bytes(value: object) -> int:
    """Return the bytes of a written size: ``1024``, ``512KiB``, ``64MiB``, ``10MB`` (decimal).

    Raises
    ------
    ValueError
        The unit is unknown, the size is negative or not a whole number of bytes.

    >>> parse_bytes("64MiB"), parse_bytes("10MB"), parse_bytes(1024)
    (67108864, 10000000, 1024)
    """
    text = "" if isinstance(value, bool) else str(value).strip()
    match = _SIZE.fullmatch(text)
    if match is None or match[2] not in _BYTES:
        raise ValueError("must be a size in bytes, such as 1024, 512KiB, 64MiB or 10MB")
    size = Decimal(match[1]) * _BYTES[match[2]]
    if size != int(size):
        raise ValueError("must be a whole number of bytes")
    return int(size)


def format_bytes(size: int) -> str:
    """Return a size with the largest binary unit that divides it.

    >>> format_bytes(67_108_864), format_bytes(1000)
    ('64MiB', '1000')
    """
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "") if not unit or (size and size % _BYTES[unit] == 0))
    return f"{size // _BYTES[unit]}{unit}"


def _duration(value: object) -> int:
    """Parse for pydantic; the message is ours, without pydantic's ``Value error,`` in front."""
    try:
        return parse_duration_ms(value)
    except ValueError as exc:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(exc)}) from exc


def _span(value: object) -> int:
    """Parse a duration that may not be zero."""
    ms = _duration(value)
    if ms == 0:
        raise PydanticCustomError("duration", "must be longer than 0s")
    return ms


def _size(value: object) -> int:
    """Parse for pydantic, as :func:`_duration`."""
    try:
        return parse_bytes(value)
    except ValueError as exc:
        raise PydanticCustomError("size", "{reason}", {"reason": str(exc)}) from exc


_WRITTEN_DURATION = PlainSerializer(format_duration, return_type=str, when_used="json")
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^(\s*\d+(\.\d+)?\s*(ms|s|m|h|d))+\s*$"})

DurationMs = Annotated[int, BeforeValidator(_duration), _WRITTEN_DURATION, _DURATION_SCHEMA]
"""Milliseconds; written ``250ms``, ``30s``, ``5m``, ``24h`` or ``30d``."""

SpanMs = Annotated[int, BeforeValidator(_span), _WRITTEN_DURATION, _DURATION_SCHEMA]
"""As :data:`DurationMs`, and never 0."""

ByteSize = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_bytes, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(B|kB|MB|GB|KiB|MiB|GiB)?$"},
                {"type": "integer"},
            ],
        }
    ),
]
"""Bytes; written ``1024``, ``512KiB``, ``64MiB`` or ``10MB``."""
