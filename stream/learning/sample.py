"""Events of a span of event time, sampled: the same ones in whatever order and from whatever partition.

An event is taken by a hash of its prediction id: the ``rows`` smallest hashes stay. So two workers that read
the same events keep the same ones, and a sample is spread over the span as the events are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.codec.limits import Limits
from stream.codec.times import NO_TIME, event_times
from stream.events import EventTime, ModelName, PredictionId

MOST_BYTES = 128 * 2**20
"""Of the records one sample holds: more of them would be too much for a worker's memory."""
MOST_VERSIONS = 50
_LIVE = (None, "", "live")
_SLACK = 1.5  # a sample grows to this times its bound before the largest hashes go


class _Head(msgspec.Struct, gc=False):
    """What is read of every event; the rest is read of those that stay."""

    prediction_id: PredictionId
    model: ModelName
    version: str | None = None
    ts: EventTime = None
    variant: str | None = None
    status: str | None = None

    @property
    def is_traffic(self) -> bool:
        """Whether windows count it: a good answer of the live variant."""
        return self.status != "error" and self.variant in _LIVE


class Sampled(NamedTuple):
    """One event of a sample; the fields are its place in the order by which events stay."""

    hash: int
    ts_ms: int
    value: bytes


@dataclass(frozen=True)
class Span:
    """Event times ``[start, end)`` in ms."""

    start_ms: int
    end_ms: int


class EventSample:
    """At most ``rows`` events of one model version, and how many of all there were in each slide.

    Parameters
    ----------
    slide_ms
        Distance of live windows, in ms.
    most_bytes
        Bound on the bytes of the records held.
    """

    def __init__(self, *, rows: int, slide_ms: int, most_bytes: int = MOST_BYTES) -> None:
        self.total = 0
        self._rows = rows
        self._most_bytes = most_bytes
        self._slide_ms = slide_ms
        self._slides: Counter[int] = Counter()
        self._held: list[Sampled] = []
        self._bytes = 0
        self._largest = 2**64 - 1

    def add(self, hashes: NDArray[np.uint64], ts_ms: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """Take in events: their hashes and times, both ``(n,)``, and their records."""
        self.total += len(hashes)
        slides, sizes = np.unique(ts_ms // self._slide_ms, return_counts=True)
        self._slides.update(dict(zip(slides.tolist(), sizes.tolist(), strict=True)))
        for place in np.flatnonzero(hashes <= np.uint64(self._largest)).tolist():
            self._held.append(Sampled(int(hashes[place]), int(ts_ms[place]), values[place]))
            self._bytes += len(values[place])
        if len(self._held) > _SLACK * self._rows or self._bytes > _SLACK * self._most_bytes:
            self._prune()

    def _prune(self) -> None:
        """Keep the first events that fit; what is not among them is not among the first of more either."""
        self._held.sort()
        sizes = np.cumsum([len(each.value) for each in self._held])
        fitting = min(self._rows, int(np.searchsorted(sizes, self._most_bytes, side="right")))
        if fitting < len(self._held):
            self._held = self._held[:fitting]
            self._bytes = int(sizes[fitting - 1]) if fitting else 0
            self._largest = self._held[-1].hash if self._held else 0

    def slide_rows(self, share: float = 0.5) -> int:
        """Quantile of the events in the slides that have any, of all events: the median; 0 without events."""
        return int(np.quantile(list(self._slides.values()), share)) if self._slides else 0

    def start_ms(self, share: float) -> int:
        """Start of the slide before which at most ``share`` of all events happened; 0 without events."""
        before = 0
        for slide, size in sorted(self._slides.items()):
            before += size
            if before > share * self.total:
                return slide * self._slide_ms
        return 0

    def events(self) -> list[Sampled]:
        """Return the sample, smallest hash first: its first events are a sample too."""
        self._prune()
        return self._held


def prediction_ids(events: Sequence[Sampled]) -> set[str]:
    """Return the ids of sampled events."""
    decode = msgspec.json.Decoder(_Head).decode
    return {decode(event.value).prediction_id for event in events}


class Harvest:
    """Collects the events of some models from records in any order.

    Parameters
    ----------
    spans
        Which event times are wanted, by model and version (``""``: events that name none). A version None
        stands for all versions of the model that have no span of their own.
    slides_ms, rows
        By model: distance of live windows, and the bound of each sample.
    """

    def __init__(
        self,
        spans: Mapping[str, Mapping[str | None, Span]],
        *,
        slides_ms: Mapping[str, int],
        rows: Mapping[str, int],
        limits: Limits,
    ) -> None:
        self.samples: dict[tuple[str, str], EventSample] = {}
        self._spans = spans
        self._slides_ms = slides_ms
        self._rows = rows
        self._limits = limits
        self._decode = msgspec.json.Decoder(_Head).decode

    def take(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> None:
        """Take in the values of some records; what is no event of a wanted model is passed over."""
        found: dict[tuple[str, str], list[int]] = {}
        heads: dict[int, _Head] = {}
        for row, value in enumerate(values):
            head = self._head(value)
            if head is not None:
                heads[row] = head
                found.setdefault((head.model, head.version or ""), []).append(row)
        for key, rows in found.items():
            span = self._span(*key)
            if span is not None:
                named = [heads[row] for row in rows]
                ts_ms = event_times([head.ts for head in named], np.array(rows, np.intp), record_ts_ms).ms
                kept = (ts_ms >= span.start_ms) & (ts_ms < span.end_ms) & (ts_ms != NO_TIME)
                self._add(
                    key, np.flatnonzero(kept), ts_ms, [(named[i], values[r]) for i, r in enumerate(rows)]
                )

    def _head(self, value: bytes | None) -> _Head | None:
        if not value or len(value) > self._limits.record_bytes:
            return None
        try:
            head = self._decode(value)
        except (ValueError, RecursionError):
            return None
        return head if head.model in self._spans and head.is_traffic else None

    def _span(self, model: str, version: str) -> Span | None:
        spans = self._spans[model]
        return spans[version] if version in spans else spans.get(None)

    def _add(
        self,
        key: tuple[str, str],
        places: NDArray[np.intp],
        ts_ms: NDArray[np.int64],
        events: list[tuple[_Head, Any]],
    ) -> None:
        if not len(places) or (key not in self.samples and len(self.samples) >= MOST_VERSIONS):
            return
        sample = self.samples.get(key)
        if sample is None:
            model = key[0]
            sample = EventSample(rows=self._rows[model], slide_ms=self._slides_ms[model])
            self.samples[key] = sample
        kept = [events[place] for place in places.tolist()]
        hashes = np.array([hash_of(head.prediction_id) for head, _ in kept], np.uint64)
        sample.add(hashes, ts_ms[places], [value for _, value in kept])


def hash_of(prediction_id: str) -> int:
    """Return 64 bits of BLAKE2b: the same in every process, and spread evenly."""
    return int.from_bytes(hashlib.blake2b(prediction_id.encode(), digest_size=8).digest())
