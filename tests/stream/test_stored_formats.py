"""Bytes that earlier builds stored are read as they were meant; those of a later format are refused whole.

``golden_stored_bytes.json`` is never written again: a change that breaks this test breaks a rolling upgrade.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from detectors import Counts, NewerBytes, PerformanceSpec, Reference
from detectors.framing import frame, unframe
from stream.errors import CorruptState, NewerState
from stream.evaluate import ModelEvaluation, ModelState
from stream.messages import Message
from stream.outcomes.join_packing import transitions_of
from stream.outcomes.panes import OutcomePane
from stream.packing import AHEAD, FORMAT, Kind, pack, unpack
from stream.panes import Pane
from stream.series import ModelPlan, SeriesKey
from stream.windows import WindowSpec

STORED = {
    name: base64.b64decode(text)
    for name, text in json.loads(Path(__file__).with_name("golden_stored_bytes.json").read_text()).items()
}
REFERENCE = Reference.from_json(STORED["reference"])
SPEC = PerformanceSpec("binary", classes=("no", "yes"))
CELLS = Counts([[3, 1, 0], [0, 2, 2]])
KEY = SeriesKey("inference", "v1")
PLAN = ModelPlan(
    model="m",
    windows=WindowSpec(size_ms=10_000, slide_ms=10_000, grace_ms=0),
    references={KEY: REFERENCE},
    min_samples=10,
    min_effect=0.1,
    arl=1e6,
    restate_ms=60_000,
)
READERS: dict[str, Callable[[bytes], object]] = {
    "pane": Pane.from_bytes,
    "message": Message.from_bytes,
    "outcomes": lambda data: OutcomePane.from_bytes(data, SPEC),
    "state": lambda data: ModelEvaluation.from_bytes(data, PLAN),
}


def test_counts_of_both_formats() -> None:
    assert Counts.from_bytes(STORED["counts of cells"]) == CELLS
    assert Counts.from_bytes(STORED["counts with moments"]) == Counts(CELLS.cells, np.arange(4))


def test_pane_and_message() -> None:
    assert Pane.from_bytes(STORED["pane"]) == Pane(CELLS, 1_000, 2_000)
    headers: list[tuple[str, bytes | None]] = [("ce_id", b"1"), ("none", None)]
    assert Message.from_bytes(STORED["message"]) == Message("drift.alerts", b"m", b"{}", headers)


def test_outcomes_and_a_piece_of_a_journal() -> None:
    held = OutcomePane.from_bytes(STORED["outcomes"], SPEC).strata[0]
    assert (held.predictions, held.labelled, held.performance.metrics()["accuracy"]) == (3, 2, 0.5)
    (row,) = transitions_of(STORED["journal"])
    assert (row["ts_ms"], row["stratum"], row["new_label"], row["new_ts_ms"]) == (1_000_500, 3, 1, 1_002_000)


def test_state_of_a_model() -> None:
    evaluation = ModelEvaluation.from_bytes(STORED["state"], PLAN)
    assert (evaluation.sequence, evaluation.last_end_ms(KEY)) == (7, 10_000)
    assert evaluation.to_bytes() == STORED["state"]


def test_a_state_from_before_periods_and_labels() -> None:
    """Fields were appended to what a series keeps: those that are not there are empty."""
    sequence, (series,) = msgspec.msgpack.decode(unpack(Kind.MODEL_STATE, STORED["state"]))
    shorter = pack(Kind.MODEL_STATE, msgspec.msgpack.encode([sequence, [series[:7]]]))
    assert ModelEvaluation.from_bytes(shorter, PLAN).last_end_ms(KEY) == 10_000


def test_a_state_with_fields_that_came_later() -> None:
    """Appending a field is no new format: who does not know it reads what it knows."""
    sequence, (series,) = msgspec.msgpack.decode(unpack(Kind.MODEL_STATE, STORED["state"]))
    longer = pack(Kind.MODEL_STATE, msgspec.msgpack.encode([sequence, [[*series, "later"]]]))
    assert ModelState.from_bytes(longer, "m").series[0].last_end_ms == 10_000


def versioned(data: bytes, version: int) -> bytes:
    """The same bytes, said to be of another format."""
    return data[:4] + bytes([version]) + data[5:]


@pytest.mark.parametrize("name", READERS)
def test_the_next_format_is_refused_by_name(name: str) -> None:
    with pytest.raises(NewerState, match=f"format {FORMAT + 1}, this release reads up to {FORMAT}: a newer"):
        READERS[name](versioned(STORED[name], FORMAT + 1))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("version", [0, FORMAT + AHEAD + 1, 255])
def test_a_format_that_nobody_writes_is_damage(name: str, version: int) -> None:
    with pytest.raises(CorruptState, match="format"):
        READERS[name](versioned(STORED[name], version))


def test_damaged_bytes_of_the_next_format_are_damage() -> None:
    with pytest.raises(CorruptState, match="damaged"):
        Pane.from_bytes(versioned(STORED["pane"], FORMAT + 1)[:-1] + b"\x00")


def test_the_next_format_within_a_pane_and_a_state_is_refused_too() -> None:
    cells = unframe(b"DSCT", 1, STORED["counts of cells"])
    with pytest.raises(NewerBytes, match="version 3, this release reads versions up to 2"):
        Counts.from_bytes(frame(b"DSCT", 3, cells))
    inner = unpack(Kind.PANE, STORED["pane"])[:16] + frame(b"DSCT", 3, cells)
    with pytest.raises(NewerState, match="DSCT: version 3"):
        Pane.from_bytes(pack(Kind.PANE, inner))
    sequence, (series,) = msgspec.msgpack.decode(unpack(Kind.MODEL_STATE, STORED["state"]))
    monitor = frame(b"DSMN", 2, unframe(b"DSMN", 1, series[3]))
    newer = [*series[:3], monitor, *series[4:]]
    with pytest.raises(NewerState, match="state of model m: DSMN: version 2"):
        ModelEvaluation.from_bytes(pack(Kind.MODEL_STATE, msgspec.msgpack.encode([sequence, [newer]])), PLAN)


def test_the_next_layout_of_a_journal_is_refused() -> None:
    with pytest.raises(NewerState, match="layout DSJ2"):
        transitions_of(b"DSJ2" + STORED["journal"][4:])
    body = STORED["journal"][12:] + b"x"
    with pytest.raises(CorruptState, match="damaged"):
        transitions_of(b"DSJ2" + STORED["journal"][4:12] + body)
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()[:8].encode()
    with pytest.raises(CorruptState, match="not a number of rows"):
        transitions_of(b"DSJ1" + digest + body)
