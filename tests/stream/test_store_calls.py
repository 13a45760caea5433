"""The bytes of a commit: what redis-py would have sent of the same arguments."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import CompactCounts, Counts, GrowingCounts, Reference
from stream import store_calls
from stream.gaps import Gap, to_text
from stream.keys import PaneKey, PartitionKeys
from stream.messages import Message
from stream.panes import Pane
from stream.redis_wire import WireScript, bulks
from stream.store import PartitionCommit
from stream.store_calls import PANE_TTL_MS, PANES_AT_ONCE, CommitCall, pane_arguments

KEYS = PartitionKeys("ds", "events", 3)
MESSAGE = Message("panes", b"k", b"v", partition=0)
REFERENCE = Reference.build(
    {"x": [float(i) for i in range(600)], "y": [float(i % 7) for i in range(600)]}, window_rows=50, pairs=True
)


def arguments(data: bytes) -> list[bytes]:
    """Read a command as Redis does."""
    found, at = [], data.index(b"\r\n") + 2
    while at < len(data):
        end = data.index(b"\r\n", at)
        assert data[at : at + 1] == b"$"
        first, size = end + 2, int(data[at + 1 : end])
        found.append(data[first : first + size])
        assert data[first + size : first + size + 2] == b"\r\n"
        at = first + size + 2
    assert data.startswith(b"*%d\r\n" % len(found))
    return found


def counts_of(kind: str, rows: int) -> GrowingCounts:
    if kind == "numpy":
        return Counts(np.array([[rows, 0], [0, rows]]), np.array([3 * rows]))
    counts = REFERENCE.no_counts()
    columns = {"x": np.arange(rows, dtype=float), "y": np.ones(rows)}
    REFERENCE.count_into([counts], columns, np.zeros(rows, np.intp))
    return counts


def panes(kinds: list[str], n: int) -> dict[PaneKey, Pane]:
    return {
        PaneKey('m"ü', f"v{i}", 60_000 * i, "f"): Pane(counts_of(kinds[i % len(kinds)], i), i, 10**12 + i)
        for i in range(n)
    }


@pytest.mark.parametrize("kinds", [["numpy"], ["compact"], ["compact", "compact", "numpy"]])
@pytest.mark.parametrize("n", [0, 1, PANES_AT_ONCE, 2 * PANES_AT_ONCE + 1])
def test_a_commit_is_its_arguments(kinds: list[str], n: int) -> None:
    held = panes(kinds, n)
    commit = PartitionCommit(
        epoch=4,
        expected_offset=None,
        offset=70,
        watermark_ms=-5,
        idle_beat=1,
        panes=held,
        messages=[(8, MESSAGE), (9, MESSAGE)],
        gaps=[Gap(3, 4, 5)],
        totals={"events": 7},
        unknown={'["x","1"]': 2},
    )
    call = CommitCall(bulks(["EVALSHA", "sha", 4, *"abcd"]), KEYS.pane_stem, commit, 1000)
    expected = [b"EVALSHA", b"sha", b"4", b"a", b"b", b"c", b"d"]
    expected += [b"4", b"", b"70", b"-5", b"1", b"", b"%d" % PANE_TTL_MS, b"1000", to_text([Gap(3, 4, 5)])]
    expected += [KEYS.pane_stem.encode(), b"%d" % n]
    for key, pane in held.items():
        expected += [pane.to_bytes(), key.member(), b"%d" % key.start_ms]
    expected += [b"2", b"8", MESSAGE.to_bytes(), b"9", MESSAGE.to_bytes()]
    expected += [b"1", b"events", b"7", b"1", b'["x","1"]', b"2"]
    for _ in range(2):  # it can be sent again
        assert arguments(b"".join(call)) == expected


def test_panes_are_packed_alike_with_and_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(REFERENCE.no_counts(), CompactCounts):
        pytest.skip("the compiled package is not installed")
    held = [(pane, b"\r\nbehind") for pane in panes(["compact"], 300).values()]
    compiled = pane_arguments(held)
    monkeypatch.setattr(store_calls, "bulk_panes", None)
    assert pane_arguments(held) == compiled


def test_the_count_of_a_call_is_of_all_its_parts() -> None:
    start = bulks(["EVALSHA", "sha", 2, "a", "b"])
    assert len(arguments(WireScript.count(2, 1) + start + bulks([b"x"]))) == 6
