"""The story: which windows of event time hold what, and what is injected into them. Pure.

Event time runs faster than the wall clock and all of it lies in the past: workers quarantine events from the
future. Windows are counted from 0, the first row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["inference", "labels"]

WINDOW_MS = 10_000
WINDOW_ROWS = 250
ROW_MS = WINDOW_MS // WINDOW_ROWS
SPEED = 25.0
"""Event time over wall clock: 2.5 windows a second."""
LABEL_DELAY = 5
"""Windows between a prediction and its label."""

DRIFTING_SENSOR, OFFSET = "f1", 6
NEW_ANOMALY, OVER = "f5", 50


@dataclass(frozen=True)
class Part:
    """A number of windows in which one thing happens."""

    name: str
    windows: int


PARTS = (
    Part("stable", 20),
    Part(f"sensor {DRIFTING_SENSOR} drifts", 15),
    Part("recovery", 15),
    Part("concept changes", 15),
    Part("recovery", 15),
)


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A change made on purpose, in the windows ``[first, last)`` of the events that carry it.

    ``kind`` is the alert that must come, with columns out of ``columns``; ``follows`` are the kinds of alert
    that it may cause besides. ``delay`` is the number of windows by which its events come late.
    """

    name: str
    kind: str
    columns: frozenset[str]
    first: int
    last: int
    follows: frozenset[str] = frozenset()
    delay: int = 0


@dataclass(frozen=True)
class Story:
    """The timeline from ``start_ms``, which is the start of a window.

    Examples
    --------
    >>> story = Story.ending_before(1_760_000_000_000)
    >>> story.rows, story.windows("inference"), story.windows("labels")
    (20000, range(0, 80), range(5, 85))
    >>> story.part_of(19).name, story.part_of(20).name, story.part_of(84).name
    ('stable', 'sensor f1 drifts', 'recovery')
    """

    start_ms: int

    @classmethod
    def ending_before(cls, now_ms: int) -> Story:
        """The newest story whose last event is not in the future."""
        length_ms = (sum(part.windows for part in PARTS) + LABEL_DELAY) * WINDOW_MS
        return cls((now_ms - length_ms) // WINDOW_MS * WINDOW_MS)

    @property
    def rows(self) -> int:
        """Predictions in the story; each gets one label."""
        return len(self.windows("inference")) * WINDOW_ROWS

    @property
    def injections(self) -> tuple[Injection, ...]:
        """What a monitor must find, in order."""
        sensor, concept = _span(1), _span(3)
        return (
            Injection(
                name=f"sensor {DRIFTING_SENSOR} reads {OFFSET} too high",
                kind="data_drift",
                columns=frozenset({DRIFTING_SENSOR}),
                first=sensor.start,
                last=sensor.stop,
                follows=frozenset({"prediction_drift"}),  # the model is asked with wrong readings
            ),
            Injection(
                name=f"concept: {NEW_ANOMALY} over {OVER} is an anomaly now",
                kind="label_drift",
                columns=frozenset({"label"}),
                first=concept.start + LABEL_DELAY,
                last=concept.stop + LABEL_DELAY,
                delay=LABEL_DELAY,
            ),
        )

    def windows(self, source: Source) -> range:
        """The windows in which events of ``source`` happen."""
        whole = sum(part.windows for part in PARTS)
        return range(whole) if source == "inference" else range(LABEL_DELAY, whole + LABEL_DELAY)

    def end_ms(self, window: int) -> int:
        """End of a window; its start is the end of the one before."""
        return self.start_ms + (window + 1) * WINDOW_MS

    def window_of(self, end_ms: int) -> int:
        """The window that ends at ``end_ms``."""
        return (end_ms - self.start_ms) // WINDOW_MS - 1

    def predicted_ms(self, row: int) -> int:
        """Event time of the prediction on a row."""
        return self.start_ms + row * ROW_MS

    def labelled_ms(self, row: int) -> int:
        """Event time of the label of a row."""
        return self.predicted_ms(row) + LABEL_DELAY * WINDOW_MS

    def part_of(self, window: int) -> Part:
        """What happens in a window; the last part goes on for ever."""
        return next((p for i, p in enumerate(PARTS) if window < _span(i).stop), PARTS[-1])

    def read(self, row: int, reading: dict[str, int]) -> dict[str, int]:
        """What the sensors say where the truth is ``reading``."""
        if row // WINDOW_ROWS not in _span(1):
            return reading
        return {**reading, DRIFTING_SENSOR: reading[DRIFTING_SENSOR] + OFFSET}

    def label(self, row: int, reading: dict[str, int], label: int) -> int:
        """The label of a row that would have been ``label``: the readings stay, what they mean changes."""
        if row // WINDOW_ROWS not in _span(3):
            return label
        return int(label == 1 or reading[NEW_ANOMALY] > OVER)


def _span(part: int) -> range:
    first = sum(each.windows for each in PARTS[:part])
    return range(first, first + PARTS[part].windows)
