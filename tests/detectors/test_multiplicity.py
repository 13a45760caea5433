"""The budget within a column: more for what usually moves, and never more than there is."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from detectors import Monitor, Reference
from detectors.decision import LOOKBACKS

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


def test_location_scale_and_missing_have_more_of_it():
    scores = REFERENCE.scores
    part = {scores.name(m): 1.0 / scores.multiplicity[m] for m in np.flatnonzero(scores.owner == 0)}
    assert part["location"] > 2 * part["scale"]
    assert part["scale"] == part["missing"] == 2 * part["tails"] == 2 * part["invalid"]
    categories = 1.0 / scores.multiplicity[scores.owner == 4]
    assert np.ptp(categories) == 0.0


def test_lookbacks_exceed_a_level_this_far_out_one_at_a_time():
    """Why thresholds are not simulated: given one lookback's excess, the others' are rare."""
    looks = np.array(LOOKBACKS)
    correlation = np.sqrt(np.minimum.outer(looks, looks) / np.maximum.outer(looks, looks))
    level, rng, effective = 4.8, np.random.default_rng(82), 0.0
    for i in range(len(looks)):
        given = norm.isf(rng.random(20_000) * norm.sf(level))
        rest = np.delete(np.arange(len(looks)), i)
        spread = correlation[np.ix_(rest, rest)] - np.outer(correlation[rest, i], correlation[i, rest])
        noise = rng.multivariate_normal(np.zeros(len(rest)), spread, len(given))
        others = given[:, None] * correlation[rest, i] + noise
        effective += np.mean(1.0 / (1.0 + (others > level).sum(axis=1)))
    assert 4.7 < effective < 5.0


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
