"""A budget of false alarms as people say it, ``1 per 30d``, and the run length that it buys.

A budget is spent slice by slice: a monitor that judges one slice a minute and may err once in 30 days has an
average run length (ARL) of 43,200 slices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream.settings.units import format_duration, parse_duration_ms

_WRITTEN = re.compile(r"(\d{1,9})\s+per\s+(.+)")
_WANTED = "must be a number of alarms per period, such as 1 per 30d or 2 per 7d"


@dataclass(frozen=True)
class AlarmBudget:
    """At most ``alarms`` false alarms in ``per_ms``, on average."""

    alarms: int
    per_ms: int

    @classmethod
    def parse(cls, value: object) -> AlarmBudget:
        """Read ``1 per 30d``.

        Raises
        ------
        ValueError
            The value has another form, or its number or its period is zero.

        >>> AlarmBudget.parse("2 per 7d")
        AlarmBudget(alarms=2, per_ms=604800000)
        """
        match = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(_WANTED)
        alarms = int(match[1])
        if alarms == 0:
            raise ValueError("must allow at least 1 alarm: for fewer, make its period longer")
        try:
            per_ms = parse_duration_ms(match[2])
        except ValueError as exc:
            raise ValueError(f"{_WANTED}; its period {exc}") from exc
        if per_ms == 0:
            raise ValueError("must have a period longer than 0s")
        return cls(alarms, per_ms)

    def arl(self, slide_ms: int) -> int:
        """Return the whole slices between two false alarms; 0 when the budget allows more than one a slice.

        >>> AlarmBudget.parse("1 per 30d").arl(60_000)
        43200
        """
        return self.per_ms // (self.alarms * slide_ms)

    def __str__(self) -> str:
        return f"{self.alarms} per {format_duration(self.per_ms)}"


def alarms_per(period_ms: int, *, arl: float, slide_ms: int) -> float:
    """Return the false alarms that a run length allows in a period, at most and on average.

    >>> round(alarms_per(30 * 86_400_000, arl=10_000, slide_ms=60_000), 2)
    4.32
    """
    return period_ms / (arl * slide_ms)


def _budget(value: object) -> AlarmBudget | None:
    """Parse for pydantic; an empty environment variable is null."""
    if isinstance(value, AlarmBudget):
        return value
    if value is None or value == "":
        return None
    try:
        return AlarmBudget.parse(value)
    except ValueError as exc:
        raise PydanticCustomError("budget", "{reason}", {"reason": str(exc)}) from exc


Budget = Annotated[
    AlarmBudget | None,
    BeforeValidator(_budget),
    PlainSerializer(lambda budget: budget and str(budget), return_type=str | None, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*\d+\s+per\s+(\s*\d+(\.\d+)?\s*(ms|s|m|h|d))+\s*$"},
                {"type": "null"},
            ]
        }
    ),
]
"""A budget, or none; written ``1 per 30d``."""
