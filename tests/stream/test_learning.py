from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from detectors import Monitor, Reference
from stream.cli.reference_files import build_reference
from stream.codec import JsonInferenceDecoder, Limits
from stream.learning.building import LearnSpec, NotEnough, learn
from stream.learning.labels import LabelHarvest
from stream.learning.sample import EventSample, Harvest, Span
from stream.row_events import column_times, inference_events
from stream.rows import Roles, read_rows

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
SLIDE_MS = 60_000
EVER = Span(0, 2**62)
LIMITS = Limits()


def records(n: int, *, seed: int = 1, per_ms: int = 1_000, **fixed: Any) -> list[bytes]:
    """Events a second apart, with a number, a category, a prediction and a score."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=n), rng.choice(["a", "b"], n, p=[0.7, 0.3]).tolist()
    score = rng.beta(2, 5, n)
    return [
        json.dumps(
            {
                "prediction_id": f"p{i}",
                "model": "m",
                "version": "v1",
                "ts": START_MS + i * per_ms,
                "features": {"x": x[i], "c": c[i]},
                "prediction": "yes" if score[i] > 0.5 else "no",
                "score": score[i],
                **fixed,
            }
        ).encode()
        for i in range(n)
    ]


def harvest(values: list[bytes], *, rows: int = 100_000, span: Span = EVER, batch: int = 500) -> Harvest:
    collected = Harvest({"m": {None: span}}, slides_ms={"m": SLIDE_MS}, rows={"m": rows}, limits=LIMITS)
    for start in range(0, len(values), batch):
        collected.take(values[start : start + batch], [-1] * len(values[start : start + batch]))
    return collected


def learned(values: list[bytes], labels: dict[str, Any] | None = None, **options: Any) -> Reference:
    sample = harvest(values, rows=options.pop("rows", 100_000)).samples["m", "v1"]
    return learn(sample, LearnSpec(model="m", version="v1", **options), labels)


# ---- the sample


def test_a_sample_depends_on_neither_order_nor_batches_nor_duplicates_of_reading() -> None:
    values = records(6_000)
    shuffled = [values[i] for i in np.random.default_rng(3).permutation(6_000)]
    one = harvest(values, rows=1_000).samples["m", "v1"].events()
    other = harvest(shuffled, rows=1_000, batch=37).samples["m", "v1"].events()
    assert one == other
    assert len(one) == 1_000
    assert harvest(values, rows=1_000).samples["m", "v1"].total == 6_000


def test_the_first_of_a_sample_are_the_smaller_sample() -> None:
    values = records(4_000)
    larger = harvest(values, rows=2_000).samples["m", "v1"].events()
    assert harvest(values, rows=500).samples["m", "v1"].events() == larger[:500]


def test_one_prediction_id_for_all_events_keeps_the_bound() -> None:
    values = records(5_000, prediction_id="same")
    sample = harvest(values, rows=1_000).samples["m", "v1"]
    assert len(sample.events()) == 1_000
    backwards = harvest(values[::-1], rows=1_000).samples["m", "v1"]
    assert backwards.events() == sample.events()


def test_a_sample_is_bounded_in_bytes_in_any_order() -> None:
    values = records(3_000)
    sizes = np.array([len(value) for value in values])

    def sampled(order: np.ndarray) -> list[Any]:
        sample = EventSample(rows=100_000, slide_ms=SLIDE_MS, most_bytes=50_000)
        hashes = np.random.default_rng(4).integers(0, 2**63, 3_000).astype(np.uint64)
        for part in np.array_split(order, 40):
            sample.add(hashes[part], np.arange(3_000)[part], [values[i] for i in part])
        return sample.events()

    one = sampled(np.arange(3_000))
    assert one == sampled(np.random.default_rng(5).permutation(3_000))
    assert 50_000 - sizes.max() <= sum(len(each.value) for each in one) <= 50_000


def test_only_the_span_the_model_and_events_are_taken() -> None:
    values = records(100)
    junk = [b"", b"{", b"[]", b'{"model": "m"}', records(1, model="other")[0], records(1, ts=5)[0]]
    junk += [*records(20, variant="shadow"), *records(20, status="error")]
    span = Span(START_MS + 10_000, START_MS + 20_000)
    sample = harvest([*values, *junk], span=span).samples
    assert list(sample) == [("m", "v1")]
    assert sample["m", "v1"].total == 10


def test_versions_have_samples_and_spans_of_their_own() -> None:
    values = [
        *records(50),
        *records(60, version="v2"),
        *records(70, version=None),
        *records(80, version="v3"),
    ]
    spans = {"m": {"v1": EVER, "v2": Span(START_MS, START_MS + 5_000), "": EVER}}
    collected = Harvest(spans, slides_ms={"m": SLIDE_MS}, rows={"m": 1_000}, limits=LIMITS)
    collected.take(values, [-1] * len(values))
    totals = {key: sample.total for key, sample in collected.samples.items()}
    assert totals == {("m", "v1"): 50, ("m", "v2"): 5, ("m", ""): 70}


def test_the_median_of_the_slides_is_that_of_all_events() -> None:
    sample = harvest(records(6_000), rows=1_000).samples["m", "v1"]
    assert sample.slide_rows() == 60


# ---- the reference


def frame(n: int = 3_000) -> pl.DataFrame:
    rng = np.random.default_rng(11)
    return pl.DataFrame(
        {
            "at": START_MS + np.arange(n) * 1_000,
            "income": rng.lognormal(10, 0.4, n),
            "age": rng.integers(18, 90, n),
            "region": rng.choice(["north", "south", "east"], n),
            "member": rng.random(n) < 0.4,
            "debt": [None if u < 0.2 else float(u) for u in rng.random(n)],
            "constant": np.ones(n),
            "nothing": [None] * n,
            "class": rng.integers(0, 2, n),
            "p": rng.beta(2, 3, n),
        }
    )


def test_events_give_the_reference_of_the_rows_they_were_made_from(tmp_path: Path) -> None:
    frame().write_parquet(tmp_path / "rows.parquet")
    table = read_rows(tmp_path / "rows.parquet")
    roles = Roles.of(table, timestamp="at", prediction="class", score="p")
    times = column_times(table, "at")
    from_file = build_reference(table, roles, 60, times_ms=times.ms, model="m", version="v1")
    sent = [record.value for record in inference_events(table, roles, times, model="m", version="v1")]
    from_events = learned([sent[i] for i in np.random.default_rng(2).permutation(len(sent))])
    assert from_events.to_json() == from_file.to_json()
    assert from_events.fingerprint == from_file.fingerprint


def test_fewer_rows_than_events_are_stated_and_live_slices_keep_their_size() -> None:
    whole, sampled = learned(records(30_000)), learned(records(30_000), rows=3_000)
    assert sampled.counts.n == 3_000
    assert sampled.window_rows == whole.window_rows == 60
    assert sampled.caveats[-1] == "3000 of 30000 events, taken by a hash of their prediction id"
    assert sampled.variation.rows == whole.variation.rows == 60
    assert sampled.pair_variation is not None
    assert sampled.pair_variation.rows == 60


def test_a_reference_of_a_sample_finds_what_it_should_and_nothing_else() -> None:
    reference = learned(records(60_000), rows=6_000)
    quiet, moved = Monitor(reference, arl=10_000), Monitor(reference, arl=10_000)
    decoder = JsonInferenceDecoder({("m", "v1"): reference})
    alarms = []
    for seed in range(60):
        values = records(60, seed=100 + seed)
        (block,) = decoder.decode(values, [-1] * len(values)).blocks
        alarms.append(bool(quiet.update_counts(reference.tally(block.columns)[0]).drifted))
    shifted = [json.loads(value) for value in records(600, seed=900)]
    for event in shifted:
        event["features"]["x"] += 1.0
    found = []
    for part in range(0, 600, 60):
        values = [json.dumps(event).encode() for event in shifted[part : part + 60]]
        (block,) = decoder.decode(values, [-1] * len(values)).blocks
        found.append(moved.update_counts(reference.tally(block.columns)[0]).drifted_names)
    assert not any(alarms)
    assert "x" in found[-1]


def test_features_and_outputs_of_any_shape_give_a_working_reference() -> None:
    rng = np.random.default_rng(8)
    odd: list[dict[str, Any]] = [
        {
            "constant": 1.0,
            "missing": None,
            "vector": [1, 2],
            "many": f"c{int(i % 2_000)}",
            "one": "same",
            "flag": bool(i % 3),
            "huge": 10**400 if i % 500 == 0 else float(i % 7),
            "mostly": "n/a" if i % 400 == 0 else float(rng.normal()),
            "prediction": 5,
            **({"rare": 1.5} if i == 7 else {}),
        }
        for i in range(2_500)
    ]
    values = records(2_500, score={"no": 0.3, "yes": 0.7})
    events = [json.loads(value) | {"features": odd[i]} for i, value in enumerate(values)]
    values = [json.dumps(event).encode() for event in events]
    reference = learned(values)
    kinds = dict(zip(reference.names, reference.kinds, strict=True))
    assert kinds == {
        "constant": "numeric",
        "missing": "numeric",
        "vector": "numeric",
        "many": "categorical",
        "one": "categorical",
        "flag": "categorical",
        "huge": "numeric",
        "mostly": "numeric",
        "rare": "numeric",
        "prediction": "categorical",
        "score": "numeric",
    }
    told = " | ".join(reference.caveats)
    assert "feature 'prediction' has the name of an output" in told
    assert "column 'mostly' holds 7 texts among its numbers: they count as invalid" in told
    assert Reference.from_json(reference.to_json()).fingerprint == reference.fingerprint
    (block,) = JsonInferenceDecoder({("m", "v1"): reference}).decode(values, [-1] * len(values)).blocks
    counted = reference.tally(block.columns)[0]
    value_cells = reference.binning.width - 3
    numeric = [reference.names.index(name) for name in ("constant", "vector", "mostly", "score")]
    assert (counted.cells[numeric] == reference.counts.cells[numeric]).all()
    assert counted.cells[reference.names.index("vector"), value_cells + 1] == 2_500


def test_features_beyond_the_bound_are_those_in_fewest_events() -> None:
    events = [json.loads(value) for value in records(400)]
    for i, event in enumerate(events):
        event["features"] |= {f"f{i % 40}": 1.0}
    reference = learned([json.dumps(event).encode() for event in events], most_features=3)
    assert reference.names == ("x", "c", "f0", "prediction", "score")
    assert "left out: 42 features, those in fewest events" in reference.caveats


def test_numbers_that_are_codes_become_categories_and_are_found_again() -> None:
    events = [json.loads(value) for value in records(1_000)]
    for i, event in enumerate(events):
        event["features"] = {"zip": [10115, 20095.0, 80331][i % 3], "x": 1.5 * i}
    values = [json.dumps(event).encode() for event in events]
    reference = learned(values, categorical=frozenset({"zip", "nowhere"}))
    assert dict(zip(reference.names, reference.kinds, strict=True))["zip"] == "categorical"
    (block,) = JsonInferenceDecoder({("m", "v1"): reference}).decode(values, [-1] * len(values)).blocks
    counted = reference.tally(block.columns)[0]
    place = reference.names.index("zip")
    assert counted.cells[place].tolist() == reference.counts.cells[place].tolist()
    assert sorted(counted.cells[place][:3].tolist()) == [333, 333, 334]


def test_events_without_version_give_a_reference_with_a_name() -> None:
    sample = harvest(records(2_000, version=None)).samples["m", ""]
    assert learn(sample, LearnSpec(model="m", version="")).version == "learned"


def test_too_few_events_and_empty_ones_are_no_reference() -> None:
    with pytest.raises(NotEnough, match="40 events, at least 1000 are needed") as few:
        learned(records(40), least_rows=1_000)
    assert few.value.reason == "too_few_rows"
    nothing = {"features": {"x": None}, "prediction": None, "score": None}
    with pytest.raises(NotEnough, match="no column of 2000 events has a value") as empty:
        learned(records(2_000, **nothing))
    assert empty.value.reason == "no_usable_columns"
    with pytest.raises(NotEnough, match="there are no columns"):
        learned(records(2_000, **{**nothing, "features": {}}))


# ---- labels


@pytest.mark.parametrize("labelled", [2_000, 1_960, 1_600])
def test_labels_make_a_column_of_the_events_that_had_time_to_get_one(labelled: int) -> None:
    truth = {f"p{i}": "yes" if i % 4 == 0 else "no" for i in range(labelled)}
    reference = learned(records(2_000), truth)
    assert reference.counts.n == labelled
    told = f"left out: {2_000 - labelled} events without a label"
    assert (told in reference.caveats) == (labelled < 2_000)
    label = reference.for_source("labels")
    assert label is not None
    assert label.counts.cells[0, -3] == 0
    assert reference.performance is not None


@pytest.mark.parametrize("missing", [range(1_000, 2_000), range(0, 2_000, 5), range(200)])
def test_labels_of_a_part_make_no_column_and_leave_the_others_as_they_are(missing: range) -> None:
    truth = {f"p{i}": 1 for i in range(2_000) if i not in missing}
    reference = learned(records(2_000), truth)
    assert reference.names == learned(records(2_000)).names
    assert f"no label column: {len(truth)} of 2000 events have a label yet" in reference.caveats
    assert reference.counts.n == 2_000
    assert reference.performance is None


def test_the_last_word_on_an_event_is_its_label_in_any_order() -> None:
    def label(i: int, value: object, ts: int, **more: object) -> bytes:
        return json.dumps({"prediction_id": f"p{i}", "model": "m", "label": value, "ts": ts, **more}).encode()

    at = START_MS
    values = [
        label(1, "no", at), label(1, "yes", at + 5), label(2, "no", at), label(2, "yes", at, supersedes="x"),
        label(3, "b", at), label(3, "a", at), label(4, None, at), label(9, "no", at), b"{", b"",
    ]  # fmt: skip
    for order in (values, values[::-1]):
        found = LabelHarvest({"m": {"p1", "p2", "p3", "p4"}}, limits=LIMITS)
        found.take(order, [-1] * len(order))
        assert found.of("m") == {"p1": "yes", "p2": "yes", "p3": "b"}
