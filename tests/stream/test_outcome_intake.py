from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from detectors import Reference
from detectors.performance import PerformanceSpec
from stream.codec import Declared, JsonInferenceDecoder, JsonLabelDecoder
from stream.counting import BatchCounter, Delta
from stream.outcomes.columns import OutcomeReader
from stream.outcomes.intake import JoinedModel, OutcomeIntake
from stream.outcomes.join import OTHER_STRATUM, Predictions, id_keys, is_sampled
from stream.outcomes.join_memory import MemoryJoin
from stream.outcomes.join_rows import JoinRows, merged
from stream.outcomes.sending import OutcomeJoin
from stream.outcomes.stratum import Stratum
from stream.windows import WindowSpec

T0 = 1_760_000_000_000
NOW = T0 + 3_600_000
SPEC = PerformanceSpec("binary", classes=("no", "yes"))
WINDOWS = WindowSpec(size_ms=10_000, slide_ms=10_000, grace_ms=0)
DECLARED = Declared(segments={"region": ("eu", "us")}, variants=("live", "shadow"), answers=True)
N = 600
REFERENCE = Reference.build(
    {"age": [float(i) for i in range(N)], "score": [i / N for i in range(N)], "y": ["no", "yes"] * (N // 2)},
    window_rows=50,
    label="y",
)
REFERENCES = {("m", "v1"): REFERENCE, ("m", "v2"): REFERENCE, ("other", "1"): REFERENCE}


def joined_model(**options: Any) -> JoinedModel:
    return JoinedModel(DECLARED, horizon_ms=86_400_000, **options)


def intake(model: JoinedModel | None = None) -> OutcomeIntake:
    readers = {version: OutcomeReader(SPEC, REFERENCE) for version in ("v1", "v2")}
    return OutcomeIntake({"m": model or joined_model()}, {"m": readers})


def count(
    outcomes: OutcomeIntake | None,
    events: list[dict[str, Any]],
    *,
    source: str = "inference",
    partition: list[int] | None = None,
    watermark_ms: int | None = None,
) -> list[Delta]:
    kinds: Mapping[str, Any] = {"inference": JsonInferenceDecoder, "labels": JsonLabelDecoder}
    decoder = kinds[source](REFERENCES, declared={"m": DECLARED})
    values = [
        json.dumps({"prediction_id": f"p{i}", "model": "m", "ts": T0, **event}).encode()
        for i, event in enumerate(events)
    ]
    batch = decoder.decode(values, [T0] * len(values))
    references = {key: part for key, ref in REFERENCES.items() if (part := ref.for_source(source))}
    counter = BatchCounter(references, {"m": WINDOWS, "other": WINDOWS}, 60_000, outcomes)
    at = np.array(partition or [0] * len(values), dtype=np.intp)
    return counter.count(batch, at, [watermark_ms] * (int(at.max()) + 1), newest_ms=NOW).deltas


def predictions(rows: JoinRows) -> Predictions:
    found = rows.predictions_of("m")
    assert found is not None
    return found


def test_predictions_are_keyed_scored_and_numbered_by_stratum() -> None:
    model = joined_model()
    (delta,) = count(
        intake(model),
        [
            {"version": "v1", "prediction": "yes", "score": 0.75, "segments": {"region": "eu"}},
            {"version": "v1", "prediction": "no", "score": 0.5, "segments": {"region": "mars"}, "ts": T0 + 1},
            {"version": "v2", "score": 0.25, "variant": "shadow"},
            {"version": "v1", "prediction": "maybe", "segments": {"region": "eu"}},
        ],
    )
    found = predictions(merged([delta.outcomes]))
    names = [model.strata.names[number] for number in found.stratum]
    assert [(one.version, one.variant, one.segments["region"]) for one in map(Stratum.of, names)] == [
        ("v1", "live", "eu"),
        ("v1", "live", "other"),
        ("v1", "live", "eu"),
        ("v2", "shadow", "none"),
    ]
    assert found.key.tolist() == id_keys("m", ["p0", "p1", "p3", "p2"]).tolist()
    assert found.ts_ms.tolist() == [T0, T0 + 1, T0, T0]
    np.testing.assert_array_equal(found.prediction, [1, 0, 2, np.nan])
    np.testing.assert_array_equal(found.score, [0.75, 0.5, np.nan, 0.25])


def test_labels_carry_what_they_correct_and_are_worth() -> None:
    (delta,) = count(
        intake(),
        [{"label": "yes", "value": 9.5}, {"label": "no", "supersedes": "l", "ts": T0 + 7}, {"label": "none"}],
        source="labels",
    )
    found = delta.outcomes.labels_of("m")
    assert found is not None
    assert found.key.tolist() == id_keys("m", ["p0", "p1", "p2"]).tolist()
    assert (found.label.tolist(), found.ts_ms.tolist()) == ([1, 0, 2], [T0, T0 + 7, T0])
    assert found.supersedes.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.value, [9.5, np.nan, np.nan])


def test_labels_of_models_with_scores_share_a_batch() -> None:
    models, reader = ("m", "other"), OutcomeReader(SPEC, REFERENCE)
    outcomes = OutcomeIntake(
        dict.fromkeys(models, joined_model()), {"m": {"v2": reader}, "other": {"1": reader}}
    )
    decoder = JsonLabelDecoder(REFERENCES, declared=dict.fromkeys(models, DECLARED))
    values = [
        json.dumps({"prediction_id": "p", "model": model, "ts": T0, "label": label}).encode()
        for model, label in (("m", "yes"), ("other", "no"), ("m", "no"))
    ]
    batch = decoder.decode(values, [T0] * 3)
    (rows,) = outcomes.take(batch, np.zeros(3, np.intp), newest_ms=NOW, partitions=1)
    assert {model: found.label.tolist() for model, found in rows.labels().items()} == {
        "m": [1, 0],
        "other": [0],
    }


def test_feedback_without_a_label_is_no_label() -> None:
    (delta,) = count(intake(), [{"label": None, "feedback": "thumbs_up"}, {"label": [1]}], source="labels")
    assert delta.outcomes.models == []


def test_each_partition_has_its_own_rows() -> None:
    at = [1, 0, 2, 1, 0]
    deltas = count(intake(), [{"score": i / 10} for i in range(5)], partition=at)
    assert [predictions(delta.outcomes).score.tolist() for delta in deltas] == [[0.1, 0.4], [0.0, 0.3], [0.2]]
    together = merged(delta.outcomes for delta in deltas)
    assert sorted(predictions(together).score.tolist()) == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_other_models_and_future_events_are_not_joined() -> None:
    (delta,) = count(intake(), [{"model": "other"}, {"ts": NOW + 1, "score": 0.1}, {"score": 0.2}])
    assert delta.outcomes.models == ["m"]
    assert predictions(delta.outcomes).score.tolist() == [0.2]


def test_errors_are_no_predictions_and_other_variants_no_traffic() -> None:
    (delta,) = count(
        intake(),
        [
            {"score": 0.1},
            {"score": 0.2, "variant": "shadow"},
            {"score": 0.3, "status": "error"},
            {"score": 0.4, "variant": "canary"},
            {"score": 0.5, "variant": "shadow", "status": "error"},
        ],
    )
    assert delta.totals == {"events": 1, "errors": 2, "other_variant": 2}
    assert sum(pane.counts.n for pane in delta.panes.values()) == 1
    assert sorted(predictions(delta.outcomes).score.tolist()) == [0.1, 0.2, 0.4]


def test_what_is_too_late_for_its_window_is_joined_all_the_same() -> None:
    (delta,) = count(intake(), [{"score": 0.5}], watermark_ms=T0 + 3_000_000)
    assert (dict(delta.totals), delta.panes) == ({"late": 1}, {})
    assert predictions(delta.outcomes).score.tolist() == [0.5]


def test_both_sides_take_the_same_sample() -> None:
    events = [{"score": 0.5, "label": "yes"} for _ in range(400)]
    key = id_keys("m", [f"p{i}" for i in range(400)])
    expected = key[is_sampled(key, 0.25)].tolist()
    outcomes = intake(joined_model(sample=0.25))
    assert predictions(count(outcomes, events)[0].outcomes).key.tolist() == expected
    labels = count(outcomes, events, source="labels")[0].outcomes.labels_of("m")
    assert labels is not None
    assert labels.key.tolist() == expected
    assert 60 < len(expected) < 140


def test_nothing_is_taken_where_nothing_is_joined() -> None:
    (delta,) = count(None, [{"score": 0.5}])
    assert delta.outcomes.models == []


@pytest.mark.parametrize("before", [[], [Stratum("v9", "live", {"region": "us"}).name]])
def test_joined_predictions_have_the_strata_of_the_store(before: list[str]) -> None:
    model, store, seen = joined_model(), MemoryJoin(), []
    outcomes = intake(model)
    store.strata("m", before)
    join = OutcomeJoin(store, {"m": model}, joined=lambda name, counts: seen.append((name, counts["joined"])))
    events = [{"score": 0.5, "segments": {"region": "us"}}, {"score": 0.25, "variant": "shadow"}]
    for rows in (count(outcomes, events), count(outcomes, [{"label": "yes"}], source="labels")):
        join.join(merged(delta.outcomes for delta in rows))
    journal = store.journal("m", 10).transitions
    names = store.strata_names("m")
    assert [Stratum.of(names[number]).variant for number in journal["stratum"]] == ["live", "shadow", "live"]
    assert journal["new_label"][2] == 1
    assert seen == [("m", 0), ("m", 1)]


def test_joining_again_changes_nothing() -> None:
    model, store = joined_model(), MemoryJoin()
    join = OutcomeJoin(store, {"m": model}, joined=lambda _model, _counts: None)
    rows = merged(delta.outcomes for delta in count(intake(model), [{"score": 0.5}, {"score": 0.25}]))
    join.join(rows)
    before = store.journal("m", 10).upto
    join.join(rows)
    assert (store.journal("m", 10).upto, before) == (2, 2)


def test_strata_beyond_the_last_number_share_one() -> None:
    model = joined_model()
    model.strata.names.extend(str(i) for i in range(OTHER_STRATUM))
    (delta,) = count(intake(model), [{"score": 0.5}])
    assert predictions(delta.outcomes).stratum.tolist() == [OTHER_STRATUM]


def test_a_store_that_lost_its_data_numbers_the_strata_anew() -> None:
    model, store = joined_model(), MemoryJoin()
    outcomes = intake(model)
    join = OutcomeJoin(store, {"m": model}, joined=lambda _model, _counts: None)
    join.join(merged(delta.outcomes for delta in count(outcomes, [{"score": 0.5, "variant": "shadow"}])))
    store.__init__()  # type: ignore[misc]  # the join holds this very object
    join.join(merged(delta.outcomes for delta in count(outcomes, [{"score": 0.5}])))
    names = store.strata_names("m")
    (number,) = store.journal("m", 10).transitions["stratum"]
    assert Stratum.of(names[number]).variant == "live"
