from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.significance import (
    benjamini_hochberg,
    chi_square_tail,
    critical_value,
    kolmogorov_tail,
    normal_tail,
    signed_root_binomial,
    student_tail,
    unskewed,
)


def test_tails_agree_with_scipy():
    z = np.array([-3.0, 0.0, 1.5, 8.0])
    np.testing.assert_allclose(normal_tail(z), 2 * stats.norm.sf(np.abs(z)))
    np.testing.assert_allclose(student_tail(z, 7.0), 2 * stats.t.sf(np.abs(z), 7))
    np.testing.assert_allclose(student_tail(z, np.inf), normal_tail(z))
    np.testing.assert_allclose(chi_square_tail(12.0, 4.0), stats.chi2.sf(12, 4))


def test_critical_value_is_the_inverse_tail():
    p = np.array([0.5, 1e-3, 1e-9])
    for dof in (3.0, 40.0, np.inf):
        np.testing.assert_allclose(student_tail(critical_value(p, dof), dof), p, rtol=1e-6)


def test_kolmogorov_tail_agrees_with_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=4000), rng.normal(0.05, 1, size=6000)
    result = stats.ks_2samp(a, b, method="asymp")
    assert kolmogorov_tail(result.statistic, 4000, 6000) == pytest.approx(result.pvalue, rel=0.05)


@pytest.mark.parametrize("shape", [4.0, 25.0, 400.0])
def test_unskewed_gamma_has_normal_tails(shape):
    skew = 2 / np.sqrt(shape)
    for tail in (1e-2, 1e-4, 1e-7):
        standardised = (stats.gamma.isf(tail, shape) - shape) / np.sqrt(shape)
        assert 0.8 * tail <= stats.norm.sf(unskewed(standardised, skew)) <= 2.5 * tail


def test_unskewed_never_raises_the_surprise_and_is_monotone():
    z = np.linspace(-10, 10, 401)
    for skew in (-3.0, -0.1, 0.0, 1e-12, 0.2, 5.0):
        value = unskewed(z, skew)
        assert np.all(np.abs(value) <= np.abs(z) + 1e-12)
        assert np.all(np.diff(value) >= -1e-9)


@pytest.mark.parametrize(("n", "m", "share"), [(200, 10_000, 0.001), (200, 10_000, 0.02), (50, 400, 0.3)])
def test_signed_root_keeps_its_level_for_few_hits(n, m, share):
    """The exact probability of exceeding the normal's critical value, summed over all outcomes."""
    hits, known = np.arange(n + 1), np.arange(m + 1)
    weight_known = stats.binom.pmf(known, m, share)
    inside = known[weight_known > 1e-15]
    for level in (1e-2, 1e-4):
        root = signed_root_binomial(hits[:, None], n, inside[None, :], m)
        joint = stats.binom.pmf(hits, n, share)[:, None] * weight_known[inside][None, :]
        assert joint[np.abs(root) > stats.norm.isf(level / 2)].sum() <= 1.5 * level


def test_signed_root_has_the_sign_of_the_change_and_is_zero_without_rows():
    assert signed_root_binomial(30, 100, 100, 1000) > 2
    assert signed_root_binomial(1, 100, 100, 1000) < -2
    assert signed_root_binomial(10, 100, 100, 1000) == 0
    assert signed_root_binomial(0, 0, 100, 1000) == 0
    assert signed_root_binomial(5, 100, 0, 0) == 0
    assert np.isfinite(signed_root_binomial([0, 100, 100], 100, [1000, 0, 1000], 1000)).all()


def test_signed_root_agrees_with_the_g_test():
    root = signed_root_binomial(300.5, 1000, 2000, 10_000)  # the correction takes the half away
    table = [[300, 700], [2000, 8000]]
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")[0]
    assert root == pytest.approx(np.sqrt(g), rel=1e-9)


def test_benjamini_hochberg_agrees_with_scipy():
    rng = np.random.default_rng(8)
    for _ in range(50):
        p = rng.uniform(size=12) ** 3
        drifted, level = benjamini_hochberg(p, 0.2)
        np.testing.assert_array_equal(drifted, stats.false_discovery_control(p) <= 0.2)
        np.testing.assert_array_equal(drifted, p <= level)
    assert benjamini_hochberg([], 0.2)[0].size == 0
