"""Blocks that the extension holds are counted as numpy counts what the Python decoder gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detectors import CompactCounts, Reference
from stream.codec import JsonInferenceDecoder
from stream.counting import BatchCounter
from stream.keys import PaneKey
from stream.panes import Pane, PartitionIntake
from stream.windows import WindowSpec

pytest.importorskip("driftstream_native", reason="the compiled package is not installed")

PARTITIONS, MODELS, START_MS = 3, 8, 1_760_000_040_000
NEWEST_MS = 2**60


@pytest.fixture(scope="module")
def references() -> dict[tuple[str, str], Reference]:
    """Of models with the same columns, some of them with other bins."""
    random = np.random.default_rng(1)
    found = {}
    for model in range(MODELS):
        x, y = random.normal(model // 2, 1, 2_000), random.gamma(2, 1, 2_000)
        columns = {"x": x, "y": x + y, "c": random.choice(["a", "b", "c"], 2_000)}
        found[f"m{model}", "1"] = Reference.build(columns, window_rows=100, pairs=True)
    return found


def values(rows: int, seed: int, odd: float) -> list[bytes]:
    """Events of the models in turns; ``odd`` of them only the Python decoder reads."""
    random = np.random.default_rng(seed)
    found = []
    for row in range(rows):
        features = {"x": random.normal(), "y": random.normal(), "c": str(random.choice(["a", "b", "z"]))}
        if random.random() < 0.2:
            del features[str(random.choice(list(features)))]
        ts_ms = START_MS + int(random.integers(0, 120_000))
        event = {"prediction_id": str(row), "model": f"m{row % MODELS}", "ts": ts_ms, "features": features}
        text = json.dumps(event)
        twice = f', "model": "m{row % MODELS}"}}'
        found.append((text[:-1] + twice if random.random() < odd else text).encode())
    return found


def counted(
    references: dict[tuple[str, str], Reference], engine: str, batches: list[list[bytes]]
) -> list[dict[PaneKey, bytes]]:
    """Panes of the partitions, packed."""
    decoder = JsonInferenceDecoder(references, engine=engine)
    windows = WindowSpec(size_ms=60_000, slide_ms=60_000)
    counter = BatchCounter(references, {model: windows for model, _ in references}, restate_ms=0)
    intakes = [PartitionIntake() for _ in range(PARTITIONS)]
    for batch in batches:
        decoded = decoder.decode(batch, [-1] * len(batch))
        at = np.arange(len(batch)) * 7 % 11 % PARTITIONS
        counter.count(
            decoded, at, [None] * PARTITIONS, newest_ms=NEWEST_MS, panes=[each.panes for each in intakes]
        )
    return [{key: pane.to_bytes() for key, pane in each.panes.items()} for each in intakes]


@pytest.mark.parametrize(
    "odd", [0.0, 0.0005, 0.1], ids=["all compiled", "some of few models left to Python", "some of all"]
)
def test_panes_are_those_of_the_python_decoder(references, odd):
    batches = [values(rows, rows, odd) for rows in (1, 40, 3_000, 16_000)]
    found = counted(references, "native", batches)
    assert found == counted(references, "python", batches)
    assert max(Pane.from_bytes(data).counts.n for each in found for data in each.values()) > 255


def test_counts_meet_those_of_a_commit(references):
    reference = references["m0", "1"]
    columns = {"x": np.linspace(-2, 2, 300), "y": np.ones(300), "c": np.zeros(300, np.int32)}
    group = np.zeros(300, np.intp)
    held = reference.no_counts()
    assert isinstance(held, CompactCounts)
    reference.count_into([held], columns, group)
    (stored,) = reference.tally(columns)
    assert held == stored
    held.merge(stored)
    stored.merge(stored)
    assert (held.n, held.packed()) == (600, stored.to_bytes())
    assert held.framed(b"start", b"head") == stored.framed(b"start", b"head")
