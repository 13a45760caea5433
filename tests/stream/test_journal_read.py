"""Journals in pieces of several layouts: read together, in their order, without what is damaged."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from stream.outcomes.journal_read import JournalRead

NAN = float("nan")


def piece(block_ms: float, rows: list[tuple[int, float | None]]) -> bytes:
    """New predictions as ``join.lua`` writes them: ms into the block, all with a score or all without."""
    scored = rows[0][1] is not None
    body = struct.pack(">dBBBB", block_ms, 16 if scored else 8, 0, 0, 1)
    for offset, score in rows:
        body += struct.pack("<IHH", offset, 3, 1) + (b"" if score is None else struct.pack("<d", score))
    return b"DSJ1" + hashlib.sha1(body, usedforsecurity=False).hexdigest()[:8].encode() + body


PIECES = [
    piece(1_000, [(1, 0.5), (2, 0.25)]),
    piece(1_000, [(3, None)]),
    piece(1_000, [(4, 0.75)]),
    piece(9_000, [(5, 0.125)]),
    piece(1_000, [(6, None)]),
]


def test_pieces_of_several_layouts_stay_in_their_order() -> None:
    read = JournalRead("m", limit=100)
    read.take(7, PIECES, 5, still=7)
    journal = read.journal()
    assert journal.transitions["ts_ms"].tolist() == [1_001, 1_002, 1_003, 1_004, 9_005, 1_006]
    np.testing.assert_array_equal(journal.transitions["score"], [0.5, 0.25, NAN, 0.75, 0.125, NAN])
    assert (journal.base, journal.upto, journal.more, read.over) == (7, 12, False, True)


def test_no_more_pieces_once_there_are_rows_enough() -> None:
    read = JournalRead("m", limit=3)
    read.take(0, PIECES[:2], 5, still=0)
    assert read.over
    journal = read.journal()
    assert (len(journal.transitions), journal.upto, journal.more) == (3, 2, True)


def test_a_piece_that_is_cut_or_of_no_layout_is_left_out() -> None:
    cut = PIECES[0][12:-1]
    cut = b"DSJ1" + hashlib.sha1(cut, usedforsecurity=False).hexdigest()[:8].encode() + cut
    strange = struct.pack(">dBBBB", 1_000, 5, 0, 0, 1) + bytes(10)
    strange = b"DSJ1" + hashlib.sha1(strange, usedforsecurity=False).hexdigest()[:8].encode() + strange
    read = JournalRead("m", limit=100)
    read.take(0, [PIECES[0][:-1] + b"x", cut, strange, b"", PIECES[2]], 5, still=0)
    journal = read.journal()
    assert journal.transitions["ts_ms"].tolist() == [1_004]
    assert journal.upto == 5


def test_a_journal_trimmed_meanwhile_is_read_no_further() -> None:
    read = JournalRead("m", limit=100)
    read.take(0, [], 5, still=2)
    assert not read.over  # nothing was read yet: again
    read.take(2, PIECES[:2], 3, still=2)
    assert not read.over
    read.take(3, PIECES[2:3], 2, still=3)
    assert read.over
    journal = read.journal()
    assert (journal.base, journal.upto, len(journal.transitions)) == (2, 4, 3)
