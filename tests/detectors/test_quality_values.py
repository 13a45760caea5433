"""The streams of values of the quality benchmark are what they say, and its runs add up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality_values import (
    OURS,
    RIVER,
    SHIFTED,
    SHIFTS,
    STEADY,
    STEPS,
    shifted,
    steady,
    values_report,
)


@pytest.mark.parametrize("title", STEADY)
def test_streams_have_the_spread_and_correlation_that_they_say(title):
    stream = STEADY[title]
    values = stream.draw(np.random.default_rng(1), 200_000)
    if title != "t(3)":  # its fourth moment is infinite: no sample variance to compare with
        assert values.std() == pytest.approx(stream.sd, rel=0.08)
    ranks = values.argsort().argsort()
    lagged = np.corrcoef(ranks[1:], ranks[:-1])[0, 1]
    rho = float(title.split("rho ")[1]) if "rho" in title else 0.0
    assert abs(lagged - rho) < 0.03


def test_runs_add_up():
    rng = np.random.default_rng(2)
    alarms = steady(STEADY["normal rho .9"], {**OURS, "river ADWIN": "adwin"}, 3, rng)
    assert alarms["driftstream"] <= 2 < 20 < alarms["river ADWIN"]
    found = shifted(STEADY["normal"], 1.0, OURS, 3, rng)
    assert found["driftstream"]["runs"] == 3
    assert found["driftstream"]["found_percent"] == 100.0
    assert 1 <= found["driftstream"]["median_delay"] <= 100
    assert shifted(STEADY["normal"], 0.0, OURS, 1, rng)["driftstream"]["median_delay"] is None


def test_a_report_has_every_stream_and_a_step_for_each():
    steps = []
    detectors = {**OURS, **RIVER}
    report = values_report(detectors, 1, 1, np.random.default_rng(3), lambda: steps.append(1))
    assert len(steps) == STEPS == len(report["per_10000"]) + len(report["streams"])
    assert set(report["per_10000"]["normal"]) == set(detectors)
    assert set(report["streams"]["normal +1 sd"]) == set(detectors) - {"river KSWIN"}
    assert len(report["streams"]) == len(SHIFTED) * len(SHIFTS)
