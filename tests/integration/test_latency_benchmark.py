"""The latency benchmark itself: every window is told of, alerts too, and after it has closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.latency import QUICK, Plan, measure, print_tables

pytestmark = pytest.mark.services
PLAN = Plan(
    models=1,
    rate=1,
    windows=1,
    workers=1,
    partitions=1,
    size_ms=1_000,
    slide_ms=1_000,
    grace_ms=0,
    out_of_orderness_ms=0,
    spread=False,
    broker=None,
)


def test_every_window_of_every_model_is_measured(kafka, capsys):
    enough = {**QUICK, "rate": 1_200, "windows": 8}  # also where the load stops for a moment
    plan = replace(PLAN, **enough, broker=kafka.bootstrap_servers)
    report = measure(plan)
    windows = report["windows"]
    assert windows["missing"] == 0
    assert windows["record"]["n"] == plan.models * plan.windows
    assert 0 < windows["record"]["p50_ms"] <= windows["record"]["p99_ms"] <= windows["record"]["max_ms"]
    assert 0 < windows["alert"]["n"] <= plan.models * plan.windows
    print_tables(report)
    assert "alert" in capsys.readouterr().out
