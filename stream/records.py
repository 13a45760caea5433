"""The record of an evaluated window: the object on ``drift.metrics`` and in ``replay --output json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from detectors import FeatureVerdict, PairVerdict
from stream.alerts import digest
from stream.messages import Message

_JSON = msgspec.json.Encoder()


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Every number of one window of one model version.

    ``source`` tells whether inference or label events were counted; ``n`` is the number of events in
    ``[window_start_ms, window_end_ms)``; ``revision`` grows when late events restate the window.
    ``pairs`` are those whose dependence changed though neither column did; not part of a restated window.
    ``against`` holds the verdicts of comparisons with earlier periods, where such are asked for.
    ``performance`` holds realized and estimated performance, where the reference has labels.
    ``incomplete`` is there, and true, when retention took records that may have belonged to the window, or
    some of its stored counts were damaged.
    ``closed_by`` is ``watermark``; ``idle`` when the stream had gone quiet; ``late`` when late events restate
    the window, and ``labels`` when labels do: then ``features`` is empty, it says nothing new of them.
    """

    model: str
    version: str
    source: str
    window_start_ms: int
    window_end_ms: int
    n: int
    status: str
    severity: str
    drifted: list[str]
    features: dict[str, dict[str, Any]]
    revision: int = 0
    closed_by: str = "watermark"
    reference: str = ""
    pairs: list[dict[str, Any]] = []
    against: dict[str, dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    performance: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    incomplete: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def id(self) -> str:
        """Deterministic identity of this revision of this window."""
        return digest(self.model, self.version, self.source, self.window_end_ms, self.revision)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON would give them."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def to_json(self) -> bytes:
        """One line of JSON."""
        return _JSON.encode(self)

    def to_message(self, topic: str) -> Message:
        """The Kafka record, keyed by model."""
        return Message(topic, self.model.encode(), self.to_json(), [("id", self.id.encode())])


def features_of(
    features: Iterable[FeatureVerdict], visible: Mapping[str, Mapping[str, float]] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """The verdicts of features as plain values, by name; drifted ones with the smallest ``visible`` shift."""
    return {feature.name: _plain(feature, visible) for feature in features}


def pairs_of(pairs: Iterable[PairVerdict]) -> list[dict[str, Any]]:
    """The verdicts of pairs as plain values."""
    return [msgspec.to_builtins(pair) for pair in pairs]


def _plain(feature: FeatureVerdict, visible: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    plain = msgspec.structs.asdict(feature)
    del plain["name"]  # it is the key
    cells = plain.pop("cells")
    if cells:
        plain["cells"] = [msgspec.structs.asdict(cell) for cell in cells]
    if feature.drifted and feature.name in visible:
        plain["smallest_visible"] = visible[feature.name]
    return plain
