from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from detectors.significance import (
    benjamini_hochberg,
    chi_square_tail,
    critical_value,
    interval_critical,
    interval_tail,
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


@pytest.mark.parametrize("dof", [np.inf, 6.0])
def test_interval_tail_is_the_chance_at_the_edge_of_what_is_tolerated(dof):
    """Of an estimate with error 1 whose true value is 2: further out than 4.5, on either side."""
    edge, observed = 2.0, 4.5
    exact = stats.t.sf(observed - edge, dof) + stats.t.cdf(-observed - edge, dof)
    np.testing.assert_allclose(interval_tail(observed - edge, observed + edge, dof), exact)
    np.testing.assert_allclose(interval_tail(3.0, 3.0, dof), student_tail(3.0, dof))


def test_interval_critical_is_its_inverse():
    p, width = np.array([1e-2, 1e-6, 1e-6, 1e-9]), np.array([0.5, 0.0, 0.1, 20.0])
    for dof in (4.0, np.inf):
        near = interval_critical(p, width, np.full(4, dof))
        np.testing.assert_allclose(interval_tail(near, near + width, dof), p, rtol=1e-2)


@pytest.mark.parametrize(
    ("k", "n", "r", "m", "apart"), [(9, 1000, 0, 20_000, 5e-4), (60, 500, 800, 9000, 0.01)]
)
def test_signed_root_against_a_tolerated_difference(k, n, r, m, apart):
    """Twice the log-likelihood lost by the best shares that lie the tolerated difference apart."""
    grid = np.linspace(apart, min(1.0, 10 * k / n), 400_001)
    best = np.max(_log(k - 0.5, n, grid) + _log(r, m, grid - apart))
    free = _log(k - 0.5, n, (k - 0.5) / n) + _log(r, m, r / m)
    expected = np.sqrt(2 * (free - best))
    assert signed_root_binomial(k, n, r, m, apart=apart) == pytest.approx(expected, rel=1e-5)
    assert signed_root_binomial(n - k, n, m - r, m, apart=-apart) == pytest.approx(-expected, rel=1e-5)


def _log(hits, rows, share):
    return special.xlogy(hits, share) + special.xlogy(rows - hits, 1 - share)


@pytest.mark.parametrize(
    ("n", "m", "share", "apart"), [(1000, 20_000, 0.0, 5e-4), (200, 10_000, 0.01, 0.005)]
)
def test_signed_root_keeps_its_level_where_a_difference_is_tolerated(n, m, share, apart):
    hits, known = np.arange(n + 1), np.arange(m + 1)
    weight_known = stats.binom.pmf(known, m, share)
    inside = known[weight_known > 1e-15]
    joint = stats.binom.pmf(hits, n, share + apart)[:, None] * weight_known[inside][None, :]
    root = signed_root_binomial(hits[:, None], n, inside[None, :], m, apart=apart)
    for level in (1e-2, 1e-4, 1e-6):
        assert joint[root > stats.norm.isf(level)].sum() <= 1.5 * level


def test_nothing_speaks_between_no_difference_and_the_tolerated_one():
    assert signed_root_binomial(12, 1000, 100, 10_000, apart=0.005) == 0
    assert signed_root_binomial(8, 1000, 100, 10_000, apart=-0.005) == 0
