"""The label join in this process: :class:`stream.outcomes.join.JoinStore` without services, for replay.

Nothing expires and nothing is refused for lack of room: it lives as long as a file is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from struct import Struct
from typing import Any

import numpy as np

from stream.outcomes.join import (
    MAX_STRATA,
    OTHER_STRATUM,
    TRANSITION,
    JoinCounts,
    Journal,
    Labels,
    OutcomeCommit,
    Predictions,
)
from stream.outcomes.join_packing import block_span_ms
from stream.outcomes.model_rows import Joined, ModelRows

_RANKED = Struct(">d")
_Prediction = tuple[int, int, float, float]  # ts_ms, stratum, prediction, score
_Block = tuple[int, int]  # length in ms, number
_NO_LABEL = (False, np.nan, 0, np.nan)


@dataclass(frozen=True, slots=True)
class _Label:
    """A label; ``rank`` orders labels of one id: (2 * ts_ms + supersedes, label bits, value bits)."""

    ts_ms: int
    label: float
    value: float
    rank: tuple[int, bytes, bytes]

    @classmethod
    def of(cls, ts_ms: int, label: float, supersedes: bool, value: float) -> _Label:  # noqa: FBT001
        bits = b"" if isnan(value) else _RANKED.pack(value + 0.0)
        return cls(ts_ms, label, value, (2 * ts_ms + supersedes, _bits(label), bits))

    def fields(self) -> tuple[bool, float, int, float]:
        """As in a transition."""
        return True, self.label, self.ts_ms, self.value


def _bits(label: float) -> bytes:
    return _RANKED.pack(np.nan if isnan(label) else label + 0.0)


@dataclass(slots=True)
class _Entry:
    prediction: _Prediction
    label: _Label | None = None
    conflicting: bool = False
    late: bool = False
    reused: bool = False


@dataclass
class _Joined:
    """All state of one model."""

    entries: dict[int, dict[_Block, _Entry]] = field(default_factory=dict)  # by key, then by block
    spans_ms: list[int] = field(
        default_factory=list
    )  # of blocks: more than one after a change of the horizon
    early: dict[int, list[_Label]] = field(default_factory=dict)
    journal: list[tuple[Any, ...]] = field(default_factory=list)
    base: int = 0
    strata: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(JoinCounts._fields, 0))
    panes: dict[int, bytes] = field(default_factory=dict)

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def record(self, entry: _Entry, old: _Label | None, *, is_new: bool = False) -> None:
        before = _NO_LABEL if old is None else old.fields()
        after = _NO_LABEL if entry.label is None else entry.label.fields()
        self.journal.append((*entry.prediction, *before, *after, is_new))


class MemoryJoin:
    """Pending predictions, labels and journals in dictionaries."""

    def __init__(self) -> None:
        self._models: dict[str, _Joined] = {}

    def _of(self, model: str) -> _Joined:
        return self._models.setdefault(model, _Joined())

    def join(
        self, model: str, predictions: Predictions | None, labels: Labels | None, *, horizon_ms: int
    ) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`."""
        held = self._of(model)
        before = dict(held.counts)
        span_ms = block_span_ms(horizon_ms)
        held.spans_ms = [span_ms, *(span for span in held.spans_ms if span != span_ms)]
        if predictions is not None:
            columns = (predictions.key, predictions.ts_ms, predictions.stratum)
            values = (predictions.prediction, predictions.score)
            for key, *row in zip(*(c.tolist() for c in (*columns, *values)), strict=True):
                _predict(held, key, (row[0], row[1], row[2], row[3]), span_ms, horizon_ms)
        if labels is not None:
            columns_of_labels = (labels.key, labels.ts_ms, labels.label, labels.supersedes, labels.value)
            for key, *row in zip(*(c.tolist() for c in columns_of_labels), strict=True):
                _label(held, key, _Label.of(*row), horizon_ms)
        return JoinCounts(*(held.counts[name] - before[name] for name in JoinCounts._fields))

    def join_all(self, rows: ModelRows) -> Iterator[Joined]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        places = zip(rows.models, rows.horizons_ms, rows.bounds, rows.strata, strict=True)
        for model, horizon_ms, (first, last), strata in places:
            known = self._of(model).strata
            if any(known.get(name) != number for name, number in strata.items()):
                yield Joined(model, JoinCounts(), is_renumbered=True)
                continue
            predictions = rows.predictions.take(slice(first, last))
            yield Joined(model, self.join(model, predictions, rows.labels.get(model), horizon_ms=horizon_ms))

    def strata_of(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        return {model: self.strata(model, of_model) for model, of_model in names.items()}

    def strata(self, model: str, names: Sequence[str]) -> dict[str, int]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        known = self._of(model).strata
        for name in names:
            if name not in known and len(known) < MAX_STRATA:
                known[name] = len(known)
        return {name: known.get(name, OTHER_STRATUM) for name in names}

    def strata_names(self, model: str) -> dict[int, str]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        return {number: name for name, number in self._of(model).strata.items()}

    def journal(self, model: str, limit: int) -> Journal:
        """See :class:`stream.outcomes.join.JoinStore`: a piece is one row here."""
        held = self._of(model)
        rows = held.journal[: max(limit, 1)]
        return Journal(
            np.array(rows, dtype=TRANSITION), held.base, held.base + len(rows), len(held.journal) > len(rows)
        )

    def journals(self, models: Sequence[str], limit: int) -> dict[str, Journal]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        return {model: self.journal(model, limit) for model in models}

    def join_counts(self, model: str) -> JoinCounts:
        """See :class:`stream.outcomes.join.JoinStore`."""
        return JoinCounts(**self._of(model).counts)

    def outcome_panes(self, model: str, starts_ms: Sequence[int]) -> dict[int, bytes]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        panes = self._of(model).panes
        return {start: panes[start] for start in starts_ms if start in panes}

    def outcome_panes_of(self, starts_ms: Mapping[str, Sequence[int]]) -> dict[str, dict[int, bytes]]:
        """See :class:`stream.outcomes.join.JoinStore`."""
        return {model: self.outcome_panes(model, starts) for model, starts in starts_ms.items()}

    def commit(self, model: str, outcomes: OutcomeCommit) -> bool:
        """Part of ``decide``: store panes and trim the journal; False when it has been trimmed meanwhile."""
        held = self._of(model)
        if held.base != outcomes.base:
            return False
        del held.journal[: outcomes.upto - outcomes.base]
        held.base = outcomes.upto
        held.panes.update(outcomes.panes)
        return True


def _predict(held: _Joined, key: int, prediction: _Prediction, span_ms: int, horizon_ms: int) -> None:
    blocks = held.entries.setdefault(key, {})
    entry = next((blocks[b] for s in held.spans_ms if (b := (s, prediction[0] // s)) in blocks), None)
    if entry is not None:
        if not entry.reused and _differs(entry.prediction, prediction):
            entry.reused = True
            held.count("reused")
        return
    entry = blocks[span_ms, prediction[0] // span_ms] = _Entry(prediction)
    held.count("predictions")
    if key in held.early:
        _take_early(held, key, entry, horizon_ms)
    held.record(entry, None, is_new=True)


def _differs(one: _Prediction, other: _Prediction) -> bool:
    return one[:2] != other[:2] or any(
        a != b and not (isnan(a) and isnan(b)) for a, b in zip(one[2:], other[2:], strict=True)
    )


def _take_early(held: _Joined, key: int, entry: _Entry, horizon_ms: int) -> None:
    ts_ms = entry.prediction[0]
    labels = held.early.pop(key)
    if left := [each for each in labels if each.ts_ms < ts_ms - horizon_ms]:
        held.early[key] = left
    if any(each.ts_ms > ts_ms + horizon_ms for each in labels):
        entry.late = True
        held.count("after_horizon")
    near = [each for each in labels if abs(each.ts_ms - ts_ms) <= horizon_ms]
    if not near:
        return
    entry.label = max(near, key=lambda each: each.rank)
    if sum(each.rank[0] == entry.label.rank[0] for each in near) > 1:
        entry.conflicting = True
        held.count("conflicting")
    held.count("joined")
    held.count("early_joined")


def _label(held: _Joined, key: int, label: _Label, horizon_ms: int) -> None:
    late: _Entry | None = None
    for entry in _in_reach(held, key, label.ts_ms, horizon_ms):
        if label.ts_ms > entry.prediction[0] + horizon_ms:
            late = entry
        elif label.ts_ms >= entry.prediction[0] - horizon_ms:
            _improve(held, entry, label)
            return
    if late is None:
        waiting = held.early.setdefault(key, [])
        if not waiting:
            held.count("early")
        if all(each.rank != label.rank for each in waiting):
            waiting.append(label)
    elif not late.late:
        late.late = True
        held.count("after_horizon")


def _in_reach(held: _Joined, key: int, ts_ms: int, horizon_ms: int) -> list[_Entry]:
    """Entries of an id: from the label's own block to older ones, then to newer ones."""
    blocks = held.entries.get(key, {})
    order: list[_Block] = []
    for span in held.spans_ms if blocks else ():
        here = ts_ms // span
        oldest, newest = (ts_ms - 2 * horizon_ms) // span, (ts_ms + horizon_ms) // span
        numbers = [number for its_span, number in blocks if its_span == span and oldest <= number <= newest]
        if len(numbers) > 1:
            numbers.sort(key=lambda number: (number > here, abs(number - here)))
        order += [(span, number) for number in numbers]
    return [blocks[block] for block in order]


def _improve(held: _Joined, entry: _Entry, label: _Label) -> None:
    old = entry.label
    if old is not None and old.rank == label.rank:
        return
    if old is not None and old.rank[0] == label.rank[0] and not entry.conflicting:
        entry.conflicting = True
        held.count("conflicting")
    if old is None or label.rank > old.rank:
        entry.label = label
        held.record(entry, old)
        held.count("joined" if old is None else "corrected")
