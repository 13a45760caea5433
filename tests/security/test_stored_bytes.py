"""Stored bytes that somebody changed, checksums and all: declared errors come out, and nothing else.

A checksum tells damage; who can write to Redis can write a right one. So here every checksum fits, and what
is left are the checks of what the bytes say.
"""

from __future__ import annotations

import hashlib
import types
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import detectors.compiled_bytes
import detectors.counts
import detectors.framing
import stream.packing
from detectors import (
    CatalogueCounts,
    Counts,
    DelayCounts,
    ErrorMonitor,
    Monitor,
    PerformanceCounts,
    PerformanceSpec,
    Reference,
    ScalarMonitor,
    ValueCounts,
)
from detectors.errors import DetectorError
from detectors.performance.spec import Outcomes
from detectors.sequential.river_detector import RiverDetector
from stream.errors import CorruptState, NewerState
from stream.evaluate import ModelState
from stream.messages import Message
from stream.outcomes.join_packing import transitions_of
from stream.outcomes.panes import OutcomePane
from stream.packing import Kind, pack
from stream.panes import Pane

RNG = np.random.default_rng(5)
SPEC = PerformanceSpec("binary", classes=("no", "yes"))
REFERENCE = Reference.build(
    {"x": RNG.normal(size=400), "c": RNG.choice(["a", "b"], size=400).tolist()}, window_rows=50
)


@pytest.fixture(autouse=True)
def any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checksum is 0, when it is written and when it is read; the compiled writer has one of its own."""
    zero = types.SimpleNamespace(crc32=lambda _: 0)
    assert zlib.crc32(b"x")
    monkeypatch.setattr(detectors.framing, "zlib", zero)
    monkeypatch.setattr(detectors.counts, "zlib", zero)
    monkeypatch.setattr(stream.packing, "zlib", zero)
    monkeypatch.setattr(detectors.compiled_bytes, "IS_INSTALLED", False)


def _performance() -> PerformanceCounts:
    counts = PerformanceCounts(SPEC)
    label, prediction = (RNG.integers(0, 2, 50).astype(float) for _ in range(2))
    counts.add(Outcomes(prediction=prediction, score=RNG.uniform(size=50), label=label))
    return counts


def _filled(made: Any, *columns: Any) -> Any:
    made.add(*columns)
    return made


def _followed(monitor: Any, values: Any) -> Any:
    monitor.update(values)
    return monitor


def _monitor() -> bytes:
    monitor = Monitor(REFERENCE)
    for _ in range(3):
        monitor.update({"x": RNG.normal(size=50), "c": ["a"] * 50})
    return monitor.to_bytes()


def _piece() -> bytes:
    body = np.zeros(1, "S12").tobytes() + bytes(60)
    head = b"DSJ1" + hashlib.sha1(body, usedforsecurity=False).hexdigest()[:8].encode()
    return head + body


def _journal(data: bytes) -> object:
    body = data[12:]
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()[:8].encode()
    return transitions_of(data[:4] + digest + body)


def _outcomes() -> bytes:
    return OutcomePane(SPEC).to_bytes()


def _state() -> bytes:
    return pack(Kind.MODEL_STATE, b"\x92\x01\x90")


SAMPLES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "counts": (REFERENCE.counts.to_bytes, Counts.from_bytes),
    "pane": (lambda: Pane(REFERENCE.counts, 1, 2).to_bytes(), Pane.from_bytes),
    "message": (lambda: Message("t", b"k", b"v", [("h", b"1"), ("n", None)]).to_bytes(), Message.from_bytes),
    "performance": (lambda: _performance().to_bytes(), lambda data: PerformanceCounts.from_bytes(data, SPEC)),
    "values": (lambda: _filled(ValueCounts(), RNG.normal(size=20)).to_bytes(), ValueCounts.from_bytes),
    "delays": (
        lambda: _filled(DelayCounts(), RNG.integers(0, 9_999, 20)).to_bytes(),
        DelayCounts.from_bytes,
    ),
    "catalogue": (
        lambda: _filled(CatalogueCounts(9), RNG.integers(0, 9, (20, 3))).to_bytes(),
        lambda data: CatalogueCounts.from_bytes(data, 9),
    ),
    "errors": (
        lambda: _followed(ErrorMonitor(), RNG.uniform(size=500) < 0.1).to_bytes(),
        ErrorMonitor.from_bytes,
    ),
    "scalar": (lambda: _followed(ScalarMonitor(), RNG.normal(size=500)).to_bytes(), ScalarMonitor.from_bytes),
    "adwin": (
        lambda: _followed(RiverDetector("adwin"), RNG.normal(size=500)).to_bytes(),
        lambda data: RiverDetector.from_bytes(data, "adwin"),
    ),
    "monitor": (_monitor, lambda data: Monitor.from_bytes(data, REFERENCE)),
    "outcomes": (_outcomes, lambda data: OutcomePane.from_bytes(data, SPEC)),
    "state": (_state, lambda data: ModelState.from_bytes(data, "m")),
    "reference": (lambda: REFERENCE.to_json().encode(), Reference.from_json),
    "journal": (_piece, _journal),
}


@cache
def sample(name: str) -> bytes:
    """The same bytes for every example."""
    return SAMPLES[name][0]()


def changed(data: bytes, draw: Any) -> bytes:
    """Bytes behind the header with some of them others; sometimes fewer or more, and a length that fits."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(out) - 1))
        out[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xC0, 0xFF)) | st.integers(0, 255))
    return bytes(out)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_only_declared_errors_come_out(name: str, data: st.DataObject) -> None:
    stored = changed(sample(name), data.draw)
    try:
        SAMPLES[name][1](stored)
    except (DetectorError, CorruptState, NewerState):
        return


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"journal"}))
def test_the_sample_itself_is_read(name: str) -> None:
    assert SAMPLES[name][1](sample(name)) is not None


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.binary(max_size=80))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_are_refused(name: str, data: bytes) -> None:
    with pytest.raises((DetectorError, CorruptState, NewerState)):
        SAMPLES[name][1](data)
