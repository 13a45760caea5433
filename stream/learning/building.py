"""A reference learned from the live stream: sampled events become columns, columns become a reference.

Pure. :mod:`stream.learning.sample` says which events, :mod:`stream.learning.learner` when, and
:mod:`stream.learning.store` where the reference is kept. ``driftstream reference build --from-kafka`` runs
the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from detectors import Reference
from detectors.calibration import SMALL_CHUNK
from detectors.chunks import chunk_rows
from detectors.errors import DetectorError
from detectors.reference_file import read
from stream.errors import DriftstreamError
from stream.learning.columns import LearnedColumns, columns_of
from stream.learning.reference_building import build_named
from stream.learning.sample import EventSample
from stream.privacy import NO_RULES, FieldPrivacy

UNNAMED_VERSION = "learned"
"""Version of a reference whose events name none."""
Reason = Literal["too_few_rows", "no_usable_columns"]


class NotEnough(DriftstreamError):
    """No reference can be made of these events yet; ``reason`` is one fixed word."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True)
class LearnSpec:
    """What is learned.

    Parameters
    ----------
    version
        ``""``: the events name none.
    least_rows
        With fewer there is no reference.
    most_features
        Those in most events are taken.
    categorical
        Columns whose numbers are codes; those that the events do not have are passed over.
    privacy
        What becomes of the values of features.
    caveats
        What to know of where the events are from, a line each.
    """

    model: str
    version: str
    least_rows: int = 2
    most_features: int = 2_000
    categorical: frozenset[str] = frozenset()
    privacy: FieldPrivacy = NO_RULES
    caveats: Sequence[str] = field(default_factory=tuple)


def learn(sample: EventSample, spec: LearnSpec, labels: Mapping[str, Any] | None = None) -> Reference:
    """Build the reference of a model version from its sampled events.

    Parameters
    ----------
    labels
        The truth by prediction id, where labels are known. They make a column only if nearly every event
        has one: a share without would be taken for missing values, which live labels never show.

    Raises
    ------
    NotEnough
        There are too few events, or none of their columns has a value.
    """
    columns = columns_of(
        sample.events(), labels, most_features=spec.most_features, categorical=spec.categorical
    )
    rows = len(columns.ts_ms)
    if rows < spec.least_rows:
        raise NotEnough("too_few_rows", f"{rows} events, at least {spec.least_rows} are needed")
    share = rows / sample.total
    try:
        reference = build_named(
            columns.values,
            window_rows=max(1, round(sample.slide_rows() * share)),
            times_ms=columns.ts_ms,
            categorical=columns.categorical,
            privacy=spec.privacy,
            model=spec.model,
            version=spec.version or UNNAMED_VERSION,
        )
    except DetectorError as exc:
        raise NotEnough("no_usable_columns", str(exc)) from exc
    if not reference.counts.cells[:, :-3].any():
        raise NotEnough("no_usable_columns", f"no column of {rows} events has a value")
    return _stated(reference, sample, columns, [*spec.caveats, *columns.caveats])


def _stated(
    reference: Reference, sample: EventSample, columns: LearnedColumns, caveats: Sequence[str]
) -> Reference:
    """Return the reference with what is to be known of it, in the numbers of all events.

    A sample is cut into chunks that last as long as those of all events and hold fewer rows. Live slices
    hold them all, and are compared with what a small chunk holds: so that is told of all events too.
    """
    rows, stated, sizes = len(columns.ts_ms), list(caveats), {}
    if len(sample.events()) < sample.total:
        stated.insert(0, f"{rows} of {sample.total} events, taken by a hash of their prediction id")
        whole = reference.window_rows
        small = sample.slide_rows(SMALL_CHUNK) * chunk_rows(rows, whole) // whole
        sizes = {"window_rows": max(1, sample.slide_rows()), "chunk_rows": max(1, small)}
    if not stated:
        return reference
    content = read(reference.to_json())
    pairs = content.pairs
    if pairs and sizes:
        pairs = msgspec.structs.replace(pairs, chunk_rows=sizes["chunk_rows"])
    caveats = (*content.caveats, *stated)
    return Reference(msgspec.structs.replace(content, pairs=pairs, caveats=caveats, **sizes))
