"""When windows of any model close, as far as a watermark is concerned: what makes ingest commit soon."""

from __future__ import annotations

from collections.abc import Iterable

from stream.windows import WindowSpec

MOST = 16
"""Different times of closing that are looked for; others wait for the next commit."""
NEAR_MS, NEAR_SHARE = 5_000, 10
"""How long before a close it is near, and at most which part of a slide."""


class Closes:
    """Times at which windows close: ends of slides, a grace later.

    >>> closes = Closes([WindowSpec(size_ms=60_000, slide_ms=60_000, grace_ms=5_000)])
    >>> closes.between(64_999, 65_000), closes.between(65_000, 124_999)
    (True, False)
    >>> closes.are_near(60_000), closes.are_near(60_001), closes.are_near(65_001)
    (False, True, False)
    """

    def __init__(self, windows: Iterable[WindowSpec]) -> None:
        self._closes = sorted({(spec.slide_ms, spec.grace_ms) for spec in windows})[:MOST]

    def between(self, before_ms: int | None, now_ms: int | None) -> bool:
        """Whether some windows close as a watermark moves from ``before_ms`` to ``now_ms``."""
        if before_ms is None or now_ms is None:
            return False
        return any(
            (now_ms - grace_ms) // slide_ms > (before_ms - grace_ms) // slide_ms
            for slide_ms, grace_ms in self._closes
        )

    def are_near(self, now_ms: int | None) -> bool:
        """Whether a watermark at ``now_ms`` is about to pass a close."""
        return now_ms is not None and any(
            (grace_ms - now_ms) % slide_ms < min(NEAR_MS, slide_ms // NEAR_SHARE)
            for slide_ms, grace_ms in self._closes
        )
