"""Prediction ids of a block: texts for whoever asks, and the keys that the join takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.outcomes.join import id_keys


class Ids(Protocol):
    """The ids of n events, in the order of their block."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...

    def keys(self, model: str, secret: bytes) -> NDArray[np.uint64]:
        """Return :func:`stream.outcomes.join.id_keys` of the ids."""
        ...


class TextIds(list[str]):
    """Ids that are texts already."""

    def keys(self, model: str, secret: bytes) -> NDArray[np.uint64]:
        """See :class:`Ids`."""
        return id_keys(model, self, secret)


class JoinedIds:
    """Ids of several parts, those of the first one first, then put into ``order``."""

    def __init__(self, parts: Sequence[Ids], order: NDArray[np.intp]) -> None:
        self._parts = parts
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        together: Iterable[str] = chain.from_iterable(self._parts)
        texts = list(together)
        return (texts[place] for place in self._order.tolist())

    def keys(self, model: str, secret: bytes) -> NDArray[np.uint64]:
        """See :class:`Ids`."""
        return np.concatenate([part.keys(model, secret) for part in self._parts])[self._order]
