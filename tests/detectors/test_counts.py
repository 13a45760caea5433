from __future__ import annotations

import numpy as np
import pytest

from detectors import CorruptBytes, Counts, MismatchError, NewerBytes, Reference
from detectors.framing import frame, unframe

RNG = np.random.default_rng(11)
COLUMNS = {"x": RNG.normal(size=3000), "c": RNG.choice(list("abc"), 3000)}
REFERENCE = Reference.build(COLUMNS, window_rows=100)


def part(start: int, stop: int) -> Counts:
    return REFERENCE.count({name: values[start:stop] for name, values in COLUMNS.items()})


def test_merge_equals_counting_both():
    whole = part(0, 3000)
    assert part(0, 1234) + part(1234, 3000) == whole
    assert part(1234, 3000) + part(0, 1234) == whole
    assert (part(0, 10) + part(10, 20)) + part(20, 3000) == part(0, 10) + (part(10, 20) + part(20, 3000))


def test_counts_are_the_same_however_the_batches_are_cut():
    whole = part(0, 3000).to_bytes()
    for size in (1, 7, 250, 2999):
        total = Counts.empty(REFERENCE.binning)
        for start in range(0, 3000, size):
            total.update(
                REFERENCE.binning,
                REFERENCE.binning.encode({k: v[start : start + size] for k, v in COLUMNS.items()}),
            )
        assert total.to_bytes() == whole


def test_the_sum_shares_nothing_with_its_parts():
    a, b = part(0, 10), part(10, 20)
    total = a + b
    total.cells[:] = 0
    assert (a.n, a.cells.sum()) == (10, 20)
    cells = np.ones((2, 3), dtype=np.int64)
    counts = Counts(cells)
    cells[0, 0] = 99
    assert counts.n == 3


def test_counts_of_another_shape_do_not_join():
    with pytest.raises(MismatchError, match="another reference"):
        part(0, 10).merge(Counts(np.ones((1, 3))))


@pytest.mark.parametrize("cells", [[[1, 2], [3, 1]], [[-1, 4], [3, 0]], [1, 2]])
def test_impossible_counts_are_refused(cells):
    with pytest.raises(ValueError, match=r"same number of rows|two-dimensional"):
        Counts(cells)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 65_535, 65_536, 2**32, 2**62])
def test_bytes_round_trip_at_every_width(rows):
    counts = Counts([[rows, 0, 0], [0, rows, 0]])
    again = Counts.from_bytes(counts.to_bytes())
    assert again == counts
    assert again.n == rows
    again.merge(Counts([[1, 0, 0], [1, 0, 0]]))  # writable


def test_any_changed_byte_is_noticed():
    data = part(0, 200).to_bytes()
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x40
        with pytest.raises(CorruptBytes):
            Counts.from_bytes(bytes(broken))


@pytest.mark.parametrize("cut", [0, 3, 17, 30, -1])
def test_cut_bytes_are_noticed(cut):
    with pytest.raises(CorruptBytes):
        Counts.from_bytes(part(0, 200).to_bytes()[:cut])


def test_well_framed_nonsense_is_noticed():
    payload = unframe(b"DSCT", 1, Counts([[1, 2]]).to_bytes())
    wrong_rows = b"\x09" + payload[1:]
    with pytest.raises(CorruptBytes, match="header says"):
        Counts.from_bytes(frame(b"DSCT", 1, wrong_rows))
    for wrong in (b"", payload[:-1], payload[:-3] + b"\x03" + payload[-2:]):
        with pytest.raises(CorruptBytes):
            Counts.from_bytes(frame(b"DSCT", 1, wrong))
    with pytest.raises(NewerBytes, match="version 3"):
        Counts.from_bytes(frame(b"DSCT", 3, payload))
    for version in (0, 99):
        with pytest.raises(CorruptBytes, match="version"):
            Counts.from_bytes(frame(b"DSCT", version, payload))
    with pytest.raises(CorruptBytes, match="magic"):
        Counts.from_bytes(frame(b"DSMN", 1, payload))
