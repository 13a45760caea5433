from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from detectors import CorruptBytes, Counts, MismatchError, Monitor, Reference
from detectors.episode import Episode, follow

ROWS = 200


def draw(rng: np.random.Generator, n: int) -> dict[str, object]:
    latent = rng.normal(size=n)
    columns: dict[str, object] = {f"x{j}": rng.normal(size=n) + 0.7 * latent for j in range(6)}
    columns["heavy"] = rng.standard_t(3, n)
    columns["skewed"] = rng.lognormal(size=n)
    columns["zeros"] = np.where(rng.uniform(size=n) < 0.7, 0.0, rng.exponential(size=n))
    columns["count"] = rng.poisson(1.5, n)
    columns["holes"] = np.where(rng.uniform(size=n) < 0.01, np.nan, rng.normal(size=n))
    columns["region"] = rng.choice(list("abcdefgh"), n, p=[0.4, 0.25, 0.2, 0.1, 0.03, 0.01, 0.006, 0.004])
    columns["flag"] = rng.uniform(size=n) < 0.02
    columns["score"] = rng.beta(2, 5, n)
    return columns


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.build(draw(np.random.default_rng(41), 20_000), window_rows=ROWS)


def run(monitor: Monitor, rng, windows, change=None, n=ROWS):
    verdicts = []
    for _ in range(windows):
        columns = draw(rng, n)
        if change is not None:
            change(columns, rng)
        verdicts.append(monitor.update(columns))
    return verdicts


def test_a_stationary_stream_gives_nothing(reference):
    monitor = Monitor(reference)
    verdicts = run(monitor, np.random.default_rng(42), 600)
    assert [i for i, verdict in enumerate(verdicts) if verdict.drifted or verdict.new_episode] == []
    assert {verdict.status for verdict in verdicts} == {"ok"}
    assert {verdict.severity for verdict in verdicts} == {"none"}


def _add(name, value):
    def change(columns, _):
        columns[name] = columns[name] + value

    return change


def _stretch(columns, _):
    columns["x1"] = columns["x1"] * 1.5


def _holes(columns, rng):
    columns["holes"] = np.where(rng.uniform(size=ROWS) < 0.08, np.nan, columns["holes"])


def _unseen(columns, rng):
    columns["region"] = np.where(rng.uniform(size=ROWS) < 0.04, "new", columns["region"])


def _invalid(columns, rng):
    columns["x2"] = np.where(rng.uniform(size=ROWS) < 0.04, np.inf, columns["x2"])


def _swap(columns, rng):
    columns["region"] = np.where(columns["region"] == "a", rng.choice(list("ab"), ROWS), columns["region"])


@pytest.mark.parametrize(
    ("change", "name", "severity", "within"),
    [
        (_add("x0", 0.8), "x0", "ticket", 1),
        (_add("x0", 0.4), "x0", "ticket", 4),
        (_stretch, "x1", "ticket", 3),
        (_holes, "holes", "page", 3),
        (_unseen, "region", "page", 2),
        (_invalid, "x2", "page", 2),
        (_swap, "region", "ticket", 2),
        (_add("score", 0.1), "score", "page", 2),
    ],
)
def test_drift_is_found_named_and_ranked(reference, change, name, severity, within):
    monitor = Monitor(reference)
    rng = np.random.default_rng(43)
    assert not any(verdict.drifted for verdict in run(monitor, rng, 20))
    verdicts = run(monitor, rng, 12, change)
    first = next(i for i, verdict in enumerate(verdicts) if verdict.drifted)
    assert first < within
    for verdict in verdicts[first:]:
        assert (verdict.status, verdict.severity) == ("drift", severity)
        assert verdict.drifted_names == (name,)
    assert [verdict.new_episode for verdict in verdicts].count(True) == 1
    feature = next(feature for feature in verdicts[first].features if feature.drifted)
    assert feature.effect >= feature.threshold
    assert feature.p_value < 1e-4
    assert feature.cells
    assert feature.integrity == (severity == "page" and name != "score")


def test_an_ended_drift_ends_at_once(reference):
    monitor = Monitor(reference)
    rng = np.random.default_rng(44)
    run(monitor, rng, 20)
    assert all(verdict.drifted for verdict in run(monitor, rng, 6, _add("x0", 1.0)))
    after = run(monitor, rng, 8)
    assert sum(verdict.drifted for verdict in after) <= 2
    again = run(monitor, rng, 3, _add("x0", 1.0))
    assert again[0].new_episode


def test_any_number_of_columns_keeps_the_budget():
    rng = np.random.default_rng(45)
    reference = Reference.build({f"x{j}": rng.normal(size=5000) for j in range(60)}, window_rows=100)
    monitor = Monitor(reference, arl=1000)
    alarms = [monitor.update({f"x{j}": rng.normal(size=100) for j in range(60)}).drifted for _ in range(150)]
    assert sum(alarms) <= 1


def test_a_shift_under_the_smallest_effect_is_no_drift(reference):
    rng = np.random.default_rng(46)
    monitor = Monitor(reference, min_effect=0.3)
    assert not any(v.drifted for v in run(monitor, rng, 20, _add("x0", 0.25)))
    assert any(v.drifted for v in run(Monitor(reference), rng, 20, _add("x0", 0.25)))


def test_small_slices_are_pooled_until_they_suffice(reference):
    monitor = Monitor(reference, min_samples=50)
    rng = np.random.default_rng(47)
    statuses = [verdict.status for verdict in run(monitor, rng, 6, n=20)]
    assert statuses == ["not_enough_data", "not_enough_data", "ok"] * 2
    empty = monitor.update_counts(Counts.empty(reference.binning))
    assert (empty.status, empty.n, empty.features[0].psi) == ("not_enough_data", 0, None)


def test_a_gap_neither_ends_nor_confirms_an_episode(reference):
    monitor = Monitor(reference)
    rng = np.random.default_rng(48)
    assert run(monitor, rng, 2, _add("x0", 1.0))[0].new_episode
    for _ in range(5):
        monitor.update_counts(Counts.empty(reference.binning))
    assert [v.new_episode for v in run(monitor, rng, 2, _add("x0", 1.0))] == [False, False]


def test_pooled_slices_decide_like_one(reference):
    rng = np.random.default_rng(49)
    slices = [reference.count(draw(rng, 25)) for _ in range(8)]
    pooled, single = Monitor(reference, min_samples=100), Monitor(reference, min_samples=100)
    for counts in slices:
        last = pooled.update_counts(counts)
    for four in (slices[:4], slices[4:]):
        other = single.update_counts(four[0] + four[1] + four[2] + four[3])
    assert [(f.effect, f.p_value) for f in last.features] == [(f.effect, f.p_value) for f in other.features]


def test_the_window_shown_does_not_decide(reference):
    rng = np.random.default_rng(50)
    first, second = (reference.count(draw(rng, ROWS)) for _ in range(2))
    a, b = Monitor(reference), Monitor(reference)
    a.update_counts(first)
    b.update_counts(first)
    alone, shown = a.update_counts(second), b.update_counts(second, window=first + second)
    assert (alone.n, shown.n) == (ROWS, 2 * ROWS)
    assert [f.p_value for f in alone.features] == [f.p_value for f in shown.features]
    assert [f.psi for f in alone.features] != [f.psi for f in shown.features]
    assert a.to_bytes() == b.to_bytes()


def test_counts_of_another_reference_are_refused(reference):
    with pytest.raises(MismatchError):
        Monitor(reference).update_counts(Counts(np.ones((1, 4))))
    counts = reference.count(draw(np.random.default_rng(1), 60))
    monitor = Monitor(reference)
    with pytest.raises(MismatchError):
        monitor.update_counts(counts, window=Counts(np.ones((1, 4))))
    assert monitor.to_bytes() == Monitor(reference).to_bytes()


def test_state_goes_through_bytes_without_a_trace(reference):
    rng = np.random.default_rng(51)
    monitor = Monitor(reference)
    for step in range(25):
        change = _add("x0", 0.3) if step > 15 else None
        columns = draw(rng, 30 if step % 5 == 0 else ROWS)
        if change:
            change(columns, rng)
        twin = Monitor.from_bytes(monitor.to_bytes(), reference)
        assert twin.to_bytes() == monitor.to_bytes()
        assert twin.update(columns, timestamp_ms=step) == monitor.update(columns, timestamp_ms=step)
    numbers = 16 * reference.scores.owner.size + 8 * reference.pairs.owner.size
    assert len(monitor.to_bytes()) < 16 * numbers + 4096


def test_the_same_rows_in_other_batches_give_the_same_bits(reference):
    rng = np.random.default_rng(52)
    windows = [draw(rng, ROWS) for _ in range(6)]
    whole, cut = Monitor(reference), Monitor(reference)
    for columns in windows:
        parts = [reference.count({name: values[k::3] for name, values in columns.items()}) for k in (2, 0, 1)]
        assert cut.update_counts(parts[0] + parts[1] + parts[2]) == whole.update(columns)
    assert cut.to_bytes() == whole.to_bytes()


def test_corrupt_and_foreign_state_is_refused(reference):
    data = Monitor(reference).to_bytes()
    for position in (0, 5, 8, 20, len(data) - 1):
        broken = bytearray(data)
        broken[position] ^= 1
        with pytest.raises(CorruptBytes):
            Monitor.from_bytes(bytes(broken), reference)
    with pytest.raises(CorruptBytes):
        Monitor.from_bytes(data[:-1], reference)
    other = Reference.build({"x": np.arange(100.0)}, window_rows=10)
    with pytest.raises(MismatchError, match="start a new monitor"):
        Monitor.from_bytes(data, other)


def test_verdicts_are_plain_json_numbers(reference):
    verdict = Monitor(reference).update(draw(np.random.default_rng(53), ROWS))
    text = json.dumps(msgspec.to_builtins(verdict), allow_nan=False)
    assert json.loads(text)["features"][0]["name"] == "x0"
    score = next(f for f in verdict.features if f.name == "score")
    region = next(f for f in verdict.features if f.name == "region")
    assert (score.role, region.ks, region.wasserstein) == ("score", None, None)
    assert score.missing_ratio == 0.0


@pytest.mark.parametrize(
    "option", [{"arl": 0}, {"min_effect": -0.1}, {"min_samples": 0}, {"window_slices": 0}]
)
def test_impossible_options_are_refused(reference, option):
    with pytest.raises(ValueError, match="at least"):
        Monitor(reference, **option)


def test_one_more_lookback_for_the_window(reference):
    monitor = Monitor(reference, window_slices=30)
    run(monitor, np.random.default_rng(54), 31)
    assert (
        len(monitor.to_bytes()) > len(Monitor(reference).to_bytes()) + 29 * 16 * reference.scores.owner.size
    )


def test_an_episode_is_told_again_only_when_it_grows():
    news = follow(Episode(), {"a": 0.2})
    assert (news.began, news.notify) == (True, True)
    told = []
    for effects in ({"a": 0.39}, {"a": 0.4}, {"a": 0.5}, {}, {"a": 0.5}, {"a": 0.5, "b": 0.1}, {"b": 0.1}):
        news = follow(news.episode, effects)
        assert not news.began
        told.append(news.notify)
    assert told == [False, True, False, False, False, True, False]
    news = follow(follow(news.episode, {}).episode, {})
    assert not news.episode.active
    assert follow(news.episode, {"a": 0.1}).began


def test_the_smallest_shift_is_found_in_half_of_the_cases(reference):
    shift = Monitor(reference).smallest_shifts(rows=ROWS)["x0"]
    rng = np.random.default_rng(55)
    found = []
    for _ in range(60):
        columns = draw(rng, ROWS)
        _add("x0", shift * np.sqrt(1.49))(columns, rng)  # x0 has variance 1 + 0.49
        found.append(Monitor(reference).update(columns).drifted)
    assert 0.2 < np.mean(found) < 0.8


def test_more_data_shows_smaller_shifts(reference):
    monitor = Monitor(reference)
    one, ten = monitor.smallest_shifts(rows=ROWS), monitor.smallest_shifts(rows=ROWS, slices=10)
    assert set(one) == set(reference.names)
    assert all(0.02 < ten[name] < one[name] for name in one)
    with pytest.raises(ValueError, match="at least 1"):
        monitor.smallest_shifts(rows=0)
