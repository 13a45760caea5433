"""Event times of rows, and the events made of them."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from stream.errors import ConfigError
from stream.events import InferenceEvent
from stream.row_events import (
    RowTimes,
    column_times,
    inference_events,
    paced_times,
    parse_time,
)
from stream.rows import Roles, Table

NEW_YEAR_MS = 1_577_836_800_000


def table(frame: pl.DataFrame) -> Table:
    return Table(Path("t.parquet"), frame, np.arange(100, 100 + len(frame)))


def times_of(values: Any) -> RowTimes:
    return column_times(table(pl.DataFrame({"at": values})), "at")


@pytest.mark.parametrize(
    "values",
    [
        [dt.datetime(2020, 1, 1, 0, 0, 0, 1000, tzinfo=dt.UTC)],
        pl.Series([dt.datetime(2020, 1, 1, 0, 0, 0, 1999)]),  # noqa: DTZ001 - no zone means UTC
        pl.Series([dt.datetime(2020, 1, 1, 0, 0, 0, 1000)], dtype=pl.Datetime("ns")),  # noqa: DTZ001
        ["2020-01-01T00:00:00.001Z"],
        ["2020-01-01T02:00:00.001+02:00"],
        ["2020-01-01 00:00:00.001"],
        [NEW_YEAR_MS + 1],
    ],
)
def test_every_written_form_of_a_time_gives_the_same_ms(values: Any) -> None:
    assert times_of(values).ms.tolist() == [NEW_YEAR_MS + 1]
    assert times_of(values).notes == ()


def test_a_date_is_its_first_ms_in_utc() -> None:
    assert times_of([dt.date(2020, 1, 1)]).ms.tolist() == [NEW_YEAR_MS]


def test_times_out_of_order_keep_the_row_order_and_are_noted() -> None:
    times = times_of([NEW_YEAR_MS + 5, NEW_YEAR_MS, NEW_YEAR_MS, NEW_YEAR_MS + 9])
    assert times.ms.tolist() == [NEW_YEAR_MS + 5, NEW_YEAR_MS, NEW_YEAR_MS, NEW_YEAR_MS + 9]
    assert times.notes == ("timestamp column 'at' goes back in time at 1 rows",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([10**12, None, 10**12, None], r"timestamp column 'at' is empty in 2 rows \(first: row 101\)"),
        ([1_577_836_800], "row 100: 1577836800 ms is not between 1973 and 9999: .* not seconds"),
        (["1960-01-01"], "row 100: '1960-01-01' is not between 1973 and 9999"),
        ([1.5], "timestamp column 'at' holds Float64: give datetimes, RFC 3339"),
        ([True], "timestamp column 'at' holds Boolean"),
        (["2020-01-01", "soon"], "timestamp column 'at' row 101: 'soon' is not a time: write it like 2020"),
    ],
)
def test_what_is_no_time_is_named(values: list[object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        times_of(values)


def test_paced_times_do_not_accumulate_rounding() -> None:
    ms = paced_times(3001, 3.0, NEW_YEAR_MS).ms
    assert ms[:4].tolist() == [NEW_YEAR_MS, NEW_YEAR_MS + 333, NEW_YEAR_MS + 667, NEW_YEAR_MS + 1000]
    assert ms[3000] == NEW_YEAR_MS + 1_000_000


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(ConfigError, match="must be a number above 0: rows per second"):
        paced_times(3, rate, 0)


def test_a_start_is_named_when_it_is_no_time() -> None:
    with pytest.raises(ConfigError, match="--start 'noon' is not a time"):
        parse_time("noon", "--start")


@pytest.fixture
def loans() -> Table:
    return table(
        pl.DataFrame(
            {
                "income": pl.Series([0.1, None, float("nan")], dtype=pl.Float32),
                "region": ["north", None, 'ü"\n'],
                "owner": [True, False, None],
                "decision": ["yes", "no", None],
                "p": [0.25, None, 1.0],
                "repaid": [1, None, 0],
            }
        )
    )


ROLES = Roles(("income", "region", "owner"), prediction="decision", score="p", label="repaid")


def test_an_event_carries_the_exact_values_of_its_row(loans: Table) -> None:
    records = list(inference_events(loans, ROLES, paced_times(3, 20, NEW_YEAR_MS), model="m", version="v1"))
    first = msgspec.json.decode(records[0].value)
    assert first == {
        "prediction_id": "t:100",
        "model": "m",
        "version": "v1",
        "ts": NEW_YEAR_MS,
        "features": {"income": float(np.float32(0.1)), "region": "north", "owner": True},
        "prediction": "yes",
        "score": 0.25,
    }
    assert msgspec.json.decode(records[1].value)["features"] == {
        "income": None,
        "region": None,
        "owner": False,
    }
    assert msgspec.json.decode(records[2].value)["features"]["income"] is None
    assert [record.key for record in records] == [b"t:100", b"t:101", b"t:102"]
    assert [record.ts_ms for record in records] == [NEW_YEAR_MS, NEW_YEAR_MS + 50, NEW_YEAR_MS + 100]


def test_without_a_version_the_event_has_no_such_field(loans: Table) -> None:
    (first, *_) = inference_events(loans, ROLES, paced_times(3, 20, 0), model="m")
    assert "version" not in msgspec.json.decode(first.value)


def test_events_decode_into_the_one_definition(loans: Table) -> None:
    times = paced_times(3, 20, NEW_YEAR_MS)
    for record in inference_events(loans, ROLES, times, model="m"):
        msgspec.json.decode(record.value, type=InferenceEvent)


def test_the_same_rows_give_the_same_bytes(loans: Table) -> None:
    times = paced_times(3, 20, NEW_YEAR_MS)
    assert list(inference_events(loans, ROLES, times, model="m")) == list(
        inference_events(loans, ROLES, times, model="m")
    )


def test_events_run_on_across_slices_of_rows() -> None:
    many = table(pl.DataFrame({"x": range(25_001), "p": range(25_001)}))
    records = list(
        inference_events(many, Roles(("x",), prediction="p"), paced_times(25_001, 1000, 0), model="m")
    )
    decoded = [msgspec.json.decode(record.value) for record in records]
    assert [event["features"]["x"] for event in decoded] == list(range(25_001))
    assert all(event["features"]["x"] == event["prediction"] for event in decoded)
    assert all(a["ts"] + 1 == b["ts"] for a, b in pairwise(decoded))
