"""What the evaluation benchmark times: a window of a model, in the ways it can come and be judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks.quality_cost import column_tests, prepared, scipy_chi_square
from benchmarks.quality_world import Columns, World, count, named
from detectors import Counts, Monitor, Reference
from stream.evaluate import ModelEvaluation
from stream.panes import Pane
from stream.series import INFERENCE, ClosedWindow, ModelPlan, SeriesKey
from stream.windows import WindowSpec

COUNTS, STREAM, RAW, SCIPY = "from counts", "from packed panes", "from raw rows", "scipy, from raw rows"
PARTITIONS = 8
SLIDE_MS = 60_000
KEY = SeriesKey(INFERENCE, "v1")


@dataclass(frozen=True)
class Setting:
    """A reference and windows of as many rows as it expects; ``raw`` has categories as text."""

    past: Columns
    reference: Reference
    raw: Sequence[Mapping[str, NDArray[Any]]]
    counts: Sequence[Counts]
    panes: Sequence[Sequence[bytes]]


def setting(
    rng: np.random.Generator, features: int, *, rows: int, reference_rows: int, windows: int
) -> Setting:
    """Draw a reference and windows without drift, each of them in as many packed panes as partitions."""
    world = World(features // 20)
    past = world.draw(rng, reference_rows)
    reference = world.reference(past, rows, pairs=None)
    drawn = [world.draw(rng, rows) for _ in range(windows)]
    return Setting(
        past,
        reference,
        [named(columns) for columns in drawn],
        [count(reference, columns) for columns in drawn],
        [_panes(reference, columns) for columns in drawn],
    )


def _panes(reference: Reference, columns: Columns) -> list[bytes]:
    parts = [
        count(reference, {name: values[k::PARTITIONS] for name, values in columns.items()})
        for k in range(PARTITIONS)
    ]
    return [Pane(part, 0, SLIDE_MS - 1).to_bytes() for part in parts]


def ways(of: Setting, *, scipy: bool) -> dict[str, Callable[[int], object]]:
    """Return what judges window i, which comes after window i - 1; every way has a state of its own."""
    from_counts, from_rows = Monitor(of.reference), Monitor(of.reference)
    steps: dict[str, Callable[[int], object]] = {
        COUNTS: lambda i: from_counts.update_counts(of.counts[i % len(of.counts)], timestamp_ms=i * SLIDE_MS),
        STREAM: partial(_stream, _evaluation(of.reference), of),
        RAW: lambda i: from_rows.update(of.raw[i % len(of.raw)], timestamp_ms=i * SLIDE_MS),
    }
    if scipy:
        known = {name: prepared(values) for name, values in named(of.past).items()}
        ks = partial(ks_2samp, method="asymp")
        steps[SCIPY] = lambda i: column_tests(known, of.raw[i % len(of.raw)], ks, scipy_chi_square)
    return steps


def _evaluation(reference: Reference) -> ModelEvaluation:
    plan = ModelPlan(
        model="model",
        windows=WindowSpec(size_ms=SLIDE_MS, slide_ms=SLIDE_MS),
        references={KEY: reference},
        min_samples=50,
        min_effect=0.05,
        arl=10_000,
        restate_ms=10 * SLIDE_MS,
    )
    return ModelEvaluation(plan)


def _stream(evaluation: ModelEvaluation, of: Setting, i: int) -> list[bytes]:
    """Do what a worker does between reading panes and writing its commit."""
    counts = Counts.empty(of.reference.binning)
    for packed in of.panes[i % len(of.panes)]:
        counts.merge(Pane.from_bytes(packed).counts)
    window = ClosedWindow(end_ms=(i + 1) * SLIDE_MS, newest=counts, whole=counts)
    record, _ = evaluation.evaluate(KEY, window)
    return [record.to_message("drift.metrics").to_bytes(), evaluation.to_bytes()]
