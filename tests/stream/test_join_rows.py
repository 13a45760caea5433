"""Rows of many models in the order of their models, whatever parts they came in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.outcomes.join import Labels, Predictions
from stream.outcomes.join_rows import JoinRows
from stream.outcomes.model_rows import ModelRows

NAMES = ("a", "b", "c", "d")
PARTS = st.lists(
    st.tuples(st.permutations(NAMES), st.lists(st.integers(0, 3), min_size=1, max_size=9)), max_size=5
)


def predictions(first: int, n: int) -> Predictions:
    key = np.arange(first, first + n, dtype=np.uint64)
    numbers = key.astype(np.float64)
    return Predictions(key, key.astype(np.int64), key.astype(np.uint16), numbers, -numbers)


def labels(first: int, n: int) -> Labels:
    rows = predictions(first, n)
    return Labels(rows.key, rows.ts_ms, rows.prediction, rows.key % 2 == 0, rows.score)


@given(PARTS, PARTS)
def test_rows_keep_their_order_model_by_model(
    predicted: list[tuple[list[str], list[int]]], labelled: list[tuple[list[str], list[int]]]
) -> None:
    rows, expected = JoinRows(), ({}, {})
    for kind, (parts, make) in enumerate(((predicted, predictions), (labelled, labels))):
        first = 0
        for names, at in parts:
            rows.append(tuple(names), np.array(at), make(first, len(at)))
            for key, place in enumerate(at, first):
                expected[kind].setdefault(names[place], []).append(key)
            first += len(at)
    assert rows.models == sorted({*expected[0], *expected[1]})
    assert rows.labelled == sorted(expected[1])
    ordered, ends = rows.ordered(rows.models)
    bounds = zip(rows.models, [0, *ends], ends, strict=False)
    found = {model: ordered.key[first:last].tolist() for model, first, last in bounds}
    assert found == {model: expected[0].get(model, []) for model in rows.models}
    assert ordered.score.tolist() == [-key for key in ordered.key.tolist()]
    for by_model, keys in ((rows.predictions(), expected[0]), (rows.labels(), expected[1])):
        assert {model: part.key.tolist() for model, part in by_model.items()} == keys


def test_some_models_of_many_keep_their_rows() -> None:
    strata = [{"s": 0}, {}, {"s": 3}]
    rows = ModelRows(["a", "b", "c"], [1, 2, 3], predictions(0, 9), [4, 4, 9], {"b": labels(0, 2)}, strata)
    some = rows.of({"b", "c"})
    assert (some.models, some.horizons_ms, some.ends) == (["b", "c"], [2, 3], [0, 5])
    assert some.predictions.key.tolist() == [4, 5, 6, 7, 8]
    assert (list(some.labels), some.strata) == (["b"], strata[1:])
    none = rows.of(set())
    assert (none.models, len(none.predictions), none.labels) == ([], 0, {})
