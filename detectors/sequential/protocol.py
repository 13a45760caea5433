"""What every detector on a stream of single values can do."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike


class SequentialDetector(Protocol):
    """Takes values one after the other and says after which of them the stream had changed.

    For histograms of whole windows use :class:`detectors.Monitor`. Every implementation keeps three promises:
    the same values give the same alarms however they are cut into calls; the state is a few named numbers,
    written by :meth:`to_bytes` and read back, with checks and without pickle, by
    :func:`detectors.sequential.restore_detector`; a restored detector goes on as if it had never stopped.
    """

    @property
    def seen(self) -> int:
        """Values seen so far."""
        ...

    def update(self, values: ArrayLike, /) -> list[int]:
        """Take values in order and return the positions of alarms, counted from 0 at the first value ever.

        Raises ``ValueError`` for values that the detector is not made for; then none of them is taken in.
        """
        ...

    def to_bytes(self) -> bytes:
        """Return the state, with magic, version and checksum."""
        ...
