"""What every peer keeps of a window: 65 cells of each numeric feature, a counter of each categorical one.

Plain Python, as one writes it in a handler: bisect into the quantile edges of the reference, one more in the
cell. Standard library only.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from pathlib import Path
from typing import Any

CELLS = 65
MISSING = CELLS - 1
WINDOW_MS = 60_000

Window = dict[str, Any]


class Histograms:
    """The features of W, read from a file: ``{"numeric": {name: edges}, "categorical": [name]}``."""

    def __init__(self, path: str) -> None:
        layout = json.loads(Path(path).read_text())
        self._numeric = list(layout["numeric"].items())
        self._categorical = list(layout["categorical"])

    def empty(self) -> Window:
        """Return a window without events."""
        window: Window = {name: [0] * CELLS for name, _ in self._numeric}
        return window | {name: {} for name in self._categorical}

    def add(self, window: Window, event: dict[str, Any]) -> Window:
        """Count one event into the window, and return it."""
        features = event["features"]
        for name, edges in self._numeric:
            value = features.get(name)
            window[name][MISSING if value is None else bisect_right(edges, value)] += 1
        for name in self._categorical:
            counter, value = window[name], features.get(name) or "missing"
            counter[value] = counter.get(value, 0) + 1
        return window

    def total(self, window: Window) -> int:
        """Return the number of events in a window."""
        return sum(window[self._numeric[0][0]])


def start_of(event: dict[str, Any]) -> int:
    """Return the start of the minute of an event."""
    return int(event["ts"]) // WINDOW_MS * WINDOW_MS
