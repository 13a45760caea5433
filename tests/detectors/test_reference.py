from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from detectors import BuildError, FormatError, Monitor, Reference

RNG = np.random.default_rng(31)
ROWS = 2000
COLUMNS = {
    "age": RNG.normal(40, 10, ROWS),
    "region": RNG.choice(["north", "south", "east"], ROWS),
    "score": RNG.uniform(size=ROWS),
    "decision": RNG.integers(0, 2, ROWS),
    "truth": RNG.integers(0, 2, ROWS).astype(float),
}


def build(**options) -> Reference:
    return Reference.build(COLUMNS, window_rows=100, prediction="decision", label="truth", **options)


def test_kinds_and_roles_are_inferred():
    reference = build(model="loan", version="7")
    assert reference.names == ("age", "region", "score", "decision", "truth")
    assert reference.roles == ("feature", "feature", "score", "prediction", "label")
    assert reference.kinds == ("numeric", "categorical", "numeric", "categorical", "categorical")
    assert reference.binning.lookup("decision").keys() == {None, "0", "1"}
    assert (reference.counts.n, reference.window_rows, reference.variation.chunks) == (ROWS, 100, 20)


def test_whole_numbers_of_a_feature_are_numeric_unless_forced():
    columns = {"day": [1, 2, 3, 4] * 100, "flag": [True, False] * 200, "zip": [10115, 20095] * 200}
    reference = Reference.build(columns, window_rows=20, categorical=("zip",))
    assert reference.kinds == ("numeric", "categorical", "categorical")
    assert reference.binning.columns[1].categories == ("false", "true")
    assert reference.binning.columns[2].categories == ("10115", "20095")


def test_each_source_has_its_columns():
    reference = build(model="loan", version="7")
    inference, labels = reference.for_source("inference"), reference.for_source("labels")
    assert inference.names == ("age", "region", "score", "decision")
    assert labels.names == ("truth",)
    assert (inference.model, labels.version) == ("loan", "7")
    assert len({reference.fingerprint, inference.fingerprint, labels.fingerprint}) == 3
    assert inference.for_source("labels") is None
    assert inference.for_source("inference") is inference
    assert np.array_equal(inference.variation.tau2, reference.variation.tau2[: inference.scores.owner.size])


def test_the_file_is_deterministic_and_reads_back_to_the_same_verdicts():
    reference = build(model="loan", version="7", timestamps_ms=np.arange(ROWS) * 60_000)
    text = reference.to_json()
    again = Reference.from_json(text)
    assert (
        again.to_json()
        == text
        == build(model="loan", version="7", timestamps_ms=np.arange(ROWS) * 60_000).to_json()
    )
    assert again == reference
    assert json.loads(text)["format"] == "driftstream.reference/1"
    window = {name: values[:150] for name, values in COLUMNS.items()}
    assert Monitor(again).update(window) == Monitor(reference).update(window)


def test_rows_are_put_in_time_order():
    times = np.arange(ROWS) * 1000
    shuffled = RNG.permutation(ROWS)
    mixed = Reference.build(
        {name: values[shuffled] for name, values in COLUMNS.items()},
        window_rows=100,
        timestamps_ms=times[shuffled],
    )
    assert mixed.to_json() == Reference.build(COLUMNS, window_rows=100, timestamps_ms=times).to_json()


def test_lists_polars_and_numpy_columns_give_the_same_reference():
    plain = {"x": [1.5, None, 2.5, 3.0] * 50, "c": ["a", None, "b", "b"] * 50}
    as_polars = {name: pl.Series(values) for name, values in plain.items()}
    as_numpy = {"x": np.array(plain["x"], dtype=float), "c": np.array(plain["c"], dtype=object)}
    texts = {Reference.build(c, window_rows=10).to_json() for c in (plain, as_polars, as_numpy)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "no columns"),
        ({"x": [1.0]}, {}, "has 1 rows"),
        ({"x": [1.0, 2.0], "y": [1.0]}, {}, "column 'y' has 1 rows"),
        (
            {"when": np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")},
            {},
            "column 'when' has dtype",
        ),
        ({"tags": [["a"], ["b"]]}, {}, "column 'tags' holds list values"),
        ({"x": np.zeros((3, 2))}, {}, "one-dimensional"),
        ({"amount": [1.0, 2.0]}, {"label": "amont"}, "did you mean 'amount'"),
        ({"x": [1.0, 2.0]}, {"categorical": ("zip",)}, "no column 'zip': the columns are x"),
        ({"x": [1.0, 2.0]}, {"window_rows": 0}, "window_rows is 0"),
        ({"x": [1.0, 2.0]}, {"timestamps_ms": [1.0]}, "timestamps_ms must be 2 numbers"),
        ({"x": [1.0, 2.0]}, {"timestamps_ms": [1.0, float("nan")]}, "timestamps_ms must be 2 numbers"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(columns, options, message):
    with pytest.raises(BuildError, match=message) as caught:
        Reference.build(columns, **{"window_rows": 10, **options})
    assert "\n" not in str(caught.value)


def _edited(change) -> str:
    content = json.loads(build().to_json())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other/1"), r"\$\.format"),
        (lambda c: c.update(extra=1), "extra"),
        (lambda c: c.pop("rows"), "rows"),
        (lambda c: c.update(rows=1), "counts sum to"),
        (lambda c: c.update(columns=[]), "columns is empty"),
        (lambda c: c.update(chunks=0), "must be >= 1"),
        (lambda c: c["columns"][0].update(role="target"), r"\$\.columns\[0\]\.role"),
        (lambda c: c["columns"][0]["bins"].update(edges=[2, 1]), r"edges of 'age'"),
        (lambda c: c["columns"][0]["counts"].pop(), "counts must be"),
        (lambda c: c["columns"][0]["bins"].update(name="region"), "distinct"),
        (lambda c: c["columns"][0]["variation"]["tau2"].pop(), "equally long"),
        (lambda c: c["columns"][0]["variation"]["tau2"].__setitem__(0, -1.0), "must be >= 0"),
        (
            lambda c: [
                values.pop() for values in c["columns"][0]["variation"].values() if values and values != []
            ],
            "components",
        ),
        (
            lambda c: c["columns"][0]["variation"].update(seasons=[{"component": 0, "hours": [1.0]}]),
            "24 or 168 hours",
        ),
    ],
)
def test_a_broken_file_is_refused_with_the_field(change, message):
    with pytest.raises(FormatError, match=message) as caught:
        Reference.from_json(_edited(change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", b"\xff\xfe", "null"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(FormatError, match="reference: "):
        Reference.from_json(text)
