"""The section of records that are no events."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stream.settings.section import Section
from stream.settings.units import SpanMs
from stream.settings.value_types import Count


class ErrorSettings(Section):
    """Records that are no events: each goes to the dead-letter topic, a flood of them pauses the intake."""

    tolerance: Literal["breaker", "all"] = Field(
        default="breaker",
        description="in a flood of rejected records, `breaker` pauses and probes the topic, `all` drains it",
    )
    letters: Literal["whole", "place"] = Field(
        default="whole",
        description="what a dead letter holds: `whole` its record, unchanged; `place` where that is alone, "
        "for records that may be personal; such a letter cannot be replayed",
    )
    flood_share: float = Field(
        default=0.5, gt=0, lt=1, description="more than this share of a topic's records rejected is a flood"
    )
    flood_records: Count = Field(default=1_000, description="... and at least so many of them")
    flood_within_ms: SpanMs = Field(
        default=60_000, alias="flood_within", description="... in this time, as one worker sees it"
    )
    probe_every_ms: SpanMs = Field(
        default=30_000, alias="probe_every", description="a paused topic is tried again this often"
    )
    probe_records: Count = Field(default=500, description="records of a probe, about")
