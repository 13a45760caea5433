from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import CorruptBytes, MismatchError, Outcomes, PerformanceCounts, PerformanceSpec
from detectors.framing import frame, unframe
from detectors.performance.whole_numbers import pack_counts, unpack_counts

SPECS = {
    "binary": PerformanceSpec("binary"),
    "multiclass": PerformanceSpec("multiclass", classes=("a", "b", "c", "d")),
    "regression": PerformanceSpec("regression"),
    "ranking": PerformanceSpec("ranking", k=(3, 1)),
}
VALUES = {
    "prediction": [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, float("nan"), 1e200, -3.25e-7],
    "score": [0.0, 1.0, 0.5, 0.1, 1 / 3, 1e-300, 1 - 1e-12, float("nan"), 2.0, 0.3, 0.7],
    "label": [0.0, 1.0, 2.0, 3.0, 4.0, float("nan"), 17.0, 1e-3],
}
ROWS = st.lists(st.tuples(*(st.sampled_from(values) for values in VALUES.values())), max_size=30)
tasks = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def outcomes(rows) -> Outcomes:
    return Outcomes(*np.array(rows, dtype=np.float64).reshape(-1, 3).T)


def counted(spec, rows) -> PerformanceCounts:
    counts = PerformanceCounts.empty(spec)
    counts.add(outcomes(rows))
    return counts


@tasks
@given(rows=ROWS, random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_those_of_the_outcomes_whatever_the_order_and_the_cuts(spec, rows, random):
    shuffled = random.sample(rows, len(rows))
    total = PerformanceCounts.empty(spec)
    while shuffled:
        cut = random.randint(1, len(shuffled))
        part, shuffled = shuffled[:cut], shuffled[cut:]
        if random.random() < 0.5:
            total.add(outcomes(part))
        else:
            total.merge(counted(spec, part))
    assert total.to_bytes() == counted(spec, rows).to_bytes()


@tasks
@given(kept=ROWS, gone=ROWS, random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_what_is_taken_out_leaves_nothing_behind_even_if_taken_out_first(spec, kept, gone, random):
    steps = [(1, row) for row in kept + gone] + [(-1, row) for row in gone]
    random.shuffle(steps)
    total = PerformanceCounts.empty(spec)
    for sign, row in steps:
        total.add(outcomes([row]), sign=sign)
        if random.random() < 0.1:
            total = PerformanceCounts.from_bytes(total.to_bytes(), spec)
            total.metrics()
            total.standard_errors()
    assert total.to_bytes() == counted(spec, kept).to_bytes()
    total.merge(counted(spec, kept), sign=-1)
    assert total == PerformanceCounts.empty(spec)


@tasks
@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_bytes_give_the_counts_back(spec, rows):
    counts = counted(spec, rows)
    again = PerformanceCounts.from_bytes(counts.to_bytes(), spec)
    assert again == counts
    assert again.metrics() == counts.metrics()
    again.add(outcomes(rows))  # writable
    assert again.n == 2 * counts.n


@given(
    st.lists(
        st.one_of(st.just(0), st.integers(-3, 3), st.sampled_from([127, 128, 16_384, -(2**40), 2**61])),
        min_size=1,
    )
)
def test_counts_of_any_width_are_packed_without_loss(numbers):
    counts = np.array(numbers)
    data = pack_counts(counts)
    assert np.array_equal(unpack_counts(data, counts.size), counts)
    for wrong, size in ((data[:-1], counts.size), (data, counts.size + 1), (b"", 1), (b"\x02\x01", 1)):
        with pytest.raises(CorruptBytes):
            unpack_counts(wrong, size)


def many(n: int, seed: int = 1) -> Outcomes:
    rng = np.random.default_rng(seed)
    score = rng.beta(2.0, 5.0, n)
    return Outcomes(np.full(n, np.nan), score, (rng.random(n) < score).astype(float))


@pytest.mark.parametrize("n", [1_000, 10_000])
def test_a_pane_of_a_binary_model_takes_less_than_two_kilobytes(n):
    counts = PerformanceCounts.empty(SPECS["binary"])
    counts.add(many(n))
    assert len(counts.to_bytes()) < 2_000
    counts.add(many(1_000_000, seed=2))
    assert len(counts.to_bytes()) < 6_000


@pytest.mark.parametrize("seed", [1, 2])
def test_all_probabilities_of_many_classes_are_counted_in_any_order_too(seed):
    rng = np.random.default_rng(seed)
    spec = SPECS["multiclass"]
    given = Outcomes(
        np.where(rng.random(500) < 0.5, np.nan, rng.integers(0, 5, 500)),
        rng.dirichlet(np.ones(4), 500),
        rng.integers(0, 5, 500).astype(float),
    )
    whole, total = PerformanceCounts.empty(spec), PerformanceCounts.empty(spec)
    whole.add(given)
    for part in np.array_split(rng.permutation(500), 23):
        total.add(Outcomes(*(values[part] for values in given)))
    total.add(given)
    total.merge(whole, sign=-1)
    assert total.to_bytes() == whole.to_bytes()


def test_the_second_class_is_the_positive_one_unless_said():
    assert PerformanceSpec("binary") == PerformanceSpec("binary", classes=("0", "1"), positive="1")
    assert PerformanceSpec("binary", positive="0").positive_code == 0


def test_counts_share_nothing_with_their_copies_and_parts():
    counts = counted(SPECS["binary"], [(1.0, 0.9, 1.0)])
    total = counts.copy()
    total.merge(counts)
    assert (counts.n, total.n) == (1, 2)


def test_counts_of_another_spec_do_not_join():
    counts = PerformanceCounts.empty(SPECS["binary"])
    other = PerformanceSpec("binary", classes=("1", "0"))
    with pytest.raises(MismatchError, match="cannot join"):
        counts.merge(PerformanceCounts.empty(other))
    with pytest.raises(MismatchError, match="use the spec"):
        PerformanceCounts.from_bytes(counts.to_bytes(), other)
    assert counts != PerformanceCounts.empty(other)


@tasks
def test_any_changed_byte_is_noticed(spec):
    data = counted(spec, [(1.0, 0.9, 1.0), (0.0, 0.4, 1.0)]).to_bytes()
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x40
        with pytest.raises(CorruptBytes):
            PerformanceCounts.from_bytes(bytes(broken), spec)
        with pytest.raises(CorruptBytes):
            PerformanceCounts.from_bytes(data[:position], spec)


@tasks
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_well_framed_nonsense_is_counts_or_noticed(spec, data):
    payload = bytearray(unframe(b"DSPF", 1, counted(spec, [(1.0, 0.9, 1.0), (0.0, 0.4, 1.0)]).to_bytes()))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        counts = PerformanceCounts.from_bytes(frame(b"DSPF", 1, bytes(payload)), spec)
    except (CorruptBytes, MismatchError):
        return
    assert PerformanceCounts.from_bytes(counts.to_bytes(), spec) == counts


def test_arrays_of_different_lengths_and_odd_signs_are_refused():
    counts = PerformanceCounts.empty(SPECS["binary"])
    with pytest.raises(ValueError, match="one of each per outcome"):
        counts.add(Outcomes(np.zeros(2), np.zeros(2), np.zeros(3)))
    with pytest.raises(ValueError, match="sign is 2"):
        counts.add(Outcomes(np.zeros(2), np.zeros(2), np.zeros(2)), sign=2)
    with pytest.raises(ValueError, match="one per outcome"):
        counts.add(Outcomes(np.zeros(2), np.zeros((2, 2)), np.zeros(2)))
    assert counts == PerformanceCounts.empty(SPECS["binary"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "binary", "classes": ("a",)}, "two classes"),
        ({"task": "binary", "classes": ("a", "a")}, "name one twice"),
        ({"task": "binary", "positive": "yes"}, "positive is 'yes'"),
        ({"task": "multiclass"}, "2 to 200 classes"),
        ({"task": "multiclass", "classes": tuple(map(str, range(201)))}, "not 201"),
        ({"task": "regression", "classes": ("a", "b")}, "no classes"),
        ({"task": "ranking", "k": ()}, "lengths from 1"),
        ({"task": "ranking", "k": (0,)}, "lengths from 1"),
        ({"task": "ranking", "k": (5, 5)}, "different lengths"),
    ],
)
def test_a_spec_that_does_not_fit_together_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PerformanceSpec(**wrong)
