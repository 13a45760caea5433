"""Predictions and the labels about them: what the join takes, and the transitions that it makes.

The state of the join lives in a :class:`JoinStore` (:mod:`stream.outcomes.join_redis` and
:mod:`stream.outcomes.join_memory`). It is a map from the key of an id to its prediction and its winning
label. Every change of an entry is a *transition*; the transitions of a model wait in its journal until the
evaluator folds them into outcomes (:mod:`stream.outcomes.fold`). A row that changes nothing makes no
transition: what is sent twice counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stream.outcomes.model_rows import Joined, ModelRows

MAX_STRATA = 65_534
"""Strata a model can name; the next ones share :data:`OTHER_STRATUM`."""
OTHER_STRATUM = 65_535
DEFAULT_SECRET = b"driftstream"
_KEY_BYTES = 8
_SAMPLED_BITS = 32

TRANSITION = np.dtype(
    [
        ("ts_ms", "<i8"),
        ("stratum", "<u2"),
        ("prediction", "<f8"),
        ("score", "<f8"),
        ("has_old", "?"),
        ("old_label", "<f8"),
        ("old_ts_ms", "<i8"),
        ("old_value", "<f8"),
        ("has_new", "?"),
        ("new_label", "<f8"),
        ("new_ts_ms", "<i8"),
        ("new_value", "<f8"),
        ("is_new_prediction", "?"),
    ]
)
"""One row of :data:`Transitions`: the prediction, the label it had, the label it has now (NaN, 0 = none)."""

Transitions = NDArray[np.void]
"""Structured array of :data:`TRANSITION`."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model, one row each.

    Parameters
    ----------
    key
        Shape (n,), uint64: :func:`id_keys` of the prediction ids. One id is one prediction.
    ts_ms
        Shape (n,), int64, at least 0: event time.
    stratum
        Shape (n,), uint16: :meth:`JoinStore.strata` of version, variant and segment values.
    prediction, score
        Shape (n,), float64: as in ``detectors.performance`` (class code or value; NaN = absent).

    Raises
    ------
    ValueError
        A time before 1970.
    """

    key: NDArray[np.uint64]
    ts_ms: NDArray[np.int64]
    stratum: NDArray[np.uint16]
    prediction: NDArray[np.float64]
    score: NDArray[np.float64]

    def __post_init__(self) -> None:
        _refuse_negative(self.ts_ms)

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Predictions:
        """The rows selected by a mask, indices or a slice."""
        return Predictions(
            self.key[rows], self.ts_ms[rows], self.stratum[rows], self.prediction[rows], self.score[rows]
        )


@dataclass(frozen=True)
class Labels:
    """Labels of one model, one row each.

    Of several about one id the largest (ts, supersedes, label, value) wins, in whatever order they come.

    Parameters
    ----------
    key
        Shape (n,), uint64: :func:`id_keys` of the ids of the predictions they are about.
    ts_ms
        Shape (n,), int64, at least 0: when the truth was known. A label is joined when it lies within the
        horizon, on either side of its prediction.
    label
        Shape (n,), float64: as in ``detectors.performance``.
    supersedes
        Shape (n,), bool: breaks the tie with a label of the same time.
    value
        Shape (n,), float64: the business value, NaN = none.

    Raises
    ------
    ValueError
        A time before 1970.
    """

    key: NDArray[np.uint64]
    ts_ms: NDArray[np.int64]
    label: NDArray[np.float64]
    supersedes: NDArray[np.bool_]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        _refuse_negative(self.ts_ms)

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Labels:
        """The rows selected by a mask, indices or a slice."""
        return Labels(
            self.key[rows], self.ts_ms[rows], self.label[rows], self.supersedes[rows], self.value[rows]
        )


Rows = TypeVar("Rows", Predictions, Labels)


class JoinCounts(NamedTuple):
    """What a join has done.

    All but the last two count changes of state: they stay exact when rows are sent again.
    """

    predictions: int = 0
    """New predictions."""
    joined: int = 0
    """Predictions that got their first label, ``early_joined`` among them."""
    corrected: int = 0
    """Labels replaced by a better one."""
    early: int = 0
    """Ids whose label came before their prediction, and waits (or has waited) for it."""
    early_joined: int = 0
    """Predictions that found their label waiting."""
    early_expired: int = 0
    """Waiting labels given up: no prediction came within the horizon."""
    conflicting: int = 0
    """Predictions for which two different labels of one time and rank came."""
    after_horizon: int = 0
    """Predictions for which a label came after the horizon; it was not joined."""
    reused: int = 0
    """Predictions whose id came again with other contents; the first one stays."""
    refused: int = 0
    """Labels without a prediction that found no room to wait in."""
    damaged: int = 0
    """Reads of entries whose bytes make no sense; they count as absent."""

    def plus(self, other: JoinCounts) -> JoinCounts:
        """Sum, field by field."""
        return JoinCounts(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Journal:
    """The oldest transitions not yet folded: positions ``base`` to ``upto`` of the model's journal.

    Folded, they are taken off by giving an :class:`OutcomeCommit` to the ``decide`` that stores the result.
    """

    transitions: Transitions
    base: int
    upto: int
    more: bool


@dataclass(frozen=True, kw_only=True)
class OutcomeCommit:
    """What ``decide`` stores beside the state: outcome panes by start, and how far the journal is in them."""

    base: int
    upto: int
    panes: Mapping[int, bytes]
    ttl_ms: int


class JoinStore(Protocol):
    """State of the join. Ingest sends rows, the evaluator of the model reads the journal."""

    def join(
        self, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> JoinCounts:
        """Apply rows in bounded atomic steps; repeat it after a failure, repeated rows change nothing."""

    def join_all(self, rows: ModelRows) -> Iterator[Joined]:
        """Apply the rows of many models in few round trips; what was done, as it is done."""

    def strata(self, model: str, names: Sequence[str]) -> dict[str, int]:
        """Numbers of strata, given once and for all; beyond :data:`MAX_STRATA`, :data:`OTHER_STRATUM`."""

    def strata_of(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """Numbers of strata of many models in one round trip; those of each are its own."""

    def strata_names(self, model: str) -> dict[int, str]:
        """Every stratum of a model by its number, without the other one."""

    def journal(self, model: str, limit: int) -> Journal:
        """The oldest transitions: at least one piece, no more pieces once ``limit`` rows are reached."""

    def journals(self, models: Sequence[str], limit: int) -> dict[str, Journal]:
        """:meth:`journal` of each of ``models``, in few round trips."""

    def join_counts(self, model: str) -> JoinCounts:
        """Totals of a model."""

    def outcome_panes(self, model: str, starts_ms: Sequence[int]) -> dict[int, bytes]:
        """Committed outcome panes; those that do not exist are left out."""

    def outcome_panes_of(self, starts_ms: Mapping[str, Sequence[int]]) -> dict[str, dict[int, bytes]]:
        """:meth:`outcome_panes` of many models in one round trip."""


def id_keys(model: str, ids: Sequence[str], secret: bytes = DEFAULT_SECRET) -> NDArray[np.uint64]:
    """Keys of prediction ids: 8 bytes of BLAKE2b keyed by ``secret`` over the model and the id.

    Two of n ids share a key with probability n² / 2⁶⁵: below one in a million with 5 million of them.
    Who does not know the secret can neither tell the id from its key nor aim at one bucket.

    Parameters
    ----------
    secret
        At most 64 bytes, the same in every process that joins.

    Returns
    -------
    Shape (n,), uint64.
    """
    start = hashlib.blake2b(key=secret, digest_size=_KEY_BYTES, person=_person(model))
    copy = start.copy
    digests = bytearray()
    for each in ids:
        state = copy()
        state.update(each.encode())
        digests += state.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64, copy=False)


def _person(model: str) -> bytes:
    return hashlib.blake2b(model.encode(), digest_size=hashlib.blake2b.PERSON_SIZE).digest()


def is_sampled(key: NDArray[np.uint64], rate: float) -> NDArray[np.bool_]:
    """Which ids belong to a sample of ``rate`` (0 to 1), the same for predictions and labels everywhere.

    A sample of a smaller rate is part of one of a larger rate. The high bits of the key decide (buckets take
    the low ones).
    """
    return (key >> np.uint64(64 - _SAMPLED_BITS)).astype(np.float64) < rate * 2.0**_SAMPLED_BITS


def _refuse_negative(ts_ms: NDArray[np.int64]) -> None:
    if len(ts_ms) and int(ts_ms.min()) < 0:
        raise ValueError(f"event time {int(ts_ms.min())} ms is before 1970: the join takes times from 0 on")


def no_predictions() -> Predictions:
    """No rows."""
    return Predictions(
        np.empty(0, np.uint64),
        np.empty(0, np.int64),
        np.empty(0, np.uint16),
        np.empty(0, np.float64),
        np.empty(0, np.float64),
    )


def together(parts: Sequence[Rows]) -> Rows:
    """Rows of all parts, one at least."""
    if len(parts) == 1:
        return parts[0]
    kind: Callable[..., Rows] = type(parts[0])
    return kind(*(np.concatenate([getattr(each, name.name) for each in parts]) for name in fields(parts[0])))


def no_transitions() -> Transitions:
    """An empty array of :data:`TRANSITION`."""
    return np.empty(0, dtype=TRANSITION)
