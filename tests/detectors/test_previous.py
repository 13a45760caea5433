from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from detectors import Counts, MismatchError, Reference
from detectors.previous import HOUR_MS, PreviousPeriods

SLIDE_MS = 10 * 60_000
DAY_MS = 24 * HOUR_MS
ROWS = 300


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(3)
    return Reference.build(rows(rng, 30_000), window_rows=ROWS)


def rows(rng: np.random.Generator, n: int, shift: float = 0.0) -> dict[str, object]:
    return {
        "x": rng.normal(size=n) + shift,
        "k": rng.integers(0, 3, n).astype(float),
        "plan": rng.choice(["a", "b", "c"], n),
    }


def slices(reference: Reference, seed: int, days: int, shift_from_day: int) -> Iterator[tuple[int, Counts]]:
    """A daily cycle, and a shift from the noon of a day on."""
    rng = np.random.default_rng(seed)
    for start_ms in range(0, days * DAY_MS, SLIDE_MS):
        hour = start_ms % DAY_MS / HOUR_MS
        later = start_ms >= shift_from_day * DAY_MS + 12 * HOUR_MS
        yield (
            start_ms,
            reference.count(rows(rng, ROWS, np.sin(hour * np.pi / 12) + (0.5 if later else 0.0))),
        )


def periods(reference: Reference, *names: str, **options: object) -> PreviousPeriods:
    return PreviousPeriods(reference, names or ("yesterday",), slide_ms=SLIDE_MS, **options)


def test_a_cycle_is_no_news_and_a_shift_is_for_a_day(reference: Reference) -> None:
    compared = periods(reference)
    drifted = []
    for start_ms, counts in slices(reference, 1, 4, 2):
        verdicts = compared.update_counts(counts, timestamp_ms=start_ms)
        assert list(verdicts) == ([] if start_ms < DAY_MS else ["yesterday"])
        if any(verdict.drifted for verdict in verdicts.values()):
            drifted.append(start_ms)
    noon = 2 * DAY_MS + 12 * HOUR_MS
    assert drifted[0] == noon
    assert drifted[-1] < noon + DAY_MS
    assert len(drifted) > 0.95 * DAY_MS / SLIDE_MS


def test_last_week_needs_a_week(reference: Reference) -> None:
    compared = periods(reference, "last_week")
    first = next(
        start_ms
        for start_ms, counts in slices(reference, 2, 9, 9)
        if compared.update_counts(counts, timestamp_ms=start_ms)
    )
    assert first == 7 * DAY_MS


def test_it_goes_on_from_its_bytes_at_any_slice(reference: Reference) -> None:
    straight = periods(reference, "yesterday", min_samples=400)
    stored: dict[int, bytes] = {}
    state: bytes | None = None
    for start_ms, counts in slices(reference, 4, 3, 1):
        options = {"slide_ms": SLIDE_MS, "min_samples": 400, "hours": stored}
        restored = PreviousPeriods(reference, ("yesterday",), **options)
        if state is not None:
            restored = PreviousPeriods.from_bytes(state, reference, ("yesterday",), **options)
        assert restored.update_counts(counts, timestamp_ms=start_ms) == straight.update_counts(
            counts, timestamp_ms=start_ms
        )
        for hour, packed in restored.changed_hours().items():
            stored.pop(hour, None) if packed is None else stored.update({hour: packed})
        state = restored.to_bytes()
    assert len(stored) <= 26


def test_an_hour_in_which_columns_stood_still(reference: Reference) -> None:
    compared = periods(reference)
    rng = np.random.default_rng(5)
    still = {"x": np.zeros(ROWS), "k": np.full(ROWS, np.nan), "plan": ["a"] * ROWS}
    for start_ms in range(0, HOUR_MS, SLIDE_MS):
        compared.update_counts(reference.count(still), timestamp_ms=start_ms)
    verdict = compared.update_counts(reference.count(rows(rng, ROWS)), timestamp_ms=DAY_MS)["yesterday"]
    assert verdict.drifted_names == ("k", "plan")


def test_wrong_input_is_told(reference: Reference) -> None:
    with pytest.raises(ValueError, match="yesterday, last_week, not tomorrow"):
        periods(reference, "tomorrow")
    other = Reference.build({"x": np.arange(100.0)}, window_rows=10)
    with pytest.raises(MismatchError, match="do not fit bins of shape"):
        reference.rebased(other.counts, windows=1)
    with pytest.raises(MismatchError, match="start anew"):
        PreviousPeriods.from_bytes(periods(reference).to_bytes(), other, ("yesterday",), slide_ms=SLIDE_MS)
