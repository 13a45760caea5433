"""Reading rows: ranges, formats, kinds, values, roles."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stream.errors import ConfigError
from stream.rows import Roles, RowRanges, Table, read_rows

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.parquet"
    pl.DataFrame({"x": range(10), "y": [f"c{i % 3}" for i in range(10)]}).write_parquet(path)
    return path


def write(path: Path, frame: pl.DataFrame) -> Path:
    {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}[path.suffix](
        path
    )
    return path


def table(frame: pl.DataFrame, name: str = "t.parquet") -> Table:
    return Table(Path(name), frame, np.arange(len(frame)))


def test_ranges_are_half_open_and_keep_the_order_given(ten: Path) -> None:
    read = read_rows(ten, RowRanges.parse("7:9, 0:2,7:8"))
    assert read.frame["x"].to_list() == [7, 8, 0, 1, 7]
    assert read.rows.tolist() == [7, 8, 0, 1, 7]


def test_without_ranges_every_row_is_read(ten: Path) -> None:
    assert read_rows(ten).frame["x"].to_list() == list(range(10))


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:2:3", "-1:5", "0:3,", "1_0:20", "0:3;4:5"])
def test_what_is_not_a_range_is_named_with_the_form_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a range: write A:B\[,C:D\.\.\.\]"):
        RowRanges.parse(text)


@pytest.mark.parametrize("text", ["5:5", "6:5"])
def test_an_empty_range_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=f"rows '{text}' is empty"):
        RowRanges.parse(text)


def test_a_range_beyond_the_file_names_the_row_count(ten: Path) -> None:
    assert len(read_rows(ten, RowRanges.parse("9:10"))) == 1
    with pytest.raises(ConfigError, match=r"rows 9:11 are out of range: ten\.parquet has 10 rows"):
        read_rows(ten, RowRanges.parse("0:3,9:11"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_three_formats_give_the_same_table(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {"x": [0.1, None, 1e300], "n": [1, 2, 3], "s": ["a", None, "ü,\"'"], "b": [True, False, None]}
    )
    read = read_rows(write(tmp_path / f"t{suffix}", frame), RowRanges.parse("1:3,0:1"))
    assert read.values(read.columns).rows() == [frame.row(1), frame.row(2), frame.row(0)]
    assert read.kinds == {"x": "numeric", "n": "numeric", "s": "categorical", "b": "categorical"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_types_come_from_the_whole_file_not_from_the_ranges(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"late{suffix}"
    lines = ["1"] * 2000 + ["2.5"]
    text = "x\n" + "\n".join(lines) if suffix == ".csv" else "\n".join(f'{{"x":{line}}}' for line in lines)
    path.write_text(text + "\n")
    assert read_rows(path, RowRanges.parse("0:2")).values(["x"]).dtypes == [pl.Float64]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", "x", r"cannot tell the format of .*t\.xlsx: name it \.parquet, \.csv or \.jsonl"),
        ("t.parquet", "not a parquet file", r"cannot read .*t\.parquet: "),
        ("t.csv", "a,b\n1,2,3\n", r"cannot read .*t\.csv: "),
        ("t.csv", "", r"cannot read .*t\.csv: "),
        ("t.csv", "a,b\n", r"t\.csv has no rows"),
        ("t.jsonl", '{"a":1}\n{"a":', r"cannot read .*t\.jsonl: "),
    ],
)
def test_an_unusable_file_is_a_one_line_error(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        read_rows(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file: .*none\.csv"):
        read_rows(tmp_path / "none.csv")


def test_values_are_what_json_can_carry() -> None:
    moment = dt.datetime(2020, 1, 1, 2, 3, 4)  # noqa: DTZ001 - a column without a zone
    frame = pl.DataFrame(
        {
            "f": pl.Series([float("nan"), float("inf"), 0.1], dtype=pl.Float64),
            "f32": pl.Series([0.1, -float("inf"), None], dtype=pl.Float32),
            "dec": [Decimal("1.25"), None, Decimal("-3")],
            "big": [2**62, None, -1],
            "date": [dt.date(2020, 1, 1), None, dt.date(2020, 1, 2)],
            "time": [dt.time(1, 2), None, None],
            "moment": [moment, None, None],
            "zoned": pl.Series([moment, None, None]).dt.replace_time_zone("Europe/Berlin"),
            "span": [dt.timedelta(seconds=1.5), None, None],
            "cat": pl.Series(["a", None, "b"], dtype=pl.Categorical),
            "none": [None, None, None],
        }
    )
    rows = table(frame).values(frame.columns).rows()
    berlin = "2020-01-01T02:03:04.000000+01:00"
    assert rows[0] == (
        *(None, float(np.float32(0.1)), 1.25, 2**62, "2020-01-01", "01:02:00", "2020-01-01T02:03:04.000000"),
        *(berlin, 1.5, "a", None),
    )
    assert rows[1] == (None,) * len(frame.columns)
    assert rows[2][0] == 0.1


def test_a_nested_column_is_an_error_only_when_used() -> None:
    nested = table(pl.DataFrame({"x": [1], "deep": [{"k": 1}], "many": [[1, 2]]}))
    assert nested.values(["x"]).rows() == [(1,)]
    for name in ("deep", "many"):
        with pytest.raises(
            ConfigError, match=f"column '{name}' of t.parquet holds .*leave it out with --features"
        ):
            nested.values([name])


def test_ids_name_the_file_row_and_tell_repeats_apart(ten: Path) -> None:
    ids = read_rows(ten, RowRanges.parse("3:5,4:6,4:5")).prediction_ids()
    assert ids == ["ten:3", "ten:4", "ten:4#2", "ten:5", "ten:4#3"]


def test_ids_of_a_long_file_name_stay_within_128_bytes() -> None:
    (long,) = table(pl.DataFrame({"x": [1]}), "ü" * 100 + ".csv").prediction_ids()
    assert len(long.encode()) <= 128


def test_features_are_by_default_the_columns_without_another_role() -> None:
    t = table(pl.DataFrame({name: [1] for name in ("a", "ts", "p", "b", "s", "y")}))
    roles = Roles.of(t, timestamp="ts", prediction="p", score="s", label="y")
    assert roles.features == ("a", "b")
    assert Roles.of(t, features=["b", "a", "b"]).features == ("b", "a")


def test_a_missing_column_is_named_with_the_nearest() -> None:
    t = table(pl.DataFrame({"income": [1], "age": [2]}), "loans.csv")
    with pytest.raises(
        ConfigError, match=r"--label 'incone' is not a column of loans\.csv: did you mean 'income'\?"
    ):
        Roles.of(t, label="incone")
    with pytest.raises(
        ConfigError, match=r"--features 'zzz' is not a column of loans\.csv: it has income, age"
    ):
        Roles.of(t, features=["age", "zzz"])


def test_no_feature_left_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no feature column left"):
        Roles.of(table(pl.DataFrame({"y": [1]})), label="y")


def test_real_rows_keep_their_exact_values() -> None:
    path = SHARED / "insects_gradual_balanced.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    read = read_rows(path, RowRanges.parse("15000:15002,6000:6001"))
    whole = pl.read_parquet(path)
    assert read.values(["att1"])["att1"].to_list() == [float(whole["att1"][i]) for i in (15000, 15001, 6000)]
    assert json.loads(json.dumps(read.values(["att1"]).rows())) == [
        list(row) for row in read.values(["att1"]).rows()
    ]


def test_a_score_must_be_a_number() -> None:
    with pytest.raises(ConfigError, match="--score 's' holds String: a score is a number"):
        Roles.of(table(pl.DataFrame({"x": [1], "s": ["high"]})), score="s")
