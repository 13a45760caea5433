"""Labels made of the rows of a file, and the order in which they are sent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from stream.errors import ConfigError
from stream.events import LabelEvent
from stream.row_events import RowTimes, inference_events, paced_times
from stream.row_labels import LabelTiming, in_order_sent, label_events
from stream.rows import Roles, Table

NEW_YEAR_MS = 1_577_836_800_000
ROLES = Roles(("x",), label="y")


def table(frame: pl.DataFrame) -> Table:
    return Table(Path("t.parquet"), frame, np.arange(100, 100 + len(frame)))


@pytest.fixture
def loans() -> Table:
    known_at = [NEW_YEAR_MS + 75, None, NEW_YEAR_MS + 60]
    return table(pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1, None, 0], "known_at": known_at}))


def sent(of: Table, times: RowTimes, timing: LabelTiming) -> list[str]:
    events = inference_events(of, ROLES, times, model="m")
    labels = label_events(of, ROLES, times, model="m", timing=timing)
    return [
        f"{source[0]}{int(record.key[2:]) - 100}"
        for source, record in in_order_sent(events, labels, times, timing)
    ]


def test_a_label_comes_as_late_as_told_and_never_when_missing(loans: Table) -> None:
    times = paced_times(3, 20, NEW_YEAR_MS)
    first, second, third = label_events(loans, ROLES, times, model="m", timing=LabelTiming(delay=1))
    assert second is None
    assert first is not None
    assert msgspec.json.decode(first.value) == {
        "prediction_id": "t:100",
        "model": "m",
        "label": 1,
        "ts": NEW_YEAR_MS + 50,
    }
    assert third is not None
    assert third.ts_ms == NEW_YEAR_MS + 100
    assert msgspec.json.decode(third.value, type=LabelEvent).label == 0


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (LabelTiming(), "i0 l0 i1 i2 l2"),
        (LabelTiming(delay=1), "i0 i1 l0 i2 l2"),
        (LabelTiming(delay=9), "i0 i1 i2 l0 l2"),
        (LabelTiming(column="known_at"), "i0 i1 l2 l0 i2"),
        (LabelTiming(missing=1.0), "i0 i1 i2"),
    ],
)
def test_labels_are_sent_no_earlier_than_they_happen(
    loans: Table, timing: LabelTiming, expected: str
) -> None:
    assert " ".join(sent(loans, paced_times(3, 20, NEW_YEAR_MS), timing)) == expected


def test_a_share_of_the_labels_never_comes_and_always_the_same() -> None:
    rows = table(pl.DataFrame({"x": range(5_000), "y": [1] * 5_000}))
    times = paced_times(5_000, 100, NEW_YEAR_MS)
    few, many = (
        {name for name in sent(rows, times, LabelTiming(missing=share)) if name[0] == "l"}
        for share in (0.03, 0.2)
    )
    assert 4_800 < len(few) < 4_900
    assert 3_900 < len(many) < 4_100
    assert many < few


def test_wrong_timing_is_one_line(loans: Table) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        LabelTiming(delay=3, column="known_at")
    with pytest.raises(ConfigError, match=r"--label-missing 2\.0 is not a share: give 0 to 1"):
        LabelTiming(missing=2.0)
    with pytest.raises(ConfigError, match=r"--label-time 'known' is not a column of t\.parquet: did"):
        list(label_events(loans, ROLES, paced_times(3, 20, 0), model="m", timing=LabelTiming(column="known")))
