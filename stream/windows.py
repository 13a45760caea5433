"""Windows of event time: integer milliseconds, half-open ``[start, end)``.

A *pane* (slice) is a disjoint piece of event time as long as the slide; a *window* is the merge of
``size / slide`` panes and is named by its end. An event belongs to one pane and so costs one update,
however many windows overlap it (Li et al. 2005, "No pane, no gain").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Size, slide and grace of a model's windows, in ms. ``size`` is a multiple of ``slide``.

    Raises
    ------
    ConfigError
        A length is not positive, or the slide does not divide the size.
    """

    size_ms: int
    slide_ms: int
    grace_ms: int = 0

    def __post_init__(self) -> None:
        if self.size_ms <= 0 or self.slide_ms <= 0 or self.grace_ms < 0:
            raise ConfigError(f"window {self.size_ms} ms, slide {self.slide_ms} ms: both must be positive")
        if self.size_ms % self.slide_ms:
            raise ConfigError(
                f"slide {self.slide_ms} ms does not divide window {self.size_ms} ms: choose one that does"
            )

    def pane_start(self, ts_ms: int) -> int:
        """Start of the pane that holds ``ts_ms``."""
        return ts_ms - ts_ms % self.slide_ms

    def ends_of_pane(self, pane_start_ms: int) -> range:
        """Ends of all windows that contain the pane, in order."""
        return range(
            pane_start_ms + self.slide_ms, pane_start_ms + self.size_ms + self.slide_ms, self.slide_ms
        )

    def panes_of_window(self, end_ms: int) -> range:
        """Starts of the panes of the window that ends at ``end_ms``, in order; the last is the newest."""
        return range(end_ms - self.size_ms, end_ms, self.slide_ms)

    def closes_at(self, end_ms: int) -> int:
        """Watermark at which the window that ends at ``end_ms`` is closed: it still accepts events below."""
        return end_ms + self.grace_ms

    def pane_closes_at(self, pane_start_ms: int) -> int:
        """Watermark at which the first window of this pane is closed: later changes of it are announced."""
        return self.closes_at(pane_start_ms + self.slide_ms)

    def too_late_at(self, pane_start_ms: int, horizon_ms: int) -> int:
        """Watermark from which an event of this pane can no longer restate any of its windows."""
        return pane_start_ms + self.size_ms + self.grace_ms + horizon_ms


class _Times:
    """Distinct times, of which the earliest is asked for far more often than one is added or taken off."""

    def __init__(self) -> None:
        self._all: set[int] = set()
        self._first: int | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, ms: int) -> bool:
        return ms in self._all

    def add(self, ms: int) -> None:
        """Take a time up; one that is there already changes nothing."""
        self._all.add(ms)
        if self._first is None or ms < self._first:
            self._first = ms

    def discard(self, times: Iterable[int]) -> None:
        """Take times off."""
        self._all.difference_update(times)
        self._first = min(self._all, default=None)

    def up_to(self, ms: int) -> list[int]:
        """Those at or before ``ms``, in order; they stay until discarded."""
        if self._first is None or self._first > ms:
            return []
        return sorted(each for each in self._all if each <= ms)


class OpenWindows(_Times):
    """Ends of windows that hold events and are not evaluated yet."""

    def __init__(self, spec: WindowSpec) -> None:
        super().__init__()
        self.spec = spec

    def closed_by(self, watermark_ms: int | None) -> list[int]:
        """Ends of the open windows that the watermark closes, oldest first; they stay until discarded."""
        return [] if watermark_ms is None else self.up_to(watermark_ms - self.spec.grace_ms)

    def is_closed_by(self, watermark_ms: int | None) -> bool:
        """Whether the watermark closes any of them."""
        closes_ms = self.next_close_ms
        return closes_ms is not None and watermark_ms is not None and closes_ms <= watermark_ms

    @property
    def next_close_ms(self) -> int | None:
        """The watermark that closes the first of them; None = none is open."""
        return None if self._first is None else self.spec.closes_at(self._first)


class LivePanes(_Times):
    """Starts of the panes whose windows events can still restate."""

    def __init__(self, spec: WindowSpec, horizon_ms: int) -> None:
        super().__init__()
        self._too_late_ms = spec.too_late_at(0, horizon_ms)

    def over_by(self, watermark_ms: int | None) -> list[int]:
        """Starts of the panes that no event can restate any more, oldest first; they stay until discarded."""
        return [] if watermark_ms is None else self.up_to(watermark_ms - self._too_late_ms)
