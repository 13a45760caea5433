"""Runs of several ways in turns: what a machine loses for a minute, all of them lose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Measured = TypeVar("Measured")


def interleaved(
    ways: Mapping[str, Callable[[int], Measured]], runs: int, say: Callable[[str], None]
) -> dict[str, list[Measured]]:
    """Run every way once, then every way again, ``runs`` times in all; each is given its turn, from 1 on."""
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for turn in range(1, runs + 1):
        for name, run in ways.items():
            say(f"Run {turn} of {runs}: {name}")
            found[name].append(run(turn))
    return found
