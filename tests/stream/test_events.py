from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stream.events import InferenceEvent, LabelEvent

EVENT: dict[str, Any] = {
    "prediction_id": "p-1",
    "model": "loan",
    "version": "v2",
    "ts": 1_760_000_000_000,
    "features": {"age": 31.5, "home": "RENT", "member": True, "income": None},
    "prediction": 1,
    "score": 0.75,
    "segments": {"channel": "web"},
    "variant": "shadow",
    "measures": {"latency_ms": 12.5},
    "status": "error",
    "error_code": "E7",
    "weight": 10.0,
    "prompt_version": "3",
    "entity_id": "e",
    "trace_id": "t",
}


def test_an_event_comes_back_from_its_bytes() -> None:
    event = msgspec.convert(EVENT, InferenceEvent)
    data = msgspec.json.encode(event)
    assert msgspec.json.decode(data) == EVENT
    assert msgspec.json.decode(data, type=InferenceEvent) == event


def test_defaults_are_not_sent() -> None:
    data = msgspec.json.encode(InferenceEvent(prediction_id="p", model="m"))
    assert msgspec.json.decode(data) == {"prediction_id": "p", "model": "m"}
    assert msgspec.json.decode(data, type=InferenceEvent).variant == "live"


def test_optional_fields_may_be_null() -> None:
    nulls = {name: None for name in EVENT if name not in ("prediction_id", "model")}
    event = msgspec.convert({"prediction_id": "p", "model": "m"} | nulls, InferenceEvent)
    assert event.features is None


def test_times_are_aware_datetimes_or_epoch_ms() -> None:
    event = msgspec.convert(EVENT | {"ts": "2026-11-21T12:00:00+01:00"}, InferenceEvent)
    assert event.ts == datetime(2026, 11, 21, 11, tzinfo=UTC)
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        msgspec.convert(EVENT | {"ts": "2026-11-21T12:00:00"}, InferenceEvent)


@pytest.mark.parametrize("missing", ["prediction_id", "model", "label"])
def test_a_label_needs_its_id_model_and_label(missing: str) -> None:
    label = {"prediction_id": "p", "model": "m", "label": "good"}
    del label[missing]
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.convert(label, LabelEvent)
