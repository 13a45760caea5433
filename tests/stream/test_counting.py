from __future__ import annotations

import numpy as np
import pytest

from detectors import Reference
from stream.codec import JsonInferenceDecoder, JsonLabelDecoder
from stream.counting import BatchCounter, Counted
from stream.keys import PaneKey
from stream.windows import WindowSpec

SPEC = WindowSpec(size_ms=20_000, slide_ms=10_000, grace_ms=5_000)
T0 = 1_760_000_000_000
NOW = T0 + 3_600_000


@pytest.fixture(scope="module")
def reference() -> Reference:
    ages = np.random.default_rng(5).normal(40, 10, 2000)
    return Reference.build({"age": ages}, window_rows=100, model="m", version="v1")


def count(
    reference: Reference,
    rows: list[tuple[int, int]],
    watermarks: list[int | None],
    *,
    model: str = "m",
    extra: list[bytes] | None = None,
) -> Counted:
    """Count events given as (partition, event time)."""
    decoder = JsonInferenceDecoder({("m", "v1"): reference})
    values: list[bytes | None] = [
        b'{"prediction_id":"%d","model":"%b","ts":%d,"features":{"age":41}}' % (i, model.encode(), ts)
        for i, (_, ts) in enumerate(rows)
    ]
    partition = [p for p, _ in rows] + [0] * len(extra or [])
    values += extra or []
    batch = decoder.decode(values, [NOW] * len(values))
    counter = BatchCounter({("m", "v1"): reference}, {"m": SPEC}, restate_ms=60_000)
    return counter.count(batch, np.array(partition), watermarks, newest_ms=NOW)


def test_events_land_in_the_pane_of_their_partition_and_time(reference: Reference) -> None:
    counted = count(reference, [(0, T0), (1, T0 + 10_000), (0, T0 + 9_999), (0, T0 + 10_000)], [None, None])
    key = PaneKey("m", "v1", T0, reference.fingerprint)
    later = PaneKey("m", "v1", T0 + 10_000, reference.fingerprint)
    assert {k: p.counts.n for k, p in counted.deltas[0].panes.items()} == {key: 2, later: 1}
    assert {k: p.counts.n for k, p in counted.deltas[1].panes.items()} == {later: 1}
    held = counted.deltas[0].panes[key]
    assert (held.min_ts_ms, held.max_ts_ms) == (T0, T0 + 9_999)
    assert counted.deltas[0].totals["events"] == 3
    assert [delta.max_ts_ms for delta in counted.deltas] == [T0 + 10_000, T0 + 10_000]


def test_an_event_from_the_future_is_refused_and_moves_no_watermark(reference: Reference) -> None:
    counted = count(reference, [(0, T0), (0, NOW + 1)], [None])
    assert [(row.row, row.reason) for row in counted.rejected] == [(1, "future_timestamp")]
    assert counted.deltas[0].max_ts_ms == T0
    assert counted.deltas[0].totals == {"events": 1, "rejected": 1}


def test_an_event_past_the_restatement_horizon_is_counted_as_late_only(reference: Reference) -> None:
    gone_at = SPEC.too_late_at(T0, 60_000)
    counted = count(reference, [(0, T0), (1, T0)], [gone_at, gone_at - 1])
    assert counted.deltas[0].panes == {}
    assert counted.deltas[0].totals == {"late": 1}
    assert counted.deltas[1].totals == {"events": 1}


def test_unknown_models_are_counted_by_name(reference: Reference) -> None:
    counted = count(reference, [(0, T0), (1, T0), (1, T0)], [None, None], model="other")
    assert [dict(delta.unknown) for delta in counted.deltas] == [{'["other",""]': 1}, {'["other",""]': 2}]


def test_an_unknown_event_from_the_future_is_refused_only(reference: Reference) -> None:
    counted = count(reference, [(0, T0), (0, NOW + 1)], [None], model="other")
    assert counted.deltas[0].totals == {"unknown": 1, "rejected": 1}


def test_labels_that_no_reference_monitors_are_counted(reference: Reference) -> None:
    decoder = JsonLabelDecoder({("m", "v1"): reference})
    values = [b'{"prediction_id":"1","model":"m","label":1,"ts":%d}' % T0] * 3
    batch = decoder.decode(values, [T0] * 3)
    counted = BatchCounter({}, {}, restate_ms=0).count(
        batch, np.array([0, 1, 1]), [None, None], newest_ms=NOW
    )
    assert [dict(delta.totals) for delta in counted.deltas] == [{"unmonitored": 1}, {"unmonitored": 2}]


def test_every_row_is_accounted_for(reference: Reference) -> None:
    rows = [(i % 3, T0 + i * 777) for i in range(500)] + [(0, NOW + 5)]
    counted = count(reference, rows, [None, None, None], extra=[b"{", b"", b"[]"])
    totals = sum((delta.totals for delta in counted.deltas), start=counted.deltas[0].totals.__class__())
    assert totals == {"events": 500, "rejected": 4}


def test_cutting_the_batch_differently_changes_no_count(reference: Reference) -> None:
    rows = [(i % 2, T0 + i * 313) for i in range(400)]
    whole = count(reference, rows, [None, None])
    parts = [count(reference, rows[i : i + 77], [None, None]) for i in range(0, 400, 77)]
    for partition in (0, 1):
        merged: dict[PaneKey, int] = {}
        for part in parts:
            for key, pane in part.deltas[partition].panes.items():
                merged[key] = merged.get(key, 0) + pane.counts.n
        assert merged == {k: p.counts.n for k, p in whole.deltas[partition].panes.items()}
