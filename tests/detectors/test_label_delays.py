from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import DelayCounts

DELAYS = st.lists(st.integers(-(10**6), 10**12), max_size=40)


def counted(delays) -> DelayCounts:
    counts = DelayCounts()
    counts.add(np.array(delays, dtype=np.int64))
    return counts


@given(kept=DELAYS, gone=DELAYS)
@settings(max_examples=80, deadline=None)
def test_the_bytes_are_those_of_the_delays_whatever_the_order(kept, gone):
    total = counted(kept)
    total.add(np.array(gone, dtype=np.int64), sign=-1)
    total.merge(counted(gone[::-1]))
    assert total.to_bytes() == counted(sorted(kept)).to_bytes()
    assert DelayCounts.from_bytes(total.to_bytes()) == total


@given(delays=st.lists(st.integers(0, 10**12), min_size=1, max_size=60), share=st.floats(0.01, 1.0))
@settings(max_examples=200, deadline=None)
def test_a_quantile_is_off_by_at_most_its_stated_error(delays, share):
    found = counted(delays).quantile(share)
    truth = int(np.quantile(np.array(delays), share, method="inverted_cdf"))
    assert abs(found.value_ms - truth) <= found.error_ms
    assert found.error_ms <= truth / 32


def test_short_delays_are_exact():
    for delay in range(32):
        assert counted([delay]).quantile(0.5) == (delay, 0.0)


def test_labels_before_their_prediction_are_told_and_count_as_no_delay():
    found = counted([-10, -1, 5000]).metrics()
    assert (found["n"], found["early"], found["p50_ms"], found["p50_error_ms"]) == (3, 2, 0.0, 0.0)
    assert abs(found["p95_ms"] - 5000) <= found["p95_error_ms"]


def test_of_too_few_nothing_is_said():
    assert DelayCounts().quantile(0.5) is None
    assert counted([1, 2]).metrics(min_n=3)["p50_ms"] is None
    with pytest.raises(ValueError, match="share is 0"):
        counted([1]).quantile(0)


def test_delays_of_centuries_fall_into_the_last_bin():
    assert counted([2**62]).quantile(1.0).value_ms > 4e12
    assert counted([1]).copy() == counted([1])
