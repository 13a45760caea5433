"""Accuracy of the model in each part of the story: as estimated without labels, and by the labels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from stream.demo.seen import Seen, SeenWindow, SeriesWindow
from stream.demo.story import Story


class PartAccuracy(NamedTuple):
    """One part of the story; ``first`` and ``last`` are its windows, ``last`` included. None = not known.

    ``estimated`` and ``realized`` are of all predictions of the part together, ``labelled`` of which have
    their label.
    """

    name: str
    first: int
    last: int
    estimated: float | None
    realized: float | None
    predictions: int
    labelled: int

    @property
    def coverage(self) -> float | None:
        """Share of the predictions that have their label."""
        return self.labelled / self.predictions if self.predictions else None

    def to_dict(self) -> dict[str, Any]:
        """The part for a machine."""
        return {
            "part": self.name,
            "windows": [self.first, self.last],
            "estimated": self.estimated,
            "realized": self.realized,
            "n": self.labelled,
            "coverage": self.coverage,
        }


def accuracy_by_part(story: Story, seen: Seen) -> tuple[PartAccuracy, ...]:
    """The parts of the story in order."""
    return tuple(_part(part.name, span, story, seen) for part, span in story.parts)


def _part(name: str, span: range, story: Story, seen: Seen) -> PartAccuracy:
    found = (seen.windows.get(SeriesWindow("inference", story.end_ms(each))) for each in span)
    windows = [window for window in found if window is not None]
    told = [(window, window.accuracy) for window in windows if window.accuracy is not None]
    return PartAccuracy(
        name=name,
        first=span[0],
        last=span[-1],
        estimated=_mean((accuracy.estimated, window.n) for window, accuracy in told),
        realized=_mean((accuracy.realized, accuracy.labelled) for _, accuracy in told),
        predictions=_predictions(windows),
        labelled=sum(accuracy.labelled for _, accuracy in told),
    )


def _predictions(windows: Sequence[SeenWindow]) -> int:
    return sum(window.n for window in windows)


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    """Mean of the values that are known, each with its weight."""
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
