"""``driftstream replay``: the pipeline without services, against counts and verdicts made without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from detectors import Monitor, Reference
from stream.codec import Limits
from stream.errors import ConfigError
from stream.messages import Message
from stream.one_model import outbox
from stream.replay import ALERTS, METRICS, Replay
from stream.replay_intake import ReplaySpec, Totals
from stream.row_events import Record, RowTimes, Source, inference_events
from stream.row_labels import in_order_sent, label_events
from stream.rows import Roles, Table, read_rows
from stream.windows import WindowSpec
from tests.stream.loan_rows import T0, columns, every, loan_reference

SECOND_MS = 1_000
TUMBLING = WindowSpec(size_ms=10 * SECOND_MS, slide_ms=10 * SECOND_MS)
SPEC = ReplaySpec(windows=TUMBLING, out_of_orderness_ms=0, restate_ms=60 * SECOND_MS)
FEATURES = ("age", "region")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return loan_reference()


def table_of(tmp_path: Path, values: dict[str, list[Any]]) -> Table:
    path = tmp_path / "loans.parquet"
    pl.DataFrame(values).write_parquet(path)
    return read_rows(path)


def run(
    spec: ReplaySpec, reference: Reference, table: Table, ms: NDArray[np.int64], *, label: str | None = None
) -> tuple[list[Message], Totals]:
    roles, times = Roles(FEATURES, label=label), RowTimes(ms)
    sources: tuple[Source, ...] = ("inference",) if label is None else ("inference", "labels")
    pipeline = Replay(spec, reference, sources=sources)
    events = inference_events(table, roles, times, model="loans", version="v2")
    labels = label_events(table, roles, times, model="loans")
    return list(pipeline.run(in_order_sent(events, labels, times))), pipeline.totals


def records(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(m.value or b"") for m in messages if m.topic == METRICS]


def test_verdicts_are_those_of_a_monitor_on_the_raw_rows(tmp_path: Path, reference: Reference) -> None:
    values = {
        name: before + after
        for (name, before), after in zip(columns(1000).items(), columns(1000, shift=8).values(), strict=True)
    }
    table = table_of(tmp_path, values)
    found, totals = run(SPEC, reference, table, every(100, 2000))
    part = reference.for_source("inference")
    assert part is not None
    monitor = Monitor(part)
    expected = [
        monitor.update({name: values[name][i : i + 100] for name in FEATURES}) for i in range(0, 2000, 100)
    ]
    windows = records(found)
    assert [w["window_start_ms"] for w in windows] == [T0 + 10_000 * i for i in range(20)]
    assert [w["status"] for w in windows] == [verdict.status for verdict in expected]
    assert [w["status"] for w in windows[:10]] == ["ok"] * 10
    assert windows[10]["drifted"] == ["age"]
    for window, verdict in zip(windows, expected, strict=True):
        for feature in verdict.features:
            shown = window["features"][feature.name]
            assert (shown["effect"], shown["p_value"]) == (feature.effect, feature.p_value)
            assert (shown["psi"], shown["n"]) == (feature.psi, 100)
    assert totals.counted == 2000
    assert not totals.late
    assert not totals.rejected


def test_every_window_holds_the_rows_of_its_span(tmp_path: Path, reference: Reference) -> None:
    ms = np.sort(T0 + np.random.default_rng(1).integers(0, 600_000, 3000))
    spec = replace(SPEC, windows=WindowSpec(size_ms=30_000, slide_ms=10_000, grace_ms=5_000))
    found, _ = run(spec, reference, table_of(tmp_path, columns(3000)), ms)
    for window in records(found):
        span = (ms >= window["window_start_ms"]) & (ms < window["window_end_ms"])
        assert window["n"] == np.count_nonzero(span)
        assert window["window_end_ms"] - window["window_start_ms"] == 30_000
    assert len(records(found)) == len(np.unique(ms // 10_000)) + 2  # both ends hold part of a window


def disorder(n: int) -> NDArray[np.int64]:
    """Times mostly a little out of order, some far behind."""
    rng = np.random.default_rng(9)
    late = rng.choice([0, 4_000, 40_000, 400_000], n, p=[0.7, 0.2, 0.07, 0.03])
    return every(50, n) + 500_000 - late


@pytest.mark.parametrize("batch", [1, 7, 333, 5000])
@pytest.mark.parametrize("slide_ms", [10_000, 2_500])
def test_how_records_are_batched_changes_nothing(
    tmp_path: Path, reference: Reference, batch: int, slide_ms: int
) -> None:
    table, ms = table_of(tmp_path, columns(1500)), disorder(1500)
    spec = replace(
        SPEC,
        windows=WindowSpec(size_ms=10_000, slide_ms=slide_ms, grace_ms=1_300),
        out_of_orderness_ms=700,
        restate_ms=90_001,
    )
    whole, totals = run(replace(spec, batch=100_000), reference, table, ms, label="repaid")
    cut, cut_totals = run(replace(spec, batch=batch), reference, table, ms, label="repaid")
    assert cut == whole
    assert cut_totals == totals
    assert totals.late
    assert any(window["revision"] for window in records(whole))
    assert {window["source"] for window in records(whole)} == {"inference", "labels"}


def test_late_rows_restate_their_window_and_keep_its_verdict(tmp_path: Path, reference: Reference) -> None:
    ms = np.concatenate([every(100, 300), [T0 + 5_000]])
    found, totals = run(SPEC, reference, table_of(tmp_path, columns(301)), ms)
    first = [w for w in records(found) if w["window_start_ms"] == T0]
    assert [(w["n"], w["revision"], w["status"]) for w in first] == [(100, 0, "ok"), (101, 1, "ok")]
    assert totals.counted == 301


def test_rows_too_late_to_restate_are_counted_as_late(tmp_path: Path, reference: Reference) -> None:
    ms = np.concatenate([every(100, 3000), [T0]])
    found, totals = run(SPEC, reference, table_of(tmp_path, columns(3001)), ms)
    assert (totals.counted, totals.late) == (3000, 1)
    assert all(window["revision"] == 0 for window in records(found))


def test_the_wall_clock_has_no_say(tmp_path: Path, reference: Reference) -> None:
    past, _ = run(SPEC, reference, table_of(tmp_path, columns(300)), every(100, 300))
    future, totals = run(
        SPEC, reference, table_of(tmp_path, columns(300)), every(100, 300) + 5_000_000_000_000
    )
    assert [w["n"] for w in records(future)] == [w["n"] for w in records(past)] == [100, 100, 100]
    assert totals.counted == 300


def test_the_last_windows_close_as_the_stream_falls_idle(tmp_path: Path, reference: Reference) -> None:
    spec = replace(SPEC, windows=WindowSpec(size_ms=10_000, slide_ms=10_000, grace_ms=10_000))
    found, _ = run(spec, reference, table_of(tmp_path, columns(300)), every(100, 300))
    assert [w["closed_by"] for w in records(found)] == ["watermark", "idle", "idle"]


def test_many_windows_that_close_at_once_all_come_out(tmp_path: Path, reference: Reference) -> None:
    """Windows of 240 panes: a gap, and the end, close more of them than one look evaluates."""
    spec = replace(SPEC, windows=WindowSpec(size_ms=60_000, slide_ms=250), restate_ms=0)
    ms = np.concatenate([every(100, 300), every(100, 300) + 3_600_000])
    found, _ = run(spec, reference, table_of(tmp_path, columns(600)), ms)
    windows = records(found)
    assert len(windows) == 2 * (119 + 240)  # 119 panes have events
    for window in windows:
        span = (ms >= window["window_start_ms"]) & (ms < window["window_end_ms"])
        assert window["n"] == np.count_nonzero(span)


def test_windows_come_out_while_rows_go_in(tmp_path: Path, reference: Reference) -> None:
    taken = 0

    def counted() -> Iterator[tuple[Source, Record]]:
        nonlocal taken
        table, times = table_of(tmp_path, columns(1000)), RowTimes(every(100, 1000))
        for record in inference_events(table, Roles(FEATURES), times, model="loans", version="v2"):
            taken += 1
            yield "inference", record

    running = Replay(SPEC, reference).run(counted())
    first = next(running)
    assert json.loads(first.value or b"")["window_end_ms"] == T0 + 10_000
    assert taken == 101


def test_memory_is_that_of_the_windows_still_restated(tmp_path: Path, reference: Reference) -> None:
    pipeline = Replay(SPEC, reference)
    table, times = table_of(tmp_path, columns(3000)), RowTimes(every(1000, 3000))
    events = inference_events(table, Roles(FEATURES), times, model="loans", version="v2")
    for _ in pipeline.run(("inference", event) for event in events):
        assert len(pipeline._store.open_panes("inference", 1)) <= 9
        assert len(pipeline._store.undelivered("inference", 0)) <= 1  # trimmed by the next commit
    assert not outbox(pipeline._store, "loans")


def test_labels_are_a_series_of_their_own(tmp_path: Path, reference: Reference) -> None:
    found, totals = run(SPEC, reference, table_of(tmp_path, columns(400)), every(100, 400), label="repaid")
    labels = [window for window in records(found) if window["source"] == "labels"]
    assert [(w["n"], list(w["features"])) for w in labels] == [(100, ["repaid"])] * 4
    assert totals.counted == 800


def test_refused_rows_are_counted_by_reason(tmp_path: Path, reference: Reference) -> None:
    values = columns(300)
    values["region"][7] = "x" * 100
    found, totals = run(
        replace(SPEC, limits=Limits(string_bytes=50)), reference, table_of(tmp_path, values), every(100, 300)
    )
    assert totals.rejected == {"string_too_long": 1}
    assert [w["n"] for w in records(found)] == [99, 100, 100]


def test_one_change_gives_one_incident(tmp_path: Path, reference: Reference) -> None:
    values = columns(2000)
    values["age"][500:1000] = [value + 20 for value in values["age"][500:1000]]
    found, _ = run(SPEC, reference, table_of(tmp_path, values), every(100, 2000))
    alerts = [json.loads(m.value or b"") for m in found if m.topic == ALERTS]
    assert alerts[0]["status"] == "firing"
    assert alerts[-1]["status"] == "resolved"
    assert len({alert["fingerprint"] for alert in alerts}) == 1


def test_a_reference_without_a_name_cannot_be_replayed(reference: Reference) -> None:
    nameless = Reference.build(columns(400), window_rows=100)
    with pytest.raises(ConfigError, match="no model or no version"):
        Replay(SPEC, nameless)
    with pytest.raises(ConfigError, match="has no labels columns"):
        Replay(
            SPEC,
            Reference.build({"a": [1.0, 2.0] * 200}, window_rows=100, model="m", version="v"),
            sources=("labels",),
        )
