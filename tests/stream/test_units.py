from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.settings.units import format_bytes, format_duration, parse_bytes, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("24h", 86_400_000),
        ("1h 30m", 5_400_000),
        ("1.1s", 1_100),
        (" 0s ", 0),
    ],
)
def test_written_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 minutes", "5m3", "1e3s", 5, 5.0, None, True, "5m;"])
def test_a_duration_needs_a_number_and_a_unit(text: object) -> None:
    with pytest.raises(ValueError, match="a number with its unit"):
        parse_duration_ms(text)


def test_a_duration_is_whole_milliseconds_below_ten_years() -> None:
    with pytest.raises(ValueError, match="whole number of milliseconds"):
        parse_duration_ms("0.5ms")
    with pytest.raises(ValueError, match="at most 3650d"):
        parse_duration_ms("4000d")


@given(st.integers(min_value=0, max_value=3650 * 86_400_000))
def test_durations_round_trip(ms: int) -> None:
    assert parse_duration_ms(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "size"), [(1024, 1024), ("0", 0), ("512KiB", 524_288), ("1.5MiB", 1_572_864), ("10MB", 10**7)]
)
def test_written_sizes(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "64mb", "-1", "1TiB", True, None, "MiB"])
def test_a_size_needs_a_known_unit(text: object) -> None:
    with pytest.raises(ValueError, match="size in bytes"):
        parse_bytes(text)


def test_a_size_is_whole_bytes() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_bytes("0.1KiB")


@given(st.integers(min_value=0, max_value=2**45))
def test_sizes_round_trip(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == size
