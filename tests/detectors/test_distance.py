"""Every distance against scipy: on histograms exactly, on raw values within the stated binning error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors import Monitor, Reference
from detectors.distance import (
    Distances,
    chi_square,
    g_statistic,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    shares,
    total_variation,
    wasserstein,
)

RNG = np.random.default_rng(21)
A = RNG.integers(1, 200, (6, 9))
B = RNG.integers(1, 200, (6, 9))
P, Q = A / A.sum(axis=1, keepdims=True), B / B.sum(axis=1, keepdims=True)
CENTERS = np.sort(RNG.normal(size=(6, 9)), axis=1)


def rows(function):
    return np.array([function(j) for j in range(len(A))])


@pytest.mark.parametrize(
    ("ours", "oracle"),
    [
        (psi(A, B), lambda j: stats.entropy(P[j], Q[j]) + stats.entropy(Q[j], P[j])),
        (jensen_shannon(A, B), lambda j: jensenshannon(P[j], Q[j], base=2)),
        (hellinger(A, B), lambda j: np.sqrt(1 - np.sum(np.sqrt(P[j] * Q[j])))),
        (total_variation(A, B), lambda j: np.maximum(P[j] - Q[j], 0).sum()),
        (chi_square(A, B), lambda j: stats.chi2_contingency([A[j], B[j]], correction=False)[0]),
        (
            g_statistic(A, B),
            lambda j: stats.chi2_contingency([A[j], B[j]], correction=False, lambda_="log-likelihood")[0],
        ),
        (
            kolmogorov_smirnov(A, B),
            lambda j: stats.ks_2samp(
                np.repeat(np.arange(9), A[j]), np.repeat(np.arange(9), B[j]), method="asymp"
            )[0],
        ),
        (
            wasserstein(A, B, CENTERS),
            lambda j: stats.wasserstein_distance(CENTERS[j], CENTERS[j], P[j], Q[j]),
        ),
    ],
    ids=["psi", "js", "hellinger", "tv", "chi2", "g", "ks", "wasserstein"],
)
def test_distance_agrees_with_scipy_on_histograms(ours, oracle):
    np.testing.assert_allclose(ours, rows(oracle), rtol=1e-9, atol=1e-9)


OVER_ALL = {
    "psi": psi,
    "js": jensen_shannon,
    "hellinger": hellinger,
    "tv": total_variation,
    "chi2": chi_square,
}
ALL = [*OVER_ALL.values(), g_statistic, kolmogorov_smirnov]


@pytest.mark.parametrize("distance", ALL)
def test_equal_shares_are_at_distance_zero_and_no_rows_give_nan(distance):
    np.testing.assert_allclose(distance(A, 3 * A), 0.0, atol=1e-7)
    assert np.isnan(distance(A, np.zeros_like(A))).all()
    assert np.isnan(distance(np.zeros_like(A), A)).all()
    with pytest.raises(ValueError, match="shape"):
        distance(A, A[:, :3])


@pytest.mark.parametrize("distance", ALL)
def test_cells_empty_on_both_sides_change_nothing(distance):
    def padded(counts):
        return np.concatenate([counts, np.zeros((len(counts), 4))], axis=1)

    np.testing.assert_allclose(distance(padded(A), padded(B)), distance(A, B))


def test_psi_counts_half_a_row_in_a_cell_empty_on_one_side():
    p, q = np.array([0.5, 0.5]), np.array([0.5 / 100, 1.0])
    assert psi([[50, 50]], [[0, 100]])[0] == pytest.approx(np.sum((q - p) * np.log(q / p)))
    assert np.isfinite(psi([[100, 0]], [[0, 100]])).all()


def test_bounded_distances_reach_their_bounds():
    for distance in (jensen_shannon, hellinger, total_variation, kolmogorov_smirnov):
        assert distance([[7, 0]], [[0, 3]])[0] == pytest.approx(1.0)


def test_shares_of_no_rows_are_nan():
    assert np.isnan(shares([[0, 0], [1, 1]])).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("family", ["normal", "lognormal", "uniform", "zeros"])
def test_binned_distances_are_close_to_those_of_raw_values(family, shift):
    rng = np.random.default_rng(5)
    draw = {
        "normal": lambda n: rng.normal(size=n),
        "lognormal": lambda n: rng.lognormal(size=n),
        "uniform": lambda n: rng.uniform(size=n),
        "zeros": lambda n: np.where(rng.uniform(size=n) < 0.6, 0.0, rng.exponential(size=n)),
    }[family]
    before, after = draw(20_000), draw(5_000) + shift
    reference = Reference.build({"x": before}, window_rows=1000)
    feature = Monitor(reference).update({"x": after}).features[0]
    # KS over quantile bins loses at most the largest share of a bin that is not a single value.
    raw_ks = stats.ks_2samp(before, after, method="asymp").statistic
    assert raw_ks - 1 / 32 - 0.002 <= feature.ks <= raw_ks + 1e-9
    # Wasserstein moves each row to its center; beyond the reference's range it counts no further.
    inside = np.clip(after, before.min(), before.max())
    raw_w = stats.wasserstein_distance(before, inside) / before.std()
    assert feature.wasserstein == pytest.approx(raw_w, abs=0.06 + 0.05 * raw_w)
    # The rest are distances of histograms: equal to scipy's over the same bins.
    column = reference.binning.columns[0]
    bins = [-np.inf, *column.edges, np.inf]
    p, q = np.histogram(before, bins)[0] / 20_000, np.histogram(after, bins)[0] / 5_000
    assert feature.js == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert feature.tv == pytest.approx(np.abs(p - q).sum() / 2)


@pytest.mark.parametrize("columns", [1, 7, 300])
def test_all_distances_at_once_are_the_single_ones_to_the_bit(columns):
    rng = np.random.default_rng(columns)
    reference, window = (rng.multinomial(n, rng.dirichlet(np.full(40, 0.2)), columns) for n in (5000, 400))
    window[0] = [*[0] * 37, 400, 0, 0]  # no row with a value
    ordered = rng.random(columns) < 0.7
    ordered[0] = True
    centers = np.sort(rng.normal(size=(ordered.sum(), 37)), axis=1)
    found, share = Distances(reference, ordered, centers).of(window, 400)
    values = reference[ordered, :37], window[ordered, :37]
    by_name = dict(zip(Distances.NAMES, found, strict=True))
    for name, distance in OVER_ALL.items():
        np.testing.assert_array_equal(by_name[name], distance(reference, window))
    np.testing.assert_array_equal(by_name["ks"][ordered], kolmogorov_smirnov(*values))
    np.testing.assert_array_equal(by_name["wasserstein"][ordered], wasserstein(*values, centers))
    assert np.isnan(found[5:, ~ordered]).all()
    np.testing.assert_array_equal(share, shares(window))
    assert np.isnan(Distances(reference, ordered, centers).of(np.zeros_like(window), 0)[0]).all()
