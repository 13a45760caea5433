"""The two events driftstream reads, defined once.

The JSON Schemas (:mod:`stream.schemas`), the decoders (:mod:`stream.codec`) and the client
(:mod:`stream.emit`) are all made from these structs. Everything optional may also be ``null``.
A key that stands twice in an object counts with its last value; keys not named here are ignored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_ID_BYTES = 128

PredictionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_BYTES,
        description="Joins labels to predictions; at most 128 bytes of UTF-8.",
    ),
]
ModelName = Annotated[str, Meta(min_length=1, description="Name of the model, as configured.")]
EventTime = Annotated[
    Annotated[datetime, Meta(tz=True)] | int | float | None,
    Meta(description="Event time: RFC 3339 with an offset, or epoch ms. Absent: the Kafka record time."),
]
Scalar = str | int | float | bool | None
"""A feature or prediction: a number, a category, or null for a missing value."""
Scores = float | dict[str, float | None] | None
"""A probability or score, or one for each class."""


class InferenceEvent(Struct, kw_only=True, omit_defaults=True):
    """One answer of a model: what it was asked, what it said, and what that took.

    A feature that is absent or null is a missing value. Numbers are the kind of number JSON has: NaN and
    infinity are not among them.
    """

    prediction_id: PredictionId
    model: ModelName
    version: Annotated[
        str | None, Meta(description="Version of the model. Absent: that of the model's newest reference.")
    ] = None
    ts: EventTime = None
    features: Annotated[
        dict[str, Scalar] | None, Meta(description="Name to number, string, boolean or null.")
    ] = None
    prediction: Annotated[Scalar, Meta(description="Class label or value.")] = None
    score: Annotated[Scores, Meta(description="Probability, or an object of class to probability.")] = None
    segments: Annotated[
        dict[str, str | None] | None, Meta(description="Name to string; only declared segments are kept.")
    ] = None
    variant: Annotated[
        str | None, Meta(description="live, shadow, canary, A, B, ...; only live is traffic.")
    ] = "live"
    measures: Annotated[
        dict[str, float | None] | None,
        Meta(description="Name to number: latency_ms, cost_usd, tokens_in, ..."),
    ] = None
    status: Literal["ok", "error"] | None = "ok"
    error_code: str | None = None
    weight: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="How many events this one stands for: 1 / sampling rate."),
    ] = 1.0
    prompt_version: str | None = None
    entity_id: str | None = None
    trace_id: str | None = None


class LabelEvent(Struct, kw_only=True, omit_defaults=True):
    """The truth about one prediction. It may come late, twice, corrected, early, or never."""

    prediction_id: PredictionId
    model: ModelName
    label: Annotated[Scalar, Meta(description="Class or value; null when only feedback is known.")]
    ts: EventTime = None
    value: Annotated[float | None, Meta(description="What the outcome was worth, for example revenue.")] = (
        None
    )
    feedback: Annotated[str | None, Meta(description="thumbs_up, regenerated, ...")] = None
    source: Annotated[str | None, Meta(description="Who gave the label.")] = None
    supersedes: Annotated[str | None, Meta(description="Which earlier label this one corrects.")] = None
