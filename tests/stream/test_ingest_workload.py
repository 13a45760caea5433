from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.ingest_peers import quantile_edges, windows
from benchmarks.ingest_variants import CASES, Variant
from benchmarks.peers.clocks import Stopwatch, children, cpu_seconds
from benchmarks.peers.histograms import Histograms, start_of
from benchmarks.poison import poisoned
from benchmarks.worker_run import expected
from benchmarks.workload import FEATURES, Shape, reference, workload
from stream.codec import JsonInferenceDecoder

EVENTS = 2_000


@pytest.fixture(scope="module")
def frozen():
    return reference()


@pytest.fixture(scope="module")
def decoder(frozen):
    return JsonInferenceDecoder({(frozen.model, frozen.version): frozen})


@pytest.fixture(scope="module")
def load():
    return workload(EVENTS)


def test_events_are_as_large_as_the_shared_ones_and_each_has_an_id_of_its_own(load):
    size = sum(map(len, load.values)) / EVENTS
    event = json.loads(load.values[5])
    assert 465 < size < 480
    assert len(set(load.ids)) == EVENTS
    assert event["prediction_id"] == load.ids[5]
    assert event["ts"] == load.ts_ms[5]
    assert event["measures"]["latency_ms"] > 0
    assert event["segments"]["channel"] == "branch"


def test_one_value_of_a_hundred_is_null_and_half_of_that_is_absent(load):
    features = [json.loads(value)["features"] for value in load.values]
    values = EVENTS * len(FEATURES)
    absent = values - sum(map(len, features))
    null = sum(value is None for each in features for value in each.values())
    assert 0.008 < null / values < 0.012
    assert 0.0035 < absent / values < 0.0065


def test_what_is_expected_is_what_the_decoder_and_the_bins_find(load, frozen, decoder):
    truth = expected(load, frozen, partitions=1)
    inference = frozen.for_source("inference")
    batch = decoder.decode(load.values, [0] * EVENTS)
    found = sum(inference.binning.count(block.columns)[0] for block in batch.blocks)
    assert truth.events == EVENTS
    assert np.array_equal(found, sum(truth.panes.values()))


def test_shuffled_events_say_the_same_in_another_order():
    plain, shuffled = workload(50), workload(50, Shape(shuffled=True))
    orders = {tuple(json.loads(value)) for value in shuffled.values}
    assert len(orders) > 40
    for one, other in zip(plain.values, shuffled.values, strict=True):
        assert json.loads(one)["features"].keys() <= {*FEATURES}
        assert json.loads(one).keys() == json.loads(other).keys()


def test_a_wide_event_has_five_times_the_features():
    event = json.loads(workload(3, Shape(copies=5)).values[0])
    assert len(event["features"]) > 95
    assert len(event["features"]) <= 100


def test_models_take_turns_and_each_is_as_busy_as_the_workload():
    load = workload(3_000, Shape(models=1_000))
    assert load.models[7] == json.loads(load.values[2_007])["model"]
    assert len(set(load.models)) == 1_000
    assert load.ts_ms.max() - load.ts_ms.min() < 3 * 3 + 200


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_every_poisoned_record_is_refused_and_no_other(load, decoder, share):
    spoilt = poisoned(load, share)
    batch = decoder.decode(spoilt.values, [0] * EVENTS)
    rows = sorted(each.row for each in batch.rejected)
    assert rows == np.flatnonzero(spoilt.dead).tolist()
    assert len(rows) == EVENTS * share
    assert len({each.reason for each in batch.rejected}) >= 3


def test_the_peers_count_what_is_expected_of_them(load, tmp_path):
    edges = quantile_edges(load.columns)
    layout = tmp_path / "layout.json"
    categorical = [name for name in FEATURES if name not in edges]
    layout.write_text(json.dumps({"numeric": edges, "categorical": categorical}))
    histograms, found = Histograms(str(layout)), {}
    for value in load.values:
        event = json.loads(value)
        start = start_of(event)
        found[start] = histograms.add(found.get(start) or histograms.empty(), event)
    assert found == windows(load, edges)
    assert sum(map(histograms.total, found.values())) == EVENTS


def test_the_stopwatch_of_a_peer_leaves_the_warm_up_out(tmp_path):
    watch, result = Stopwatch(50), tmp_path / "result.json"
    for _ in range(50):
        assert not watch.done
        watch.event()
    watch.write(str(result), [])
    used = json.loads(result.read_text())["usage"]
    assert watch.done
    assert used["events"] == 45
    assert used["cpu_s"] >= 0
    assert used["peak_rss_bytes"] > 1_000_000


def test_the_time_of_a_child_is_time_of_the_process():
    child = subprocess.Popen(
        [sys.executable, "-c", "print(sum(range(3_000_000)), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        assert child.pid in children(os.getpid())
        assert cpu_seconds(child.pid) > 0.01
        assert cpu_seconds(os.getpid()) > cpu_seconds(child.pid)
    finally:
        child.communicate(b"\n")


def test_every_variant_differs_in_one_thing():
    assert {*CASES} == {*Variant}
    plain = Shape()
    for case in CASES.values():
        differs = [case.shape != plain, case.compression != "none", case.poison > 0]
        assert sum(differs) == 1
