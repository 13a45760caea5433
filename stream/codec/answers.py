"""The raw predictions or labels of a block: each different one once, and which of them an event has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Answers:
    """Answers of n events: ``values[codes[event]]`` is what the event says.

    A model of few classes has few ``values``, so that whoever makes numbers of them does it once a class and
    not once an event. They are as JSON has them or, where that is not what their column takes, as
    :meth:`stream.codec.values.Column.repaired` says. Both are empty where nobody asked for answers.

    Parameters
    ----------
    load
        Gives codes and values; called once, when one of them is needed.
    """

    def __init__(self, load: Callable[[], tuple[NDArray[np.int32], Sequence[Any]]]) -> None:
        self._load = load

    @classmethod
    def of(cls, answers: Iterable[Any]) -> Answers:
        """Return those of events with these answers.

        >>> found = Answers.of([1, 1.0, "a", 1])
        >>> found.codes.tolist(), found.values
        ([0, 1, 2, 0], [1, 1.0, 'a'])
        """
        numbers: dict[tuple[type, Any], int] = {}
        codes = [numbers.setdefault((type(answer), answer), len(numbers)) for answer in answers]
        found = np.array(codes, np.int32), [answer for _, answer in numbers]
        return cls(lambda: found)

    @classmethod
    def joined(cls, parts: Sequence[Answers], order: NDArray[np.intp]) -> Answers:
        """Return the answers of ``parts`` one after another, put into ``order``."""
        starts = np.cumsum([0, *(len(part.values) for part in parts)]).tolist()
        codes = [part.codes + start for part, start in zip(parts, starts, strict=False)]
        values = [value for part in parts for value in part.values]
        found = np.concatenate(codes)[order].astype(np.int32), values
        return cls(lambda: found)

    @cached_property
    def _loaded(self) -> tuple[NDArray[np.int32], Sequence[Any]]:
        return self._load()

    @property
    def codes(self) -> NDArray[np.int32]:
        """Place in ``values`` of each event's answer."""
        return self._loaded[0]

    @property
    def values(self) -> Sequence[Any]:
        """The different answers."""
        return self._loaded[1]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Any]:
        values = self.values
        return (values[code] for code in self.codes.tolist())


NO_ANSWERS = Answers.of(())
"""Of events whose answers nobody asked for."""
