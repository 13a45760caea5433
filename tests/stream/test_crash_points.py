"""A crash point does nothing unless a test arms it; then the process is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stream import crash_points
from stream.errors import ConfigError

ARMED = {crash_points.CRASH_AT: "counts.after:2", crash_points.UNDER_TEST: "yes"}


def test_not_armed_a_point_is_passed() -> None:
    crash_points.arm({})
    for point in crash_points.POINTS:
        crash_points.reached(point)


def test_armed_only_under_test() -> None:
    with pytest.raises(ConfigError, match="for tests only"):
        crash_points.arm({crash_points.CRASH_AT: "counts.after"})


@pytest.mark.parametrize("told", ["counts", "counts.during", "counts.after:0", "Counts.after", ""])
def test_a_point_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(ConfigError, match=r"write one of claim\.before"):
        crash_points.arm({**ARMED, crash_points.CRASH_AT: told})


def test_the_process_ends_at_the_second_time() -> None:
    code = (
        "from stream import crash_points as c\n"
        f"c.arm({ARMED!r})\n"
        "for point in ('counts.before', 'counts.after', 'counts.before'): c.reached(point)\n"
        "print('once', flush=True)\n"
        "c.reached('counts.after')\n"
        "print('twice')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (crash_points.KILLED, "once\n")
