"""The evaluation benchmark at its smallest: every way is timed, and judges what it says it judges."""

from __future__ import annotations

import numpy as np

from benchmarks.evaluate import compare, measure
from benchmarks.evaluate_ways import COUNTS, RAW, SCIPY, STREAM, setting, ways
from detectors import Verdict
from stream.messages import Message


def test_every_way_is_timed_and_compared() -> None:
    drawn = setting(np.random.default_rng(3), 20, rows=200, reference_rows=2000, windows=2)
    results = {"20": measure(drawn, runs=3, windows=4)}
    assert list(results["20"]) == [COUNTS, STREAM, RAW, SCIPY]
    for figures in results["20"].values():
        assert figures["windows_per_core_second"] * figures["cpu_ms_per_window"] > 900
        assert figures["cpu_us_per_feature"] > 0
    assert compare(results)[f"{SCIPY} / {COUNTS}"]["20"] > 1


def test_all_ways_see_the_same_window() -> None:
    drawn = setting(np.random.default_rng(4), 20, rows=400, reference_rows=4000, windows=1)
    judge = ways(drawn, scipy=False)
    from_counts, from_rows = judge[COUNTS](0), judge[RAW](0)
    assert isinstance(from_counts, Verdict)
    assert from_rows == from_counts
    record, _ = judge[STREAM](0)  # type: ignore[misc]
    told = Message.from_bytes(record)
    assert f'"psi":{from_counts.features[0].psi}'.encode() in (told.value or b"")
