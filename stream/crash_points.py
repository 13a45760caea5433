"""Where a test may let the process die: before and after every step of the commits.

The steps are those of :mod:`stream.ownership`, :mod:`stream.ingest` and :mod:`stream.evaluator`, with the
numbers of docs/guarantees.md. Nothing happens in production: no point is armed, and passing one is a look
at a module variable, a few times a commit. Two variables of the environment together arm a point, read once
when a worker starts: ``DRIFTSTREAM_CRASH_AT=counts.after:3`` dies the third time that the step "counts" is
done, and is refused unless ``DRIFTSTREAM_UNDER_TEST=yes`` stands beside it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stream.errors import ConfigError

log = logging.getLogger(__name__)

CRASH_AT: Final = "DRIFTSTREAM_CRASH_AT"
UNDER_TEST: Final = "DRIFTSTREAM_UNDER_TEST"
KILLED: Final = 137
"""The exit code of a process that SIGKILL ended, as a shell tells it."""

INGEST: Final = ("claim", "decode", "dead_letters", "join", "counts", "notices", "offsets")
EVALUATE: Final = ("read", "verdicts", "decide", "publish", "trim")
POINTS: Final = tuple(f"{step}.{when}" for step in INGEST + EVALUATE for when in ("before", "after"))


@dataclass
class _Planned:
    """The point to die at, and how often it is passed before."""

    point: str
    left: int

    def passed(self, point: str) -> None:
        if point != self.point:
            return
        self.left -= 1
        if not self.left:
            os._exit(KILLED)


_planned: _Planned | None = None


def reached(point: str) -> None:
    """Pass a point; the process ends here when it is the armed one."""
    if _planned is not None:
        _planned.passed(point)


def arm(environ: Mapping[str, str]) -> None:
    """Arm the point that the environment names, if any.

    Raises
    ------
    ConfigError
        It is no point, or this is no test.
    """
    global _planned  # noqa: PLW0603  # one process, one fate
    told = environ.get(CRASH_AT)
    if told is None:
        _planned = None
        return
    if environ.get(UNDER_TEST) != "yes":
        raise ConfigError(f"{CRASH_AT}={told} kills the worker and is for tests only: unset it")
    found = re.fullmatch(r"([a-z_.]+)(?::([1-9][0-9]*))?", told)
    if found is None or found[1] not in POINTS:
        raise ConfigError(f"{CRASH_AT}={told}: write one of {', '.join(POINTS)}, and :N for the N-th time")
    _planned = _Planned(found[1], int(found[2] or 1))
    log.warning('crash point armed point="%s" time="%s"', found[1], found[2] or 1)
