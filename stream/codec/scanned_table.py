"""A batch that the extension has read, as one table: a block is made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from stream.codec.answers import NO_ANSWERS, Answers
from stream.codec.attributes import Attributes, InferenceAttributes, LabelAttributes, Traffic
from stream.codec.batch import Block
from stream.codec.plan import IGNORED, Plan
from stream.codec.scanned import Lines, ScannedAnswers, ScannedColumns, ScannedIds

if TYPE_CHECKING:
    from driftstream_native import Scanned


@dataclass(frozen=True, eq=False)
class ScannedVersions:
    """What is the same of all batches of a decoder, by number of the model version.

    Parameters
    ----------
    labels
        Whether the batches are of labels.
    lines
        Where the columns are.
    segments
        How many segments are declared.
    answered
        Whether raw answers were asked for.
    """

    labels: bool
    lines: Sequence[Lines]
    segments: Sequence[int]
    answered: Sequence[bool]

    @classmethod
    def of(cls, plan: Plan) -> ScannedVersions:
        """Those of a plan."""
        lines = [
            Lines.of(layout, cells.numbers, cells.codes, spec.numbers)
            for spec, (layout, cells) in zip(plan.versions, plan.layouts, strict=True)
        ]
        segments = [len(plan.models[spec.model].segments) for spec in plan.versions]
        return cls(plan.labels, lines, segments, [spec.answers != IGNORED for spec in plan.versions])

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """Model and version."""
        return [(lines.model, lines.version) for lines in self.lines]


class ScannedTable(Sequence[Block]):
    """The blocks of a scanned batch, and their table (:class:`stream.codec.table.Table`)."""

    def __init__(self, scanned: Scanned, versions: ScannedVersions) -> None:
        self.scanned = scanned
        self.versions = versions
        self.numbers: list[int] = []
        self.firsts: list[int] = []
        self._lasts: list[int] = []
        for version, first, last in scanned.blocks:
            self.numbers.append(version)
            self.firsts.append(first)
            self._lasts.append(last)
        self.names = [versions.names[version] for version in self.numbers]
        self.sizes: NDArray[np.intp] = np.array(self._lasts, np.intp) - np.array(self.firsts, np.intp)
        self._flags = np.frombuffer(scanned.flags, np.bool_)
        self._choices = np.frombuffer(scanned.choices, np.int16)
        self._amounts = np.frombuffer(scanned.amounts, np.float64)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, number: int) -> Block: ...
    @overload
    def __getitem__(self, number: slice) -> list[Block]: ...
    def __getitem__(self, number: int | slice) -> Block | list[Block]:
        places = range(len(self))[number]
        return self._block(places) if isinstance(places, int) else [self._block(place) for place in places]

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Places in the batch."""
        return np.frombuffer(self.scanned.rows, np.int64)

    @cached_property
    def ts_ms(self) -> NDArray[np.int64]:
        """Event times."""
        return np.frombuffer(self.scanned.ts_ms, np.int64)[self.rows]

    @property
    def traffic(self) -> Traffic | None:
        """What tells live traffic from other events; None of labels."""
        return None if self.versions.labels else Traffic(self._flags, self._choices)

    def alike(self, numbers: Sequence[int], columns: Iterable[str]) -> Block:
        """See :class:`stream.codec.table.Table`."""
        model, version = self.names[numbers[0]]
        rows = self.places(numbers)
        return Block(
            model=model,
            version=version,
            rows=self.rows[rows],
            ts_ms=self.ts_ms[rows],
            ids=ScannedIds(self.scanned, self.firsts[numbers[0]], self._lasts[numbers[0]]),
            columns={name: self._numbers(numbers, name) for name in columns},
            attributes=self._attributes(rows, self._segments(numbers)),
            answers=self._answers(self._spans(numbers))
            if self.versions.answered[self.numbers[numbers[0]]]
            else NO_ANSWERS,
        )

    def places(self, numbers: Sequence[int]) -> slice | NDArray[np.intp]:
        """Where the rows of blocks are in the arrays of all rows."""
        spans = self._spans(numbers)
        return slice(*spans[0]) if len(spans) == 1 else np.concatenate([np.arange(*span) for span in spans])

    def keys(self, numbers: Sequence[int], secret: bytes) -> NDArray[np.uint64]:
        """See :class:`stream.codec.table.Table`."""
        parts = [(self.firsts[number], self._lasts[number], self.names[number][0]) for number in numbers]
        return np.frombuffer(self.scanned.keys_of(parts, secret), np.dtype("<u8")).astype(
            np.uint64, copy=False
        )

    def _block(self, number: int) -> Block:
        first, last = self.firsts[number], self._lasts[number]
        version = self.numbers[number]
        lines = self.versions.lines[version]
        columns = ScannedColumns(self.scanned, number, lines, last - first)
        attributes = self._attributes(slice(first, last), self._segments([number]))
        if isinstance(attributes, InferenceAttributes):
            attributes = attributes._replace(measures=columns.measures)
        return Block(
            model=lines.model,
            version=lines.version,
            rows=self.rows[first:last],
            ts_ms=self.ts_ms[first:last],
            ids=ScannedIds(self.scanned, first, last),
            columns=columns,
            attributes=attributes,
            answers=self._answers([(first, last)]) if self.versions.answered[version] else NO_ANSWERS,
        )

    def _spans(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """First row of blocks and the one behind their last, as few as hold them."""
        if len(numbers) == numbers[-1] - numbers[0] + 1:  # mostly all
            return [(self.firsts[numbers[0]], self._lasts[numbers[-1]])]
        ends = [self._lasts[number] for number in numbers]
        begins = [self.firsts[number] for number in numbers]
        breaks = [place for place in range(1, len(begins)) if begins[place] != ends[place - 1]]
        return [
            (begins[first], ends[last - 1])
            for first, last in zip([0, *breaks], [*breaks, len(begins)], strict=True)
        ]

    def _attributes(self, rows: slice | NDArray[np.intp], segments: NDArray[np.int16]) -> Attributes:
        choices, flags, amounts = self._choices[rows], self._flags[rows], self._amounts[rows]
        if self.versions.labels:
            return LabelAttributes(flags, amounts, choices)
        return InferenceAttributes(choices, flags, amounts, segments, np.empty((0, len(flags))))

    @cached_property
    def _segment_begins(self) -> NDArray[np.intp]:
        """Where the matrix of each block begins."""
        cells = self.sizes * np.array([self.versions.segments[version] for version in self.numbers], np.intp)
        return np.cumsum(cells) - cells

    def _segments(self, numbers: Sequence[int]) -> NDArray[np.int16]:
        """Segments of blocks that have as many."""
        (wide,) = {self.versions.segments[self.numbers[number]] for number in numbers}
        sizes = self.sizes[numbers]
        if not wide:
            return np.empty((0, int(sizes.sum())), np.int16)
        apart = np.repeat(sizes, sizes)  # from one line of the matrix to the next
        within = np.arange(len(apart)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        cells = np.repeat(self._segment_begins[numbers], sizes) + within
        found = np.frombuffer(self.scanned.segments, np.int16)
        return found[cells + np.arange(wide)[:, None] * apart]

    def _numbers(self, numbers: Sequence[int], name: str) -> NDArray[np.float64]:
        lines = self.versions.lines
        parts = [(number, lines[self.numbers[number]].numbers[name]) for number in numbers]
        return np.frombuffer(self.scanned.numbers_of(parts), np.float64)

    def _answers(self, spans: Sequence[tuple[int, int]]) -> Answers:
        parts = [ScannedAnswers(self.scanned, first, last) for first, last in spans]
        rows = sum(last - first for first, last in spans)
        return parts[0] if len(parts) == 1 else Answers.joined(parts, np.arange(rows))
