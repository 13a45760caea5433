"""A drift that has ended is over: what it left in the longer lookbacks must not raise alarms anew."""

import numpy as np
import pytest

from detectors import Monitor, Reference

ROWS = 250
COLUMNS = [f"x{i}" for i in range(8)]


def rows(rng: np.random.Generator, shift: float = 0.0) -> dict[str, np.ndarray]:
    columns = {name: rng.normal(size=ROWS) for name in COLUMNS}
    return {**columns, "x0": columns["x0"] + shift}


@pytest.mark.parametrize("shift", [0.3, 0.5, 1.0, 3.0])
def test_alarms_end_with_the_drift(shift: float) -> None:
    rng = np.random.default_rng(int(shift * 10))
    stale, last = [], []
    for _ in range(8):
        reference = Reference.build({name: rng.normal(size=60 * ROWS) for name in COLUMNS}, window_rows=ROWS)
        monitor = Monitor(reference)
        for _ in range(15):
            found = monitor.update(rows(rng, shift)).drifted
        assert found
        after = [monitor.update(rows(rng)).drifted for _ in range(20)]
        stale.append(sum(after))
        last.append(max((i + 1 for i, alarm in enumerate(after) if alarm), default=0))
    assert np.mean(stale) <= 1.5
    assert np.median(last) <= 2, f"last stale slice of each run: {last}"
