"""The benchmark of estimates: its worlds are what they say, and its rows add up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.estimation import LABEL, PREDICTION, WORLDS, Pair


def test_worlds_move_what_they_say():
    rng = np.random.default_rng(1)
    means = {name: {c: v.mean() for c, v in draw(rng, 20_000).items()} for name, draw in WORLDS.items()}
    assert means["no drift"]["g"] == pytest.approx(0.0, abs=0.03)
    assert means["unseen cause +0.7 sd"]["g"] == pytest.approx(0.7, abs=0.03)
    assert means["unseen cause, top fifth"]["g"] == pytest.approx(1.4, abs=0.03)  # 0.28 / 0.2
    assert means["seen cause +0.7 sd"]["x"] == pytest.approx(0.7, abs=0.03)
    assert means["threshold 0.65"][PREDICTION] < means["no drift"][PREDICTION] - 0.1
    assert means["concept change"][LABEL] == pytest.approx(means["no drift"][LABEL], abs=0.02)


def test_rows_hold_means_over_the_chunks():
    rng = np.random.default_rng(2)
    pair = Pair(WORLDS["no drift"](rng, 10_000), 500)
    same = pair.compare([WORLDS["no drift"](rng, 500) for _ in range(20)], "accuracy")
    other = pair.compare([WORLDS["concept change"](rng, 500) for _ in range(5)], "accuracy")
    assert same["chunks"] == 20
    assert same["ratio"] == pytest.approx(same["estimate"] / same["floor"])
    assert same["ratio"] < 1.8
    assert same["disagree"] == 0.0
    assert other["disagree"] >= 0.6
