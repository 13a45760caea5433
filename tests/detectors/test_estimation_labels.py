"""What labels say about estimates: the track record, and disagreement."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from detectors import CorruptBytes, Reference
from detectors.estimation import DisagreementMonitor, Estimate, Estimator, TrackRecord, disagreement

CAR_LOAN = Path(__file__).parents[2].parent / "shared" / "data" / "nannyml_car_loan.parquet"
ESTIMATE = Estimate(value=0.9, standard_error=0.01, row_variance=0.09, model_error=0.002, n=1000)


def world(rng, n, *, concept=1.0):
    x = rng.normal(size=n)
    truth = rng.random(n) < 1 / (1 + np.exp(-2.0 * concept * x))
    return {"score": 1 / (1 + np.exp(-2.0 * x)), "y": truth}


def test_labels_disagree_where_the_concept_changed_and_only_there():
    """Features and scores stay as they are: the estimate cannot see it, its labels do."""
    rng = np.random.default_rng(1)
    reference = Reference.build(world(rng, 20_000), window_rows=500, label="y")
    estimator, found = Estimator(reference), {1.0: [], 0.5: []}
    for concept, judged in found.items():
        for _ in range(200 if concept == 1.0 else 20):
            window = world(rng, 500, concept=concept)
            estimate = estimator.estimate(reference.count(window))["accuracy"]
            assert estimate.value == pytest.approx(reference.performance.metrics["accuracy"], abs=0.04)
            realized = np.mean((window["score"] >= 0.5) == window["y"])
            judged.append(disagreement("accuracy", estimate, realized, 500))
    assert not any(verdict.disagrees for verdict in found[1.0])
    assert np.mean([verdict.disagrees for verdict in found[0.5]]) >= 0.9
    assert all(verdict.worse for verdict in found[0.5])


def test_disagreement_needs_labels_and_more_than_the_tolerated_difference():
    assert disagreement("accuracy", ESTIMATE, 0.80, 1000).disagrees
    assert not disagreement("accuracy", ESTIMATE, 0.80, 20).disagrees
    assert not disagreement("accuracy", ESTIMATE, 0.80, 1000, min_effect=0.1).disagrees
    within = disagreement("accuracy", ESTIMATE, 0.895, 10**9)
    assert (within.z, within.disagrees, within.worse) == (0.0, False, False)


def test_thresholds_follow_the_arl_and_the_looks():
    strict = disagreement("accuracy", ESTIMATE, 0.8, 1000, arl=1e6)
    shared = disagreement("accuracy", ESTIMATE, 0.8, 1000, looks=5)
    plain = disagreement("accuracy", ESTIMATE, 0.8, 1000)
    assert plain.critical == pytest.approx(3.89, abs=0.01)  # two-sided 1e-4
    assert plain.critical < shared.critical < strict.critical
    with pytest.raises(ValueError, match="arl"):
        disagreement("accuracy", ESTIMATE, 0.8, 1000, arl=0)


@pytest.mark.parametrize(("metric", "worse"), [("accuracy", False), ("log_loss", True), ("bias", False)])
def test_which_way_is_worse_depends_on_the_metric(metric, worse):
    assert disagreement(metric, ESTIMATE, 1.1, 1000).worse is worse


def follow(monitor, realized):
    return [monitor.update(ESTIMATE, value, 1000) for value in realized]


def test_a_small_difference_that_stays_is_found_over_several_windows():
    small = 0.9 - 0.027 + np.tile([-0.01, 0.01], 8)  # noise of one standard error
    assert not any(disagreement("accuracy", ESTIMATE, value, 1000).disagrees for value in small)
    assert follow(DisagreementMonitor("accuracy"), small)[-1].disagrees


def test_agreeing_labels_stay_quiet_over_many_windows():
    rng = np.random.default_rng(3)
    for _ in range(5):
        off = rng.normal(0, ESTIMATE.model_error)  # the reference's own error is there in every window
        verdicts = follow(
            DisagreementMonitor("accuracy"), 0.9 + off + rng.normal(0, np.sqrt(0.09 / 1000), 300)
        )
        assert not any(verdict.disagrees for verdict in verdicts)


def test_an_ended_disagreement_clears_with_the_next_window():
    monitor = DisagreementMonitor("accuracy")
    assert follow(monitor, [0.8] * 16)[-1].disagrees
    assert not follow(monitor, [0.9])[-1].disagrees


def test_a_restored_monitor_goes_on():
    realized = np.linspace(0.9, 0.85, 30)
    monitor, verdicts = DisagreementMonitor("accuracy"), []
    for value in realized:
        verdicts.append(monitor.update(ESTIMATE, value, 1000))
        monitor = DisagreementMonitor.from_bytes(monitor.to_bytes(), "accuracy")
    assert verdicts == follow(DisagreementMonitor("accuracy"), realized)
    with pytest.raises(CorruptBytes):
        DisagreementMonitor.from_bytes(monitor.to_bytes()[:-1], "accuracy")
    with pytest.raises(ValueError, match="leave such a window out"):
        monitor.update(ESTIMATE, 0.9, 0)


WINDOWS = [(0.90, 0.91), (0.90, 0.85), (0.92, 0.921), (0.88, 0.84)]


def scored(windows):
    record = TrackRecord()
    for value, realized in windows:
        record.add("accuracy", ESTIMATE._replace(value=value), realized, labels=1000)
    return record


def test_a_record_says_how_far_estimates_were_off():
    score = scored(WINDOWS).score("accuracy")
    assert score.windows == 4
    assert score.bias == pytest.approx((-0.01 + 0.05 - 0.001 + 0.04) / 4)
    assert score.mean_error == pytest.approx((0.01 + 0.05 + 0.001 + 0.04) / 4)
    assert score.coverage == 0.5
    assert TrackRecord().score("accuracy") is None


def test_order_cuts_and_restatements_change_nothing():
    expected = scored(WINDOWS).to_bytes()
    for order in itertools.permutations(WINDOWS):
        first, second = scored(order[:2]), scored(order[2:])
        second.merge(first)
        assert second.to_bytes() == expected
    record = scored([*WINDOWS, (0.5, 0.7)])
    record.add("accuracy", ESTIMATE._replace(value=0.5), 0.7, labels=1000, sign=-1)
    assert record.to_bytes() == expected
    assert TrackRecord.from_bytes(expected).to_bytes() == expected


def test_a_record_refuses_what_is_none():
    with pytest.raises(ValueError, match="finite"):
        TrackRecord().add("accuracy", ESTIMATE, float("nan"), labels=10)
    with pytest.raises(ValueError, match="sign"):
        TrackRecord().add("accuracy", ESTIMATE, 0.9, labels=10, sign=0)
    data = scored(WINDOWS).to_bytes()
    with pytest.raises(CorruptBytes):
        TrackRecord.from_bytes(data[:-2])


@pytest.mark.skipif(not CAR_LOAN.exists(), reason="car loan is not beside this checkout")
@pytest.mark.parametrize("size", [5000, 1000])
def test_car_loan_is_estimated_near_the_sampling_floor(size):
    frame = pl.read_parquet(CAR_LOAN)
    kept = frame.drop("id", "timestamp", "part")
    known, live = (kept.filter(frame["part"] == part) for part in ("reference", "analysis"))
    outputs = {"outputs": ("y_pred_proba",), "prediction": "y_pred", "label": "repaid"}
    reference = Reference.build({c: known[c].to_numpy() for c in known.columns}, window_rows=size, **outputs)
    estimator, record, floors = Estimator(reference), TrackRecord(), []
    for chunk in live.iter_slices(size):
        columns = {c: chunk[c].to_numpy() for c in chunk.columns}
        realized = float(np.mean(columns["y_pred"] == columns["repaid"]))
        estimate = estimator.estimate(reference.count(columns | {"repaid": [None] * size}))["accuracy"]
        record.add("accuracy", estimate, realized, labels=size)
        floors.append(np.sqrt(2 * realized * (1 - realized) / np.pi / size))
    score = record.score("accuracy")
    assert score.mean_error <= 1.2 * np.mean(floors)
    assert score.coverage >= 0.9
