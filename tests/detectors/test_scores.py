from __future__ import annotations

import numpy as np
import pytest

from detectors import Reference
from detectors.scores import DEGREES, orthonormal


def test_polynomials_are_orthonormal_under_the_reference():
    p = np.random.default_rng(1).dirichlet(np.ones(20))
    u = 2 * (np.cumsum(p) - p / 2) - 1
    basis = orthonormal(u, p, 4)
    gram = np.einsum("ak,bk,k->ab", basis, basis, p)
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(basis @ p, 0, atol=1e-10)
    np.testing.assert_allclose(np.polyfit(u, basis[2], 3)[0] > 0, True)


def all_effects(reference: Reference, columns) -> np.ndarray:
    return reference.scores.effects(reference.scores.sums(reference.count(columns).cells))


def component_effects(reference: Reference, columns) -> dict[str, float]:
    return {reference.scores.name(m): abs(x) for m, x in enumerate(all_effects(reference, columns))}


@pytest.mark.parametrize(
    ("component", "change"),
    [
        ("location", lambda x: x + 0.1),
        ("location", lambda x: x - 0.1),
        ("scale", lambda x: 1.15 * x),
        ("missing", lambda x: np.where(np.arange(x.size) % 20 == 0, np.nan, x)),
        ("invalid", lambda x: np.where(np.arange(x.size) % 20 == 0, np.inf, x)),
    ],
)
def test_each_change_shows_in_its_component(component, change):
    x = np.random.default_rng(2).normal(size=50_000)
    reference = Reference.build({"x": x}, window_rows=1000)
    effects = component_effects(reference, {"x": change(x)})
    assert max(effects, key=effects.__getitem__) == component


def test_a_location_effect_is_the_shift_in_standard_deviations():
    x = np.random.default_rng(3).normal(size=50_000)
    reference = Reference.build({"x": x}, window_rows=1000)
    assert component_effects(reference, {"x": x + 0.1})["location"] == pytest.approx(0.098, abs=0.005)


def test_the_reference_is_at_effect_zero_from_itself():
    rng = np.random.default_rng(4)
    columns = {"x": rng.normal(size=3000), "n": rng.integers(0, 5, 3000), "c": rng.choice(list("abc"), 3000)}
    reference = Reference.build(columns, window_rows=100)
    np.testing.assert_allclose(all_effects(reference, columns), 0.0, atol=1e-12)


def test_columns_have_as_many_polynomials_as_their_cells_bear():
    columns = {"binary": [0, 1] * 50, "constant": [1.0] * 100, "three": [1, 2, 3, 3] * 25}
    scores = Reference.build(columns, window_rows=10).scores
    smooth = [int(np.sum((scores.owner == j) & ~scores.is_indicator)) for j in range(3)]
    assert smooth == [1, 0, 2]
    assert scores.name(0) == DEGREES[0]
