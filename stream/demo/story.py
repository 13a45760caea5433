"""The story: which windows of event time hold what, and what is injected into them. Pure.

Event time runs faster than the wall clock and all of it lies in the past: workers quarantine events from the
future. Windows are counted from 0, the first row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

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


class Sign(NamedTuple):
    """An alert that is true of an injection: its kind, and the columns or metrics that it may name.

    Its window holds changed events ``delay`` windows after the changed predictions: 0 where it is about the
    predictions, however late their labels come.
    """

    kind: str
    names: frozenset[str]
    delay: int = 0


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A change made on purpose to the predictions of the windows ``[first, last)``, or to their labels.

    ``sign`` is the alert that must come; ``also`` are those that the change may cause besides. ``late`` is
    the number of windows after which what was changed reaches the stream.
    """

    name: str
    sign: Sign
    first: int
    last: int
    also: tuple[Sign, ...] = ()
    late: int = 0


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
        accuracy = frozenset({"accuracy"})
        return (
            Injection(
                name=f"sensor {DRIFTING_SENSOR} reads {OFFSET} too high",
                sign=Sign("data_drift", frozenset({DRIFTING_SENSOR})),
                first=sensor.start,
                last=sensor.stop,
                also=(
                    # the model is asked with wrong readings: its answers move,
                    Sign("prediction_drift", frozenset({"prediction", "score"})),
                    # its scores promise less than before,
                    Sign("estimated_performance_drop", accuracy),
                    # and the labels contradict them
                    Sign("concept_drift", accuracy),
                ),
            ),
            Injection(
                name=f"concept: {NEW_ANOMALY} over {OVER} is an anomaly now",
                sign=Sign("concept_drift", accuracy),
                first=concept.start,
                last=concept.stop,
                also=(
                    Sign("performance_drop", accuracy),
                    Sign("label_drift", frozenset({"label"}), delay=LABEL_DELAY),
                ),
                late=LABEL_DELAY,
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

    @property
    def parts(self) -> tuple[tuple[Part, range], ...]:
        """Every part with the windows of its predictions."""
        return tuple((part, _span(i)) for i, part in enumerate(PARTS))

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
