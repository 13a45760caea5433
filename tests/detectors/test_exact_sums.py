from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.performance.exact import as_float, as_fraction, exact_group_sums, exact_sum, sum_of_products
from detectors.performance.logarithm import natural_log

FINITE = st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300)
MODERATE = st.floats(min_value=-1e70, max_value=1e70).filter(lambda x: x == 0 or abs(x) > 1e-60)


@given(st.lists(FINITE, max_size=40))
def test_a_sum_is_exact_and_rounded_once(values):
    total = exact_sum(np.array(values, dtype=np.float64))
    assert as_fraction(total) == sum(map(Fraction, values), Fraction(0))
    assert as_float(total) == math.fsum(values)


@given(st.lists(st.tuples(FINITE, st.integers(0, 4)), min_size=1, max_size=40))
def test_groups_are_summed_apart(rows):
    values, group = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    assert exact_group_sums(values, group, 5) == [exact_sum(values[group == g]) for g in range(5)]


@given(st.lists(st.tuples(MODERATE, MODERATE), min_size=1, max_size=40))
def test_products_are_summed_without_rounding(rows):
    left, right = np.array(rows).T
    assert as_fraction(sum_of_products(left, right)) == sum(Fraction(a) * Fraction(b) for a, b in rows)


def test_strided_arrays_are_summed_too():
    values = np.random.default_rng(1).normal(size=(100, 3))
    assert as_float(exact_sum(values[:, 1])) == math.fsum(values[:, 1])


def test_the_logarithm_is_within_one_unit_in_the_last_place():
    rng = np.random.default_rng(2)
    values = np.concatenate(
        [rng.random(100_000), 2.0 ** -(52 * rng.random(100_000)), 1 - 2.0**-52 * np.arange(9)]
    )
    found, expected = natural_log(values), np.log(values)
    assert np.max(np.abs(found - expected) / np.spacing(np.abs(expected))) <= 1.0
    one_by_one = np.array([natural_log(values[i : i + 1])[0] for i in range(0, 1000, 7)])
    assert np.array_equal(one_by_one, found[0:1000:7])
