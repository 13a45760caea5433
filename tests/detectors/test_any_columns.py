"""Whatever the columns hold: a verdict of finite numbers, no warning, and the same one after a restart."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Monitor, Reference

PLAIN = st.none() | st.floats(width=64) | st.integers(-3, 3)
NUMBERS = PLAIN | st.booleans()
TEXTS = st.none() | st.sampled_from(["a", "b", "", "ä", "12"]) | st.text(max_size=3)
ANYTHING = NUMBERS | TEXTS | st.lists(st.integers(), max_size=1)


@st.composite
def references(draw):
    rows = draw(st.integers(2, 60))
    columns = {
        "number": draw(st.lists(PLAIN, min_size=rows, max_size=rows)),
        "text": draw(st.lists(TEXTS, min_size=rows, max_size=rows)),
        "constant": [draw(st.floats(allow_nan=False, allow_infinity=False))] * rows,
        "score": draw(st.lists(st.floats(0, 1), min_size=rows, max_size=rows)),
    }
    times = draw(st.none() | st.lists(st.integers(0, 10**13), min_size=rows, max_size=rows))
    return Reference.build(columns, window_rows=draw(st.integers(1, 80)), timestamps_ms=times)


@settings(max_examples=60, deadline=None)
@given(reference=references(), data=st.data())
def test_a_verdict_whatever_comes(reference, data):
    assert Reference.from_json(reference.to_json()) == reference
    monitor = Monitor(reference, min_samples=5)
    for _ in range(data.draw(st.integers(1, 4))):
        rows = data.draw(st.integers(0, 30))
        columns = {
            name: data.draw(st.lists(ANYTHING, min_size=rows, max_size=rows))
            for name in data.draw(st.sets(st.sampled_from([*reference.names, "unknown"])))
        }
        time = data.draw(st.none() | st.integers(0, 10**13))
        twin = Monitor.from_bytes(monitor.to_bytes(), reference, min_samples=5)
        verdict = monitor.update(columns, timestamp_ms=time)
        assert twin.update(columns, timestamp_ms=time) == verdict
        json.dumps(msgspec.to_builtins(verdict), allow_nan=False)
        if verdict.drifted:
            assert verdict.drifted_names
            assert verdict.severity != "none"
    assert all(shift >= 0 for shift in monitor.smallest_shifts(rows=10, slices=3).values())
