"""Whatever labels, predictions and scores hold: a reference, and estimates that are numbers or none."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Reference
from detectors.estimation import Estimator

ROWS, WINDOW = 80, 40
PALETTES = st.sampled_from(
    [
        [0, 1],
        [0.0, 1.0, math.nan],
        [0, 1, 2, 7],
        [True, False, None],
        ["yes", "no"],
        ["a", "b", "c", None],
        [0.0, 0.25, 0.5, 0.75, 1.0],
        [0.1, 0.9, math.inf, -math.inf, math.nan],
        [1e308, -1e308, 5e-324, 0.0, 1.5],
        [1e70, 1e75, -1e74, 1e-70, 2.5, 3.5],
        [3.0],
        [math.nan],
        [float(k) + 0.5 for k in range(60)],
    ]
)
SHARES = {
    "accuracy",
    "precision",
    "recall",
    "f1",
    "specificity",
    "roc_auc",
    "pr_auc",
    "f1_macro",
    "f1_weighted",
}


@st.composite
def columns(draw, rows):
    names = ["label", "feature", *draw(st.sampled_from([["p"], ["s"], ["p", "s"]]))]
    palettes = {name: draw(PALETTES) for name in names}
    picks = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        name: [values[k] for k in picks.integers(0, len(values), rows)] for name, values in palettes.items()
    }


def build(values):
    return Reference.build(
        values,
        window_rows=20,
        label="label",
        prediction="p" if "p" in values else None,
        outputs=("s",) if "s" in values else (),
    )


@settings(max_examples=150, deadline=None)
@given(values=columns(ROWS), live=columns(WINDOW))
def test_estimates_are_numbers_or_none(values, live):
    reference = build(values)
    again = Reference.from_json(reference.to_json())
    assert again.performance == reference.performance
    seen = {name: live.get(name, [None] * WINDOW) for name in reference.names}
    own = {name: column[:WINDOW] for name, column in values.items()}
    for window in (own, seen):
        counts = again.count(window)
        for name, estimate in Estimator(again).estimate(counts).items():
            assert Estimator(again).estimate(counts, only=name) == {name: estimate}
            assert math.isfinite(estimate.value), name
            assert math.isfinite(estimate.standard_error), name
            assert estimate.standard_error >= 0.0
            if name in SHARES:
                assert -1e-9 <= estimate.value <= 1 + 1e-9, name
