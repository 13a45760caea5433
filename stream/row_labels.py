"""Label events made of the rows of a file, and when each of them is sent.

A label comes some rows after its prediction, or at a time that the file knows, or never. Which labels never
come is decided by the prediction id, so ``replay`` and ``emit`` leave out the same ones.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from stream.errors import ConfigError
from stream.events import LabelEvent
from stream.row_events import Record, RowTimes, Source, column_times, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stream.rows import Roles, Table

_JSON = msgspec.json.Encoder()
_HASHES = 2.0**32


@dataclass(frozen=True, kw_only=True)
class LabelTiming:
    """When the labels of a file come.

    Parameters
    ----------
    delay
        Rows between a prediction and its label.
    column
        Column of the time at which the label is known instead; a row without one has no label.
    missing
        Share of the labels that never come, 0 to 1.

    Raises
    ------
    ConfigError
        Both a delay and a column are given, or the share is none.
    """

    delay: int = 0
    column: str | None = None
    missing: float = 0.0

    def __post_init__(self) -> None:
        if self.delay and self.column is not None:
            raise ConfigError("--label-delay and --label-time both say when a label comes: give one of them")
        if not 0.0 <= self.missing <= 1.0:
            raise ConfigError(f"--label-missing {self.missing} is not a share: give 0 to 1")


AT_ONCE = LabelTiming()


def label_times(table: Table, times: RowTimes, timing: LabelTiming) -> NDArray[np.int64]:
    """Event time of the label of each row in ms, -1 where it has none.

    With a delay, that of the row so many rows later (of the last row at the latest).

    Raises
    ------
    ConfigError
        The column of times is not there, or holds something else.
    """
    if timing.column is None:
        return times.ms[np.minimum(np.arange(len(table)) + timing.delay, len(table) - 1)]
    table.require([timing.column], "--label-time")
    known = np.flatnonzero(table.frame[timing.column].is_not_null().to_numpy())
    happened = np.full(len(table), -1, dtype=np.int64)
    if len(known):
        happened[known] = column_times(table.take(known), timing.column).ms
    return happened


def label_events(
    table: Table, roles: Roles, times: RowTimes, *, model: str, timing: LabelTiming = AT_ONCE
) -> Iterator[Record | None]:
    """Label event of each row, in row order, or None where the label never comes.

    See :func:`in_order_sent` for sending it no earlier than it happens.
    """
    ids = table.prediction_ids()
    (labels,) = columns_of(table, (roles.label,))
    happened = label_times(table, times, timing).tolist()
    for i, label in enumerate(labels or ()):
        if label is None or happened[i] < 0 or _is_missing(ids[i], timing.missing):
            yield None
            continue
        event = LabelEvent(prediction_id=ids[i], model=model, label=label, ts=happened[i])
        yield Record(ids[i].encode(), _JSON.encode(event), happened[i])


def _is_missing(prediction_id: str, share: float) -> bool:
    return zlib.crc32(prediction_id.encode()) < share * _HASHES


def in_order_sent(
    events: Iterator[Record], labels: Iterator[Record | None], times: RowTimes, timing: LabelTiming = AT_ONCE
) -> Iterator[tuple[Source, Record]]:
    """Both kinds of event in the order a live system sends them.

    With a delay each label comes so many rows after its own; with a column of times after the last
    prediction made before it.
    """
    if timing.column is None:
        after = iter(range(timing.delay, len(times.ms) + timing.delay))
        waiting = ((row, label) for row, label in zip(after, labels, strict=False))
    else:
        newest = np.maximum.accumulate(times.ms)
        sent = sorted((record for record in labels if record is not None), key=lambda record: record.ts_ms)
        rows = np.searchsorted(newest, [record.ts_ms for record in sent], side="right") - 1
        waiting = ((int(row), record) for row, record in zip(rows, sent, strict=True))
    return _merged(events, waiting)


def _merged(
    events: Iterator[Record], waiting: Iterator[tuple[int, Record | None]]
) -> Iterator[tuple[Source, Record]]:
    """Each label after the event of its row; what is left, after the last one."""
    due = next(waiting, None)
    for row, event in enumerate(events):
        yield "inference", event
        while due is not None and due[0] <= row:
            if due[1] is not None:
                yield "labels", due[1]
            due = next(waiting, None)
    while due is not None:
        if due[1] is not None:
            yield "labels", due[1]
        due = next(waiting, None)
