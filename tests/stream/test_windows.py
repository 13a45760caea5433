from __future__ import annotations

import pytest

from stream.errors import ConfigError
from stream.windows import OpenWindows, WindowSpec

SLIDING = WindowSpec(size_ms=300, slide_ms=100, grace_ms=30)


def test_pane_starts_are_inclusive_and_ends_exclusive() -> None:
    assert [SLIDING.pane_start(ts) for ts in (0, 99, 100, 299)] == [0, 0, 100, 200]


def test_every_window_that_contains_a_pane_is_opened() -> None:
    assert list(SLIDING.ends_of_pane(500)) == [600, 700, 800]


def test_the_last_pane_of_a_window_is_its_newest() -> None:
    assert list(SLIDING.panes_of_window(600)) == [300, 400, 500]


def test_a_pane_is_part_of_exactly_the_windows_that_list_it() -> None:
    for end in range(300, 1500, 100):
        for pane in range(0, 1500, 100):
            assert (end in SLIDING.ends_of_pane(pane)) == (pane in SLIDING.panes_of_window(end))


def test_a_tumbling_window_is_one_pane() -> None:
    tumbling = WindowSpec(size_ms=100, slide_ms=100)
    assert list(tumbling.ends_of_pane(0)) == [100]
    assert list(tumbling.panes_of_window(100)) == [0]


@pytest.mark.parametrize(("size", "slide", "grace"), [(0, 1, 0), (10, 0, 0), (10, 3, 0), (10, 5, -1)])
def test_impossible_windows_are_refused(size: int, slide: int, grace: int) -> None:
    with pytest.raises(ConfigError):
        WindowSpec(size_ms=size, slide_ms=slide, grace_ms=grace)


def test_a_window_closes_when_the_watermark_reaches_end_plus_grace() -> None:
    windows = OpenWindows(SLIDING)
    windows.add(600)
    assert windows.closed_by(None) == []
    assert windows.closed_by(629) == []
    assert windows.closed_by(630) == [600]


def test_closed_windows_come_oldest_first_and_stay_until_discarded() -> None:
    windows = OpenWindows(SLIDING)
    for end in (800, 600, 700):
        windows.add(end)
    assert windows.closed_by(10_000) == [600, 700, 800]
    windows.discard([600])
    assert windows.closed_by(10_000) == [700, 800]
    assert len(windows) == 2


def test_an_event_restates_until_the_horizon_after_its_last_window() -> None:
    assert SLIDING.too_late_at(500, 1000) == 500 + 300 + 30 + 1000
