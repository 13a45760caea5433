"""The budget within a column: more for what usually moves, and never more than there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from detectors import Monitor, Reference
from detectors.lookbacks import (
    LOOKBACKS,
    OTHERS_COUNT,
    dependent_multiplicity,
    independent_multiplicity,
)

RNG = np.random.default_rng(81)
REFERENCE = Reference.build(
    {
        "smooth": RNG.normal(size=5000),
        "atoms": np.where(RNG.random(5000) < 0.5, 0.0, RNG.exponential(size=5000)),
        "two": RNG.integers(0, 2, 5000),
        "constant": np.ones(5000),
        "kind": RNG.choice(list("abc"), 5000),
    },
    window_rows=100,
)


def test_the_parts_of_every_column_add_up_to_its_budget():
    scores = REFERENCE.scores
    assert np.allclose(np.bincount(scores.owner, 1.0 / scores.multiplicity), 1.0)
    assert (scores.multiplicity >= 1.0).all()


def parts_of(column: int) -> dict[str, float]:
    scores = REFERENCE.scores
    return {scores.name(m): 1.0 / scores.multiplicity[m] for m in np.flatnonzero(scores.owner == column)}


def test_location_scale_and_missing_have_more_of_it():
    part = parts_of(0)
    assert part["location"] > 2 * part["scale"]
    assert part["scale"] == part["missing"] == 2 * part["tails"] == 2 * part["invalid"]


def test_a_new_category_is_found_as_easily_whatever_the_number_of_the_known_ones():
    part = parts_of(4)
    assert part["a"] == part["b"] == part["c"]
    assert part["unseen"] == part["missing"] == 2 * part["invalid"]
    many = Reference.build({"kind": RNG.integers(0, 200, 20_000).astype(str)}, window_rows=500).scores
    unseen = 1.0 / many.multiplicity[[many.name(m) == "unseen" for m in range(many.owner.size)]]
    np.testing.assert_allclose(unseen, part["unseen"])


@pytest.mark.parametrize("lookbacks", [(1,), (1, 2, 4), LOOKBACKS, (*LOOKBACKS, 24)])
def test_lookbacks_share_the_budget(lookbacks):
    assert np.sum(1.0 / dependent_multiplicity(lookbacks)) == pytest.approx(1.0)
    fewer = independent_multiplicity(lookbacks) / dependent_multiplicity(lookbacks)
    assert fewer[0] == 1.0
    assert np.all((fewer[1:] < 1.0) == (len(lookbacks) >= len(LOOKBACKS)))


def test_lookbacks_rarely_begin_to_exceed_a_level_one_at_a_time():
    """How often any lookback begins to exceed a level; what begins together counts once."""
    level, rng, draws, longest = 5.5, np.random.default_rng(82), 20_000, max(LOOKBACKS)
    count = dict.fromkeys(LOOKBACKS, 0.0)
    for look in LOOKBACKS:
        noise = rng.normal(size=(draws, longest + 1))
        given = norm.isf(rng.random(draws) * norm.sf(level))
        newest = noise[:, -look:]
        newest += ((given - newest.sum(axis=1) / np.sqrt(look)) / np.sqrt(look))[:, None]
        sums = np.concatenate([np.zeros((draws, 1)), np.cumsum(noise, axis=1)], axis=1)
        now = [(sums[:, -1] - sums[:, -1 - k]) / np.sqrt(k) > level for k in LOOKBACKS]
        before = [(sums[:, -2] - sums[:, -2 - k]) / np.sqrt(k) > level for k in LOOKBACKS]
        count[look] = float(np.mean(~np.any(before, axis=0) / np.sum(now, axis=0)))
    total = sum(count.values())
    assert total == pytest.approx(7.0, abs=0.15)
    assert total <= 1.0 + OTHERS_COUNT + 0.15


def test_a_column_of_noise_keeps_its_budget():
    rng = np.random.default_rng(83)
    monitor = Monitor(REFERENCE, arl=100, min_effect=0.0)
    alarms = 0
    for _ in range(400):
        columns = {
            "smooth": rng.normal(size=100),
            "atoms": np.where(rng.random(100) < 0.5, 0.0, rng.exponential(size=100)),
            "two": rng.integers(0, 2, 100),
            "constant": np.ones(100),
            "kind": rng.choice(list("abc"), 100),
        }
        alarms += monitor.update(columns).drifted
    assert alarms <= 10
