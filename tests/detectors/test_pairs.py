"""Correlations: what no histogram shows is found, named once, and explained away where a column moved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detectors import BuildError, FormatError, Monitor, Reference
from detectors.pairs import hubs

ROWS = 400


def draw(rng, n: int = ROWS) -> dict[str, np.ndarray]:
    latent = rng.normal(size=n)
    columns = {f"x{j}": rng.normal(size=n) + latent for j in range(6)}
    columns["alone"] = rng.normal(size=n)
    columns["nearly"] = np.where(rng.random(n) < 0.9, 0.0, rng.normal(size=n))
    columns["kind"] = rng.choice(list("abc"), n)
    columns["score"] = 1 / (1 + np.exp(-columns["x0"] - rng.normal(size=n)))
    return columns


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.build(draw(np.random.default_rng(61), 20_000), window_rows=ROWS)


def shuffled(columns, rng, *names):
    for name in names:
        columns[name] = rng.permutation(columns[name])
    return columns


def test_a_stationary_stream_gives_nothing(reference):
    monitor, rng = Monitor(reference), np.random.default_rng(62)
    verdicts = [monitor.update(draw(rng)) for _ in range(300)]
    assert not any(verdict.drifted or verdict.pairs for verdict in verdicts)


def test_a_lost_correlation_is_found_at_once_and_named_once(reference):
    rng = np.random.default_rng(63)
    for name, severity in (("x3", "ticket"), ("score", "page")):
        monitor = Monitor(reference)
        for _ in range(4):
            monitor.update(draw(rng))
        verdict = monitor.update(shuffled(draw(rng), rng, name))
        assert (verdict.drifted_names, verdict.severity, verdict.new_episode) == ((name,), severity, True)
        found = next(feature for feature in verdict.features if feature.name == name)
        assert (found.component, found.lookback) == ("correlation", 1)
        assert found.effect > found.threshold > 0.05
        assert found.p_value < 1e-4
        assert all(name in pair.names and pair.drifted for pair in verdict.pairs)
        assert max(abs(pair.correlation) for pair in verdict.pairs) < 0.3
        assert min(pair.reference_correlation for pair in verdict.pairs) > 0.3
        assert len(verdict.pairs) >= 4


def test_an_ended_change_ends_at_once(reference):
    monitor, rng = Monitor(reference), np.random.default_rng(64)
    for step in range(12):
        columns = draw(rng)
        monitor.update(shuffled(columns, rng, "x1") if step >= 8 else columns)
    assert sum(monitor.update(draw(rng)).drifted for _ in range(6)) <= 1


def test_a_column_that_moved_explains_its_pairs(reference):
    monitor, rng = Monitor(reference), np.random.default_rng(65)
    columns = shuffled(draw(rng), rng, "x1")
    columns["x1"] = columns["x1"] + 2.0
    verdict = monitor.update(columns)
    assert (verdict.drifted_names, verdict.pairs) == (("x1",), ())


def test_two_columns_apart_are_both_named(reference):
    rng = np.random.default_rng(66)
    verdict = Monitor(reference).update(shuffled(draw(rng, 2000), rng, "x1", "x4"))
    assert set(verdict.drifted_names) == {"x1", "x4"}


def test_the_smallest_effect_holds_for_pairs(reference):
    rng = np.random.default_rng(67)
    columns = shuffled(draw(rng), rng, "x3")
    assert Monitor(reference).update(columns).drifted
    assert not Monitor(reference, min_effect=0.6).update(columns).drifted
    own = Monitor(reference, min_effects={"x3": 0.6})
    assert own.update(columns).drifted_names == ()


def test_a_wandering_correlation_is_not_news():
    rng = np.random.default_rng(68)

    def window(strength):
        latent = rng.normal(size=ROWS)
        return {name: rng.normal(size=ROWS) + strength * latent for name in "ab"}

    def stretch(windows):
        return [window(rng.uniform(0.5, 1.5)) for _ in range(windows)]

    parts = stretch(80)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in "ab"}
    reference = Reference.build(columns, window_rows=ROWS)
    assert reference.pair_variation.tau2[0] > 0.005
    monitor = Monitor(reference)
    assert sum(bool(monitor.update(part).pairs) for part in stretch(80)) == 0


def test_state_and_batches_leave_no_trace(reference):
    rng = np.random.default_rng(69)
    straight, cut = Monitor(reference), Monitor(reference)
    for step in range(20):
        columns = draw(rng) if step < 15 else shuffled(draw(rng), rng, "x2")
        cut = Monitor.from_bytes(cut.to_bytes(), reference)
        parts = [reference.count({k: v[i::3] for k, v in columns.items()}) for i in (1, 2, 0)]
        assert cut.update_counts(parts[0] + parts[1] + parts[2]) == straight.update(columns)
    assert cut.to_bytes() == straight.to_bytes()


def test_counts_without_moments_say_nothing_of_pairs(reference):
    rng = np.random.default_rng(70)
    columns = shuffled(draw(rng), rng, "x3")
    counts = reference.count(columns)
    counts.moments = None
    monitor = Monitor(reference)
    assert not monitor.update_counts(counts).drifted
    assert monitor.update(columns).drifted


def test_which_columns_are_watched(reference):
    assert reference.pairs.names == ("x0", "x1", "x2", "x3", "x4", "x5", "alone", "score")
    rng = np.random.default_rng(71)
    many = {f"x{j}": rng.normal(size=300) for j in range(33)}
    assert Reference.build(many, window_rows=100).pairs is None
    asked = Reference.build(many, window_rows=100, pairs=True)
    assert len(asked.pairs.names) == 33
    assert Reference.build(draw(rng), window_rows=50, pairs=False).pairs is None
    with pytest.raises(BuildError, match="at most 100"):
        Reference.build({f"x{j}": rng.normal(size=30) for j in range(101)}, window_rows=10, pairs=True)


def test_labels_are_never_paired():
    columns = draw(np.random.default_rng(72), 2000) | {"truth": np.random.default_rng(73).normal(size=2000)}
    reference = Reference.build(columns, window_rows=100, label="truth")
    assert "truth" not in reference.pairs.names
    assert reference.for_source("labels").pairs is None
    assert reference.for_source("inference").pairs.names == reference.pairs.names


def test_the_file_keeps_pairs_and_those_without_look_as_before(reference):
    again = Reference.from_json(reference.to_json())
    rng = np.random.default_rng(74)
    columns = shuffled(draw(rng), rng, "x3")
    assert Monitor(again).update(columns) == Monitor(reference).update(columns)
    without = Reference.build(draw(rng), window_rows=50, pairs=False)
    assert "pairs" not in json.loads(without.to_json())


@pytest.mark.parametrize(
    "change",
    [
        lambda pairs: pairs["names"].pop(),
        lambda pairs: pairs["names"].__setitem__(0, "kind"),
        lambda pairs: pairs["names"].__setitem__(0, "x1"),
        lambda pairs: pairs["first"].pop(),
        lambda pairs: pairs["variation"]["tau2"].__setitem__(0, -1.0),
        lambda pairs: pairs.__setitem__("chunks", 0),
    ],
)
def test_a_damaged_file_is_refused(reference, change):
    content = json.loads(reference.to_json())
    change(content["pairs"])
    with pytest.raises(FormatError, match="build it again"):
        Reference.from_json(json.dumps(content))


def test_hubs_cover_every_flagged_pair():
    rng = np.random.default_rng(75)
    left, right = np.triu_indices(9, 1)
    for _ in range(50):
        flagged = rng.random(left.size) < 0.2
        found = hubs(flagged, rng.random(left.size), left, right)
        assert all(left[k] in found or right[k] in found for k in np.flatnonzero(flagged))
        assert all(flagged[pair] and j in (left[pair], right[pair]) for j, pair in found.items())


def test_columns_that_wander_together_do_not_correlate_by_it():
    """Two means that move by 0.3 sd add 0.09 to a mean product; to a correlation they add nothing."""
    rng = np.random.default_rng(76)
    reference = Reference.build({name: rng.normal(size=100_000) for name in "ab"}, window_rows=5000)
    moved = reference.count({name: rng.normal(size=5000) + 0.3 for name in "ab"})
    assert abs(reference.pairs.correlations(moved)[0]) < 0.04
    assert abs(reference.pairs.effects(reference.pairs.sums(moved))[0]) < 0.04
