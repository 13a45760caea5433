from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pane_rows import BatchRows, GroupedRows, group_rows

MAX_MS = 2**53


def rows_of(rows: list[tuple[int, int, int]], slides: list[int]) -> BatchRows:
    """Rows given as (block, partition, event time), sorted by block."""
    block, at, ts_ms = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    ends = np.searchsorted(block, np.arange(len(slides)), side="right")
    each = slides if len(set(slides)) > 1 else slides[:1]
    return BatchRows(block, at, ts_ms, np.array(each, dtype=np.int64), ends)


def starts_ms(groups: GroupedRows) -> list[int]:
    """Start of the pane of each group."""
    return [groups.panes[pane][1] for pane in groups.pane]


def test_rows_group_by_partition_and_pane() -> None:
    rows = rows_of([(0, 0, 5), (0, 1, 15), (0, 0, 7), (0, 1, 3), (0, 0, 12)], [10])
    groups = group_rows(rows, None, partitions=2)
    named = list(zip(groups.partitions, starts_ms(groups), strict=True))
    assert [named[g] for g in groups.group.tolist()] == [(0, 0), (1, 10), (0, 0), (1, 0), (0, 10)]
    assert dict(zip(named, zip(groups.oldest_ms, groups.newest_ms, strict=True), strict=True)) == {
        (0, 0): (5, 7),
        (1, 0): (3, 3),
        (0, 10): (12, 12),
        (1, 10): (15, 15),
    }


@pytest.mark.parametrize("latest_ms", [300, 10**6, MAX_MS])
@given(data=st.data())
def test_every_kept_row_is_in_the_group_of_its_block_pane_and_partition(
    data: st.DataObject, latest_ms: int
) -> None:
    slides = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=4))
    row = st.tuples(
        st.integers(0, len(slides) - 1), st.integers(0, 2), st.integers(0, latest_ms), st.booleans()
    )
    drawn = sorted(data.draw(st.lists(row, min_size=1, max_size=20)), key=lambda each: each[0])
    kept = np.array([each[3] for each in drawn])
    kept[0] = True
    groups = group_rows(rows_of([each[:3] for each in drawn], slides), kept, partitions=3)
    assert (groups.group == -1).tolist() == (~kept).tolist()
    members: dict[tuple[int, int, int], list[int]] = {}
    for (block, at, ts_ms, _), group in zip(drawn, groups.group.tolist(), strict=True):
        if group >= 0:
            index = groups.bounds[block] + group
            assert index < groups.bounds[block + 1]
            start_ms = ts_ms - ts_ms % slides[block]
            assert groups.partitions[index] == at
            assert groups.panes[groups.pane[index]] == (block, start_ms)
            members.setdefault((block, at, start_ms), []).append(ts_ms)
    assert len(members) == len(groups.pane) == groups.bounds[-1]
    assert len(set(groups.panes)) == len(groups.panes) == len({(block, ms) for block, _, ms in members})
    assert sorted(map(min, members.values())) == sorted(groups.oldest_ms)
    assert sorted(map(max, members.values())) == sorted(groups.newest_ms)
