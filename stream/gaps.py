"""Records that Kafka deleted before they were counted, and the span of event time that they may lie in.

The owner of a partition keeps its gaps beside the offset, so they commit with the jump over the records; the
evaluator reads them with the watermark, so a window that a gap touches is never told without the mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from stream.errors import CorruptState

KEPT = 8
"""Gaps kept a partition, the newest."""


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Offsets ``[first, first + lost)``; their events happened in ``[from_ms, to_ms]``.

    ``lost`` is 0 where counts were damaged after they were stored: nobody knows how many.

    ``from_ms`` is the watermark at the jump: earlier events were not expected any more. ``to_ms`` is the
    first event after it and the disorder that is allowed. None = no such bound is known.
    """

    first: int
    lost: int
    from_ms: int | None
    to_ms: int | None = None

    def touches(self, start_ms: int, end_ms: int) -> bool:
        """Whether a lost record may belong to ``[start_ms, end_ms)``."""
        return (self.from_ms is None or self.from_ms < end_ms) and (
            self.to_ms is None or self.to_ms >= start_ms
        )


_JSON = msgspec.json.Encoder()
_GAPS = msgspec.json.Decoder(tuple[Gap, ...])


def to_text(gaps: Sequence[Gap]) -> bytes:
    """Pack the newest gaps of a partition."""
    return _JSON.encode(gaps[-KEPT:])


def from_text(text: bytes | None) -> tuple[Gap, ...]:
    """Inverse of :func:`to_text`; nothing is no gap.

    Raises
    ------
    CorruptState
        The bytes are something else.
    """
    if not text:
        return ()
    try:
        return _GAPS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptState(f"stored gaps: {exc}") from exc


def ended(gaps: Iterable[Gap], to_ms: int) -> list[Gap]:
    """The gaps, those without an end yet closed at ``to_ms``."""
    return [msgspec.structs.replace(gap, to_ms=to_ms) if gap.to_ms is None else gap for gap in gaps]
