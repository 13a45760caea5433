"""What a decoder gives back: columns for the good rows, a reason for every other one.

Every row of the batch is accounted for exactly once: in one block, in ``unknown``, in ``unmonitored`` or in
``rejected``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import NO_ANSWERS, Answers
from stream.codec.attributes import Attributes
from stream.codec.ids import Ids
from stream.errors import DecodeError

REASONS = (
    "bad_timestamp",
    "bad_value",
    "empty",
    "future_timestamp",
    "missing_field",
    "not_an_object",
    "not_finite",
    "not_json",
    "not_utf8",
    "string_too_long",
    "too_deep",
    "too_large",
    "too_many_features",
    "wrong_type",
)
"""Every reason for a rejection. ``future_timestamp`` is given by the ingest: no decoder reads a clock."""

MAX_DETAIL = 200


class Rejected(NamedTuple):
    """One record that is not an event: its position in the batch, why, and what exactly.

    ``detail`` names fields and sizes, never values: a value can be personal data, and this text is logged.
    """

    row: int
    reason: str
    detail: str


def rejected(row: int, error: DecodeError) -> Rejected:
    """Return the rejection of ``row`` for ``error``, its detail cut to :data:`MAX_DETAIL` characters."""
    detail = error.detail
    return Rejected(
        row, error.reason, detail if len(detail) <= MAX_DETAIL else detail[: MAX_DETAIL - 1] + "…"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The events of one model version in one batch, as columns in the order of the batch.

    ``columns`` maps the reference's names to encoded values: float64 (NaN missing, infinite invalid) or int32
    codes (-1 missing, -2 unseen, -3 invalid). ``rows`` are positions in the batch, ``ts_ms`` event times.
    ``attributes`` are those of the topic: of inference events or of labels. ``answers`` are the raw
    predictions or labels, empty where they were not asked for.
    """

    model: str
    version: str
    rows: NDArray[np.intp]
    ts_ms: NDArray[np.int64]
    ids: Ids
    columns: Mapping[str, NDArray[Any]]
    attributes: Attributes
    answers: Answers = NO_ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One decoded batch.

    ``blocks`` are ordered by their first row; those of the compiled decoder are made when somebody asks for
    one. ``unknown`` holds the rows of models or versions without a reference (version ``""``: none given),
    ``unmonitored`` the rows of configured models whose references have no column of this topic. ``ts_ms`` has
    one entry for each row given, -1 for rejected ones; ``ts_fallbacks`` counts the rows that took the time of
    the Kafka record. ``fault`` says what went wrong in the compiled decoder: then what it was given at that
    moment was decoded in Python.
    """

    blocks: Sequence[Block] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unknown: dict[tuple[str, str], NDArray[np.intp]] = field(default_factory=dict)
    unmonitored: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    ts_fallbacks: int = 0
    fault: str = ""
    ts_ms: NDArray[np.int64]


class Decoding(Protocol):
    """One batch that is decoded in portions, as its records come."""

    def take(
        self, values: Sequence[bytes | None], record_ts_ms: Sequence[int], *, newest_ms: int
    ) -> Sequence[int]:
        """Take the next records; return which of them (positions in ``values``) somebody may ask for again.

        Those are all that may be rejected, and all that are later than ``newest_ms``. The others can be let
        go of.

        Raises
        ------
        ValueError
            When the two differ in length.
        """
        ...

    def finish(self, kept: NDArray[np.bool_] | None = None) -> Batch:
        """Return the batch of all records taken, or of those that are ``kept``; once."""
        ...


class Decoder(Protocol):
    """Turns batches of record values into columns. Never raises for what a record holds."""

    def begin(self) -> Decoding:
        """Begin a batch whose records come in portions."""
        ...

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode ``values``; ``record_ts_ms`` are the Kafka record times, -1 where unknown.

        Raises
        ------
        ValueError
            When the two differ in length.
        """
        ...
