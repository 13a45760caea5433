"""Inference events made of the rows of a file, as bytes, with their event times.

``replay`` decodes these very bytes and ``emit`` sends them, so a back-test and a live run of the same rows
see the same input. Nothing here reads a clock: the caller says when event time starts where a file does not.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
import polars as pl

from stream.codec.times import MAX_MS, MIN_MS
from stream.errors import ConfigError
from stream.events import InferenceEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from stream.rows import Roles, Table

Source = Literal["inference", "labels"]

_JSON = msgspec.json.Encoder()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLICE_ROWS = 10_000  # rows turned into Python objects at a time


class RowTimes(NamedTuple):
    """Event time of each row in ms since the epoch, and what the user should know about it, a line each."""

    ms: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def column_times(table: Table, column: str) -> RowTimes:
    """Event times from a column of datetimes, dates, RFC 3339 strings or integers (epoch ms).

    A time without an offset is UTC. The rows keep their order; times out of order are noted, not sorted.

    Raises
    ------
    ConfigError
        If a row has no time, or a value is none of these, or not between 1973 and 9999, the bounds of events.
    """
    table.require([column], "--timestamp")
    series = table.frame[column]
    if series.null_count():
        row = int(table.rows[int(series.is_null().arg_max() or 0)])
        raise ConfigError(
            f"timestamp column {column!r} is empty in {series.null_count()} rows (first: row {row}): "
            "fill them or leave them out with --rows"
        )
    ms = _epoch_ms(series, column, table)
    implausible = (ms < MIN_MS) | (ms > MAX_MS)
    if implausible.any():
        row = int(implausible.argmax())
        raise ConfigError(
            f"timestamp column {column!r} row {table.rows[row]}: {ms[row]} ms is not between 1973 and 9999: "
            "integers are epoch milliseconds, not seconds"
        )
    notes = []
    backwards = int(np.count_nonzero(np.diff(ms) < 0))
    if backwards:
        notes.append(f"timestamp column {column!r} goes back in time at {backwards} rows")
    return RowTimes(ms, tuple(notes))


def paced_times(rows: int, rate: float, start_ms: int) -> RowTimes:
    """Event times that move 1/``rate`` s a row: row i happens at ``start_ms`` + round(1000 i / rate).

    >>> paced_times(4, 20.0, 0).ms.tolist()
    [0, 50, 100, 150]
    """
    if not 0 < rate < math.inf:
        raise ConfigError(f"--rate {rate} must be a number above 0: rows per second")
    return RowTimes(start_ms + np.rint(np.arange(rows) * 1000 / rate).astype(np.int64))


def parse_time(text: str, option: str) -> int:
    """Epoch ms of an RFC 3339 time (UTC without an offset); raise ConfigError that names the option.

    >>> parse_time("2020-01-01T00:00:00Z", "--start")
    1577836800000
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is not a time: write it like 2020-01-01T00:00:00Z") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    ms = (aware - _EPOCH) // timedelta(milliseconds=1)
    if not MIN_MS <= ms <= MAX_MS:
        raise ConfigError(f"{option} {text!r} is not between 1973 and 9999, the bounds of event time")
    return ms


class Record(NamedTuple):
    """One event, ready for a topic: its key (the prediction id), its bytes and its event time."""

    key: bytes
    value: bytes
    ts_ms: int


def inference_events(
    table: Table, roles: Roles, times: RowTimes, *, model: str, version: str | None = None
) -> Iterator[Record]:
    """Inference event of each row, in row order; without ``version`` the events carry none."""
    ids, ts_ms = table.prediction_ids(), times.ms.tolist()
    predictions, scores = columns_of(table, (roles.prediction, roles.score))
    features, measures = table.values(roles.features), table.values(roles.measures)
    for start in range(0, len(table), _SLICE_ROWS):
        rows = features.slice(start, _SLICE_ROWS).iter_rows(named=True)
        measured = repeat(None) if not roles.measures else measures.slice(start, _SLICE_ROWS).to_dicts()
        for i, (row, numbers) in enumerate(zip(rows, measured, strict=False), start):
            event = InferenceEvent(
                prediction_id=ids[i],
                model=model,
                version=version,
                ts=ts_ms[i],
                features=row,
                prediction=None if predictions is None else predictions[i],
                score=None if scores is None else scores[i],
                measures=numbers,
            )
            yield Record(ids[i].encode(), _JSON.encode(event), ts_ms[i])


def columns_of(table: Table, names: tuple[str | None, ...]) -> list[list[Any] | None]:
    """Values of some columns as events carry them; None for a name that is None."""
    return [None if name is None else table.values([name])[name].to_list() for name in names]


def rfc3339(ms: int) -> str:
    """Inverse of :func:`parse_time`.

    >>> rfc3339(1577836800000)
    '2020-01-01T00:00:00.000Z'
    """
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _epoch_ms(series: pl.Series, column: str, table: Table) -> NDArray[np.int64]:
    if series.dtype.is_integer():
        return series.cast(pl.Int64).to_numpy()
    if isinstance(series.dtype, pl.Date | pl.Datetime):
        return series.cast(pl.Datetime("ms")).to_physical().to_numpy()
    if series.dtype != pl.String:
        raise ConfigError(
            f"timestamp column {column!r} holds {series.dtype}: "
            "give datetimes, RFC 3339 strings or integers (epoch milliseconds)"
        )
    where = f"timestamp column {column!r} row"
    values = zip(table.rows.tolist(), series.to_list(), strict=True)
    return np.fromiter((parse_time(text, f"{where} {row}:") for row, text in values), np.int64, len(series))
