"""The table that a run of the fault tests ends with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one fault did, and what it did not."""

    fault: str
    injections: int
    events: int
    lost: int
    doubled: int
    progress_s: float | None
    seed: int


HEADINGS = ("fault", "injections", "events", "lost", "doubled", "s to progress", "seed")


def lines(rows: list[Figures]) -> Iterator[str]:
    """The table, a line at a time."""
    cells = [
        (
            each.fault,
            str(each.injections),
            f"{each.events:,}",
            str(each.lost),
            str(each.doubled),
            "-" if each.progress_s is None else f"{each.progress_s:.1f}",
            str(each.seed),
        )
        for each in rows
    ]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    for row in (HEADINGS, *cells):
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([row[0].ljust(len(first)), *rest])
