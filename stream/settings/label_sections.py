"""The sections about labels, and about the attributes of events that tell outcomes apart."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from stream.outcomes.records import LEAST_LOSS
from stream.settings.section import Section
from stream.settings.units import SpanMs
from stream.settings.value_types import comma_separated, parsed_mapping

_RESERVED = frozenset({"other", "none"})
_HOUR, _DAY = 3_600_000, 86_400_000
MOST_STRATA = 10_000
"""Of one model: combinations of the values of its segments and of its variants."""


def _texts(value: object) -> object:
    """Whole numbers are the text they are written as: ``tier: [1, 2]``."""
    items = comma_separated(value)
    if not isinstance(items, list | tuple):
        return items
    return [str(item) if type(item) is int else item for item in items]


def _values(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise PydanticCustomError("name", "names no value: list those to tell apart")
    reserved = sorted(_RESERVED.intersection(values))
    if reserved:
        raise PydanticCustomError(
            "name", "names '{name}', which stands for what is not listed", {"name": reserved[0]}
        )
    if len(set(values)) != len(values):
        raise PydanticCustomError("name", "names one value twice; keep one of them")
    return values


def _segment_name(name: str) -> str:
    if not name or len(name.encode()) > 128 or not name.isprintable() or set(name) & set('\\"'):
        raise PydanticCustomError("name", "must be 1 to 128 bytes of printable text without quotes")
    return name


Values = Annotated[tuple[str, ...], AfterValidator(_values), BeforeValidator(_texts)]
Segments = Annotated[
    dict[Annotated[str, AfterValidator(_segment_name)], Values], BeforeValidator(parsed_mapping)
]
Share = Annotated[float, Field(gt=0, le=1)]


def check_strata(segments: Mapping[str, tuple[str, ...]], variants: tuple[str, ...]) -> None:
    """Refuse more combinations of segments and variants than outcomes are kept apart for."""
    strata = prod((len(values) + 2 for values in segments.values()), start=len({"live", *variants}) + 1)
    if strata > MOST_STRATA:
        raise PydanticCustomError(
            "name",
            "tells {strata} combinations of segments and variants apart, more than {most}; list fewer values",
            {"strata": strata, "most": MOST_STRATA},
        )


class LabelSettings(Section):
    """How labels are joined to the predictions they are about."""

    horizon_ms: SpanMs = Field(
        default=3 * _DAY,
        alias="horizon",
        description="how far a label may lie from its prediction; after that performance is final",
    )
    sample: Share = Field(
        default=1.0, description="share of the predictions that are joined, chosen by their id"
    )
    negative_after_ms: SpanMs | None = Field(
        default=None,
        alias="negative_after",
        description="no label for so long means the negative class; within `horizon`, of binary models",
    )
    settle_ms: SpanMs = Field(
        default=_HOUR,
        alias="settle",
        description="a slide is judged no sooner after its end, and when most of its labels are there",
    )
    min_effect: float = Field(
        default=LEAST_LOSS,
        ge=0,
        le=1,
        description="smallest loss that matters: absolute for accuracy, a share of the error of values",
    )


class ModelLabelSettings(Section):
    """What one model says otherwise about its labels."""

    horizon_ms: SpanMs | None = Field(default=None, alias="horizon", description="as in defaults")
    sample: Share | None = Field(default=None, description="as in defaults")
    negative_after_ms: SpanMs | None = Field(
        default=None, alias="negative_after", description="as in defaults"
    )
    settle_ms: SpanMs | None = Field(default=None, alias="settle", description="as in defaults")
    min_effect: float | None = Field(default=None, ge=0, le=1, description="as in defaults")
