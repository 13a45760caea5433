"""Keys of ids, samples, and the grouping of transitions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from stream.errors import CorruptState
from stream.outcomes.fold import fold
from stream.outcomes.join import TRANSITION, Transitions, id_keys, is_sampled, no_transitions
from stream.outcomes.join_packing import block_span_ms, transitions_of

NAN = float("nan")
NO_LABEL = (False, NAN, 0, NAN)


def test_keys_are_keyed_blake2b_of_model_and_id() -> None:
    person = hashlib.blake2b(b"fraud", digest_size=16).digest()
    digest = hashlib.blake2b("ü-1".encode(), key=b"s", digest_size=8, person=person).digest()
    assert id_keys("fraud", ["ü-1"], b"s").tolist() == [int.from_bytes(digest, "little")]


def test_keys_differ_by_id_model_and_secret() -> None:
    keys = [
        *id_keys("m", ["a", "b"]).tolist(),
        *id_keys("n", ["a"]).tolist(),
        *id_keys("m", ["a"], b"other").tolist(),
    ]
    assert len(set(keys)) == 4
    assert id_keys("m", []).shape == (0,)
    assert id_keys("m", ["a"]).dtype == np.uint64


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_a_sample_has_its_rate_in_every_bucket(rate: float) -> None:
    keys = id_keys("m", [f"id-{i}" for i in range(20_000)])
    sampled = is_sampled(keys, rate)
    assert sampled.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 20_000))
    for bucket in range(4):
        in_bucket = sampled[keys % 4 == bucket]
        assert in_bucket.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / len(in_bucket)))


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    keys = id_keys("m", [f"id-{i}" for i in range(5000)])
    assert np.all(is_sampled(keys, 0.5)[is_sampled(keys, 0.2)])


def transitions(*rows: tuple[object, ...]) -> Transitions:
    return np.array(list(rows), dtype=TRANSITION)


def test_nothing_folds_to_nothing() -> None:
    assert fold(no_transitions(), 1000) == {}


def test_transitions_are_grouped_by_pane_and_stratum() -> None:
    rows = transitions(
        (2500, 1, 1.0, 0.9, *NO_LABEL, *NO_LABEL, True),
        (1999, 0, 0.0, 0.1, *NO_LABEL, True, 1.0, 2999, 7.0, True),
        (2000, 1, 1.0, 0.8, *NO_LABEL, True, 0.0, 2600, NAN, False),
        (2001, 1, 0.0, 0.2, True, 1.0, 2100, 3.0, True, 0.0, 2200, NAN, False),
    )
    folded = fold(rows, 1000)
    assert list(folded) == [(1000, 0), (2000, 1)]
    early = folded[1000, 0]
    assert (early.predictions, len(early.added), len(early.removed), len(early.silent)) == (1, 1, 0, 0)
    assert (early.added.value.tolist(), early.added.delay_ms.tolist()) == ([7.0], [1000])
    cell = folded[2000, 1]
    assert cell.predictions == 1
    assert sorted(cell.added.delay_ms.tolist()) == [199, 600]
    assert (cell.removed.label.tolist(), cell.removed.delay_ms.tolist()) == ([1.0], [99])
    assert cell.removed.value.tolist() == [3.0]
    assert cell.silent.tolist() == [[1.0, 0.9]]
    assert cell.answered.tolist() == [[1.0, 0.8]]


def test_a_correction_answers_no_silence() -> None:
    folded = fold(transitions((0, 0, 1.0, 0.5, True, 1.0, 1, NAN, True, 0.0, 2, NAN, False)), 10)
    assert (folded[0, 0].predictions, len(folded[0, 0].answered), len(folded[0, 0].silent)) == (0, 0, 0)


def test_a_piece_of_something_else_is_refused() -> None:
    with pytest.raises(CorruptState, match="join journal"):
        transitions_of(b"DSJ1" + b"0" * 40)


@pytest.mark.parametrize("horizon_ms", [0, -1, 10**12])
def test_horizons_out_of_range_are_refused(horizon_ms: int) -> None:
    with pytest.raises(ValueError, match="label horizon"):
        block_span_ms(horizon_ms)
