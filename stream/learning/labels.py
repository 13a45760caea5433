"""The labels of sampled events, as the label join would take them: of several for one, the last word.

Pure. The winner is the largest (event time, correction, label), whatever the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from stream.codec.limits import Limits
from stream.codec.times import NO_TIME, event_times
from stream.events import EventTime, ModelName, PredictionId

_Rank = tuple[int, bool, str]


class _Label(msgspec.Struct, gc=False):
    prediction_id: PredictionId
    model: ModelName
    label: str | int | float | bool | None
    ts: EventTime = None
    supersedes: str | None = None


class LabelHarvest:
    """Collects the labels of wanted predictions from label records in any order.

    Parameters
    ----------
    wanted
        Prediction ids by model.
    """

    def __init__(self, wanted: Mapping[str, set[str]], *, limits: Limits) -> None:
        self._wanted = wanted
        self._limits = limits
        self._decode = msgspec.json.Decoder(_Label).decode
        self._found: dict[tuple[str, str], tuple[_Rank, Any]] = {}

    def take(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> None:
        """Take in the values of some records; what is no label of a wanted prediction is passed over."""
        labels: list[_Label] = []
        rows: list[int] = []
        for row, value in enumerate(values):
            label = self._label(value)
            if label is not None:
                labels.append(label)
                rows.append(row)
        ts_ms = event_times([label.ts for label in labels], np.array(rows, np.intp), record_ts_ms).ms
        for label, at_ms in zip(labels, ts_ms.tolist(), strict=True):
            if at_ms == NO_TIME:
                continue
            rank = (at_ms, label.supersedes is not None, repr(label.label))
            key = (label.model, label.prediction_id)
            if key not in self._found or self._found[key][0] < rank:
                self._found[key] = (rank, label.label)

    def _label(self, value: bytes | None) -> _Label | None:
        if not value or len(value) > self._limits.record_bytes:
            return None
        try:
            label = self._decode(value)
        except (ValueError, RecursionError):
            return None
        wanted = self._wanted.get(label.model)
        return label if wanted and label.label is not None and label.prediction_id in wanted else None

    def of(self, model: str) -> dict[str, Any]:
        """Return the labels of a model's predictions by prediction id."""
        return {each: label for (name, each), (_, label) in self._found.items() if name == model}
