"""What an event says beside its columns: how a prediction was made and for whom, what a label stands for.

Only declared names are read, and only declared values told apart: what a caller may put on the topic never
decides how many numbers are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LIVE = "live"
OTHER = "other"
"""Stands for every value that was not declared."""
NONE = "none"
"""Stands for no value at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is read of one model's attributes.

    ``segments`` maps a segment's name to its values, ``variants`` and ``feedback`` are values, ``measures``
    names. A variant that is absent is ``live``, which is always declared. With ``answers`` the raw prediction
    of every inference event, and the raw label of every label event, is kept beside its column.

    >>> Declared(segments={"region": ("eu", "us")}).segment_values
    (('eu', 'us', 'other', 'none'),)
    """

    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variants: tuple[str, ...] = (LIVE,)
    measures: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    answers: bool = False

    @property
    def variant_values(self) -> tuple[str, ...]:
        """Values by code: ``live``, the other variants, and one for those that were not declared."""
        return (LIVE, *(name for name in self.variants if name != LIVE), OTHER)

    @property
    def segment_values(self) -> tuple[tuple[str, ...], ...]:
        """Values of each segment by code."""
        return tuple((*values, OTHER, NONE) for values in self.segments.values())

    @property
    def feedback_values(self) -> tuple[str, ...]:
        """Values by code."""
        return (*self.feedback, OTHER, NONE)


NOTHING_DECLARED = Declared()


class InferenceAttributes(NamedTuple):
    """Attributes of n predictions; the last axis of every array is the event.

    ``variant`` (n,) and ``segments`` (declared segments, n) are codes: positions in
    :attr:`Declared.variant_values` (0 is live) and :attr:`Declared.segment_values`. ``measures`` (declared
    measures, n) are NaN where missing and infinite where no number. ``weight`` is 1 / sampling rate.
    """

    variant: NDArray[np.int16]
    is_error: NDArray[np.bool_]
    weight: NDArray[np.float64]
    segments: NDArray[np.int16]
    measures: NDArray[np.float64]


class LabelAttributes(NamedTuple):
    """Attributes of n labels.

    ``supersedes`` tells which correct an earlier label, ``value`` what the outcome was worth (NaN: not
    said), ``feedback`` holds positions in :attr:`Declared.feedback_values`.
    """

    supersedes: NDArray[np.bool_]
    value: NDArray[np.float64]
    feedback: NDArray[np.int16]


Attributes = InferenceAttributes | LabelAttributes


class Traffic(NamedTuple):
    """What tells a model's traffic from its other events: of n predictions, ``is_error`` and ``variant``."""

    is_error: NDArray[np.bool_]
    variant: NDArray[np.int16]


def joined(parts: Sequence[Attributes]) -> Attributes:
    """Return attributes of the same kind one after another."""
    if len(parts) == 1:
        return parts[0]
    return _like(parts[0], [np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True)])


def taken(attributes: Attributes, rows: NDArray[np.intp]) -> Attributes:
    """Return the attributes of ``rows``, in their order."""
    return _like(attributes, [array[..., rows] for array in attributes])


def _like(attributes: Attributes, arrays: list[NDArray[Any]]) -> Attributes:
    kind: type[Attributes] = type(attributes)
    return kind(*arrays)
