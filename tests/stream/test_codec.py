"""What is an event becomes the columns of its reference, whatever is in its features."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from detectors.columns import INVALID, MISSING, UNSEEN
from tests.stream.decoders import inference_decoder, label_decoder
from tests.stream.loan_events import (
    AGES,
    REFERENCE,
    REFERENCES,
    TS,
    block,
    decode,
    event,
    features,
    reference,
)

pytestmark = pytest.mark.usefixtures("decoded_by")


def cell(name: str, value: Any) -> float:
    return float(block(features(**{name: value})).columns[name][0])


def test_events_become_the_columns_of_their_reference() -> None:
    found = block(
        event(features={"age": 31, "income": 2.25, "home": "OWN", "zip": "34"}, prediction=1, score=0.75),
        event(
            prediction_id="p-2", ts=TS + 5, features={"age": 44.5, "home": "RENT"}, prediction="0", score=0.25
        ),
    )
    assert (found.model, found.version, list(found.ids)) == ("loan", "v2", ["p-1", "p-2"])
    assert found.ts_ms.tolist() == [TS, TS + 5]
    assert found.columns["age"].tolist() == [31.0, 44.5]
    np.testing.assert_array_equal(found.columns["income"], [2.25, np.nan])
    home = REFERENCE.binning.lookup("home")
    assert found.columns["home"].tolist() == [home["OWN"], home["RENT"]]
    assert found.columns["score"].tolist() == [0.75, 0.25]
    prediction = REFERENCE.binning.lookup("prediction")
    assert found.columns["prediction"].tolist() == [prediction["1"], prediction["0"]]
    assert {str(column.dtype) for column in found.columns.values()} == {"float64", "int32"}
    assert set(found.columns) == set(REFERENCE.names)


def test_columns_equal_what_the_reference_encodes_itself() -> None:
    raw: dict[str, list[Any]] = {
        "age": [1, 2.5, None, True, "7", 10**400],
        "home": ["OWN", None, "CASTLE", "RENT", True, 3],
        "zip": [12, 12.0, "12", 34, 1.5, 99],
        "member": [True, False, "true", None, 1, "maybe"],
    }
    rows = [features(**{name: raw[name][i] for name in raw}) for i in range(6)]
    found, expected = block(*rows), REFERENCE.binning.encode(raw)
    for name in raw:
        np.testing.assert_array_equal(found.columns[name], expected[name], err_msg=name)


@pytest.mark.parametrize("value", ["45", "", {"a": 1}, [1], "x" * 1000])
def test_a_number_given_as_something_else_is_invalid(value: Any) -> None:
    assert cell("age", value) == np.inf


def test_a_number_too_large_for_a_float_is_invalid() -> None:
    assert (
        block(b'{"prediction_id":"a","model":"loan","ts":%d,"features":{"age":1e999}}' % TS).columns["age"]
        == np.inf
    )
    assert cell("age", 10**400) == np.inf


@pytest.mark.parametrize(("value", "number"), [(True, 1.0), (False, 0.0), (-0.5, -0.5), (10**30, 1e30)])
def test_booleans_and_big_integers_are_numbers(value: Any, number: float) -> None:
    assert cell("age", value) == number


def test_absent_and_null_features_are_missing() -> None:
    found = block(features(), features(age=None, home=None), event(features=None))
    assert np.isnan(found.columns["age"]).all()
    assert found.columns["home"].tolist() == [MISSING] * 3


@pytest.mark.parametrize("value", [{"a": 1}, ["RENT"]])
def test_an_object_is_no_category(value: Any) -> None:
    assert cell("home", value) == INVALID


def test_a_boolean_is_never_taken_for_the_category_1() -> None:
    references = {("loan", "v2"): reference({"grade": ["1", "2"]})}
    found = block(features(grade=True), features(grade=1), references=references)
    codes = references["loan", "v2"].binning.lookup("grade")
    assert found.columns["grade"].tolist() == [UNSEEN, codes["1"]]


def test_unseen_categories_and_features_without_reference() -> None:
    found = block(features(home="CASTLE", unheard_of={"deep": [1, 2]}))
    assert found.columns["home"].tolist() == [UNSEEN]
    assert "unheard_of" not in found.columns


def test_a_score_object_is_monitored_by_its_largest_score() -> None:
    found = block(
        event(score={"a": 0.2, "b": 0.7, "c": None}), event(score=0.5), event(score={}), event(score="x")
    )
    np.testing.assert_array_equal(found.columns["score"], [0.7, 0.5, np.nan, np.inf])


def test_the_last_of_two_equal_keys_counts() -> None:
    twice = b'"prediction_id":"a","prediction_id":"b","model":"other","model":"loan"'
    value = b'{%s,"ts":%%d,"features":{"age":1,"age":2}}' % twice
    found = block(value % TS)
    assert (found.model, list(found.ids), found.columns["age"].tolist()) == ("loan", ["b"], [2.0])


def test_events_are_grouped_by_model_and_version() -> None:
    rows = [
        event(version="v1"),
        event(version="v2"),
        event(version=None),
        event(model="other", version="1"),
        event(version=""),
    ]
    found = {(one.model, one.version): one.rows.tolist() for one in decode(rows).blocks}
    assert found == {("loan", "v1"): [0], ("loan", "v2"): [1, 2, 4], ("other", "1"): [3]}


def test_models_and_versions_without_a_reference_are_unknown() -> None:
    batch = decode(
        [event(model="new"), event(version="v9"), event(model="new", version=None, ts=TS + 1), event()]
    )
    assert {key: rows.tolist() for key, rows in batch.unknown.items()} == {
        ("new", "v2"): [0],
        ("loan", "v9"): [1],
        ("new", ""): [2],
    }
    assert batch.ts_ms.tolist() == [TS, TS, TS + 1, TS]


def test_one_bad_record_costs_no_other() -> None:
    rows: list[bytes | None] = [features(age=age % 90) for age in range(10_000)]
    rows[4_321] = rows[4_321][:-3] if rows[4_321] else None
    batch = decode(rows)
    assert [rejected.row for rejected in batch.rejected] == [4_321]
    assert len(batch.blocks[0].rows) == 9_999
    np.testing.assert_array_equal(
        batch.blocks[0].columns["age"], [age % 90 for age in range(10_000) if age != 4_321]
    )


def test_many_models_on_one_topic() -> None:
    references = {(f"m{i}", "1"): REFERENCE for i in range(50)}
    batch = decode(
        [event(model=f"m{i % 50}", version="1", features={"age": i}) for i in range(2_500)],
        references=references,
    )
    for one in batch.blocks:
        assert one.columns["age"].tolist() == one.rows.tolist()
        assert set((one.rows % 50).tolist()) == {int(one.model[1:])}


def test_a_misleading_record_does_not_change_the_order() -> None:
    """Events of one model are decoded together by a guess; here the guess is wrong for every third one."""
    references = {(f"m{i}", "1"): REFERENCE for i in range(7)}
    rows: list[bytes | None] = []
    for number in range(3_000):
        misleading = {"extra": {"model": f"x{number % 5}"}} if number % 3 == 0 else {}
        fields = {"prediction_id": f"p{number}", "model": f"m{number % 7}", "version": "1", "ts": TS}
        rows.append(json.dumps(misleading | fields | {"features": {"age": number}}).encode())
    rows[100], rows[1_000] = None, b'{"model":'
    batch = decode(rows, references=references)
    assert [bad.row for bad in batch.rejected] == [100, 1_000]
    for one in batch.blocks:
        assert (one.rows[1:] > one.rows[:-1]).all()
        assert one.columns["age"].tolist() == one.rows.tolist()
        assert list(one.ids) == [f"p{row}" for row in one.rows.tolist()]


def test_versions_may_disagree_on_what_a_feature_is() -> None:
    references = {
        ("loan", "v1"): reference({"grade": AGES}),
        ("loan", "v2"): reference({"grade": ["A", "B"], "age": AGES}),
    }
    batch = decode(
        [event(version="v1", features={"grade": 7}), event(features={"grade": "B", "age": 3})],
        references=references,
    )
    codes = references["loan", "v2"].binning.lookup("grade")
    assert [{name: column.tolist() for name, column in one.columns.items()} for one in batch.blocks] == [
        {"grade": [7.0]},
        {"grade": [codes["B"]], "age": [3.0]},
    ]


@pytest.mark.parametrize(
    "name", ["größe 💥", 'say "hi"', "back\\slash", "tab\t", "", "class", "f0", "a.b", "__init__"]
)
def test_any_feature_name_can_be_monitored(name: str) -> None:
    references = {('m"\n💥', "v2"): reference({name: AGES, "f1": ["x"]})}
    for ensure_ascii in (True, False):
        value = json.dumps(
            {"prediction_id": "p", "model": 'm"\n💥', "ts": TS, "features": {name: 3}},
            ensure_ascii=ensure_ascii,
        )
        found = block(value.encode(), references=references)
        assert (found.columns[name].tolist(), found.columns["f1"].tolist()) == ([3.0], [MISSING])


def test_an_empty_batch_and_no_references() -> None:
    assert decode([]).blocks == []
    batch = decode([event(), b"x"], references={})
    assert (list(batch.unknown), [bad.reason for bad in batch.rejected]) == ([("loan", "v2")], ["not_json"])
    with pytest.raises(ValueError, match="1 values and 0 record times"):
        inference_decoder(REFERENCES).decode([event()], [])


def test_labels_become_the_label_column_of_the_newest_reference_that_has_one() -> None:
    labelled = reference({"age": AGES, "outcome": ["good", "bad"]}, label="outcome")
    decoder = label_decoder({("loan", "v1"): labelled, ("loan", "v2"): REFERENCE, ("other", "1"): REFERENCE})
    rows = [
        label(label="good"),
        label(label=None, features="ignored here"),
        label(label=3, value=12.5, feedback="thumbs_up"),
        label(label=["x"]),
        label(model="other", label="good"),
        label(model="new", label="good"),
        label(),
        label(ts="x", label="bad"),
    ]
    batch = decoder.decode(rows, [TS] * len(rows))
    (found,) = batch.blocks
    assert (found.model, found.version, found.rows.tolist(), list(found.ids)) == (
        "loan",
        "v1",
        [0, 1, 2, 3],
        ["p"] * 4,
    )
    codes = labelled.binning.lookup("outcome")
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        "outcome": [codes["good"], MISSING, UNSEEN, INVALID]
    }
    assert {model: kept.tolist() for model, kept in batch.unmonitored.items()} == {"other": [4]}
    assert {key: kept.tolist() for key, kept in batch.unknown.items()} == {("new", ""): [5]}
    assert [(bad.row, bad.reason) for bad in batch.rejected] == [(6, "missing_field"), (7, "bad_timestamp")]


def label(**fields: Any) -> bytes:
    return json.dumps({"prediction_id": "p", "model": "loan", "ts": TS, **fields}).encode()


def test_numeric_labels() -> None:
    decoder = label_decoder(
        {("loan", "v1"): reference({"age": AGES, "amount": [0.5, 1.5, 2.5]}, label="amount")}
    )
    batch = decoder.decode([label(label=2), label(label="2"), label(label=True), label(label=None)], [TS] * 4)
    np.testing.assert_array_equal(batch.blocks[0].columns["amount"], [2.0, np.inf, 1.0, np.nan])
