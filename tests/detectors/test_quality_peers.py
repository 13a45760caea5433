"""The peers' rules, written again: equal to scipy's, and to what the libraries' sources say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from benchmarks.quality_judges import Known
from benchmarks.quality_peers import RULES, AdwinPanel, PeerPanel, statements
from benchmarks.quality_peers_columns import KnownLevels, KnownNumbers, chunks, three_sigma
from benchmarks.quality_peers_statistics import (
    Integral,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
    wasserstein,
)

SAMPLES = [
    lambda rng, n: rng.normal(size=n),
    lambda rng, n: rng.poisson(1.5, n).astype(float),
    lambda rng, n: np.exp(2 * rng.normal(size=n)),
    lambda rng, n: rng.normal(size=n) + 10.0,
    lambda rng, n: np.full(n, 0.25),
]


def table(numeric, categories=None, window_rows=100):
    columns = {**numeric, **(categories or {})}
    return Known("", columns, frozenset(categories or ()), window_rows, pytest.fail, pytest.fail)


@pytest.mark.parametrize("known_from", range(5))
@pytest.mark.parametrize("drawn_from", range(5))
def test_statistics_of_numbers_are_those_of_scipy(known_from, drawn_from):
    rng = np.random.default_rng(known_from * 5 + drawn_from)
    known, drawn = (np.sort(SAMPLES[i](rng, n)) for i, n in ((known_from, 1503), (drawn_from, 211)))
    expected = ks_2samp(known, drawn, method="asymp")
    test = kolmogorov_smirnov(known, drawn)
    assert test.statistic == pytest.approx(expected.statistic, abs=1e-12)
    for alpha in (0.05, 0.001):
        assert test.rejects(alpha) == (expected.pvalue < alpha)
    distance = wasserstein(Integral.of(known), drawn)
    assert distance == pytest.approx(wasserstein_distance(known, drawn), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3, 20])
@pytest.mark.parametrize("seed", range(4))
def test_statistics_of_categories_are_those_of_scipy(levels, seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(levels))
    known, drawn = rng.multinomial(5000, shares).astype(float), rng.multinomial(200, shares).astype(float)
    seen = known + drawn > 0
    expected = chi2_contingency(np.stack((known[seen], drawn[seen])))
    for alpha in (0.5, 0.05):
        assert chi_square(known, drawn).rejects(alpha) == (expected.pvalue < alpha)
    p, q = known / known.sum(), drawn / drawn.sum()
    for base in (2.0, float(np.e)):
        assert jensen_shannon(p, q, base) == pytest.approx(jensenshannon(p, q, base), abs=1e-9)


def test_population_stability_is_the_symmetric_sum_with_a_floor():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.4, 0.5, 0.1])
    by_hand = 0.1 * np.log(0.5 / 0.4) + (0.1 - 0.0001) * np.log(0.1 / 0.0001)
    assert population_stability(p, q) == pytest.approx(by_hand)
    assert population_stability(p, p) == 0.0


def test_nannyml_keeps_a_short_last_chunk_and_takes_three_standard_deviations():
    assert [len(chunk) for chunk in chunks(np.arange(10), 4)] == [4, 4, 2]
    assert three_sigma([1.0, 3.0]) == pytest.approx(2.0 + 3.0)
    rng = np.random.default_rng(0)
    known = KnownNumbers(rng.normal(size=10_000), 1000)
    assert known.judge(rng.normal(size=1000) + 0.5).nannyml
    assert KnownLevels(rng.choice(["a", "b"], 10_000), 1000).judge(np.repeat(["a", "c"], 500)).nannyml


def test_evidently_takes_wasserstein_in_standard_deviations_and_jensen_shannon_for_few_values():
    rng = np.random.default_rng(1)
    values = 7.0 * rng.normal(size=10_000)
    known = KnownNumbers(values, 1000)
    assert not known.judge(np.sort(values)[::10] + 0.09 * 7.0).evidently
    assert known.judge(np.sort(values)[::10] + 0.11 * 7.0).evidently
    few = KnownNumbers(np.tile([0.0, 1.0], 2000), 1000)
    for share, drifted in ((0.5, False), (0.55, False), (0.7, True)):
        drawn = np.repeat([0.0, 1.0], [round(1000 * (1 - share)), round(1000 * share)])
        expected = jensenshannon([0.5, 0.5], [1 - share, share]) >= 0.1
        assert few.judge(drawn).evidently == expected == drifted


def test_alibi_gives_no_word_on_a_column_with_missing_values():
    rng = np.random.default_rng(2)
    values = rng.normal(size=2000)
    judge = PeerPanel().fit(table({"a": values, "b": values}))
    window = {"a": values[:100] + 5.0, "b": np.append(values[:99] + 5.0, np.nan)}
    found = judge.judge(window)
    assert found["alibi-detect"].names == {"a"}
    assert found["KS p<.05"].names == found["PSI>.2"].names == {"a", "b"}


def test_rules_differ_in_what_they_call_an_alarm_and_when_it_is_new():
    rng = np.random.default_rng(3)
    numeric = {f"c{i}": rng.normal(size=5000) for i in range(5)}
    judge = PeerPanel().fit(table(numeric, {"k": rng.choice(["a", "b"], 5000)}, 500))
    calm = {name: rng.permutation(values)[:500] for name, values in numeric.items()} | {
        "k": rng.choice(["a", "b"], 500)
    }
    one = calm | {"c0": calm["c0"] + 1.0}
    most = one | {name: calm[name] + 1.0 for name in ("c1", "c2")}
    first, second, third = (judge.judge(window) for window in (one, one, most))
    assert first["Evidently any"].names == {"c0"}
    assert not first["Evidently share"].drifted
    assert third["Evidently share"].names == {"c0", "c1", "c2"}
    assert first["Evidently any"].new_episode
    assert not second["Evidently any"].new_episode


def test_adwin_judges_up_to_its_number_of_columns():
    rng = np.random.default_rng(4)
    few, many = ({f"c{i}": rng.normal(size=1000) for i in range(n)} for n in (2, 21))
    assert AdwinPanel().fit(table(many)).judge(many) == {}
    judge = AdwinPanel().fit(table(few))
    window = {"c0": rng.normal(size=200), "c1": rng.normal(size=200) + 4.0}
    assert judge.judge(window)["river ADWIN"].names == {"c1"}


def test_every_rule_is_stated_with_the_version_of_its_library():
    stated = statements({"evidently": "1.2", "nannyml": "3.4", "alibi-detect": "5.6"})
    assert set(stated) == {rule.title for rule in RULES} | {"river ADWIN"}
    assert "Evidently 1.2" in stated["Evidently any"]
    assert not any("{" in text for text in stated.values())
