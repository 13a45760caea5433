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
from typer.testing import CliRunner, Result

from detectors import Monitor, Reference
from stream.cli import app, main
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

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
INSECTS = SHARED / "insects_gradual_balanced.parquet"
T0 = 1_700_000_000_000
SECOND_MS = 1_000
TUMBLING = WindowSpec(size_ms=10 * SECOND_MS, slide_ms=10 * SECOND_MS)
SPEC = ReplaySpec(windows=TUMBLING, out_of_orderness_ms=0, restate_ms=60 * SECOND_MS)
FEATURES = ("age", "region")


def columns(n: int, *, shift: float = 0.0, seed: int = 3) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "age": (rng.normal(40 + shift, 10, n)).tolist(),
        "region": rng.choice(["north", "south"], n).tolist(),
        "repaid": rng.choice(["yes", "no"], n).tolist(),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.build(columns(4000), window_rows=100, label="repaid", model="loans", version="v2")


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


def every(step_ms: int, n: int) -> NDArray[np.int64]:
    return T0 + step_ms * np.arange(n, dtype=np.int64)


# ---- the pipeline


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


# ---- the command


@pytest.fixture
def files(tmp_path: Path, reference: Reference) -> tuple[Path, Path]:
    """3,000 rows, ten a second, the last 1,000 shifted; and their reference, without the label."""
    values = columns(3000)
    values["age"][2000:] = [value + 15 for value in values["age"][2000:]]
    values["at"] = every(100, 3000).tolist()
    data, stored = tmp_path / "loans.parquet", tmp_path / "ref.json"
    pl.DataFrame(values).write_parquet(data)
    part = reference.for_source("inference")
    assert part is not None
    stored.write_text(part.to_json())
    return data, stored


def replay(files: tuple[Path, Path], *options: str | Path) -> Result:
    arguments = ["replay", files[0], "--reference", files[1], *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


TIMED = ("--rate", "10", "--window", "10s")
JSON = ("--output", "json")


def test_json_is_one_window_a_line(files: tuple[Path, Path]) -> None:
    result = replay(files, *TIMED, *JSON, "--rows", "0:1000,2000:3000")
    assert result.exit_code == 0, result.output
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [w["n"] for w in windows] == [100] * 20
    assert windows[0]["window_start_ms"] == 1_577_836_800_000
    assert [w["status"] for w in windows[:10]] == ["ok"] * 10
    assert windows[10]["status"] == "drift"
    assert set(windows[10]["features"]["age"]) >= {"effect", "p_value", "psi", "ks", "drifted"}
    assert {"model", "version", "window_end_ms", "drifted", "source", "closed_by"} <= windows[0].keys()
    assert replay(files, *TIMED, *JSON, "--rows", "0:1000,2000:3000").stdout == result.stdout


def test_the_column_of_times_decides_where_given(files: tuple[Path, Path]) -> None:
    result = replay(files, "--timestamp", "at", "--window", "20s", "--slide", "10s", *JSON)
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    assert windows[0]["window_end_ms"] == T0 + 10_000
    assert [w["n"] for w in windows] == [100] + [200] * 29 + [100]


def test_start_says_when_the_first_row_happened(files: tuple[Path, Path]) -> None:
    result = replay(files, *TIMED, *JSON, "--rows", "0:100", "--start", "2024-02-29T12:00:00+02:00")
    assert json.loads(result.stdout)["window_start_ms"] == 1_709_200_800_000


def test_fail_on_drift_exits_with_1_on_drift_only(files: tuple[Path, Path]) -> None:
    assert replay(files, *TIMED, "--fail-on-drift").exit_code == 1
    assert replay(files, *TIMED, "--fail-on-drift", "--rows", "0:2000").exit_code == 0
    assert replay(files, *TIMED).exit_code == 0


def test_text_is_a_line_a_window_then_the_alerts_and_a_summary(files: tuple[Path, Path]) -> None:
    lines = replay(files, *TIMED).stdout.splitlines()
    assert lines[0] == "2020-01-01T00:00:00Z       100  ok"
    assert lines[20] == "2020-01-01T00:03:20Z       100  drift            age"
    assert lines[21] == "  firing ticket data_drift: loans v2: the distribution of input features moved (age)"
    assert lines[-1] == (
        "3000 events in 30 windows: 10 drift, 20 ok; first drift in the window from 2020-01-01T00:03:20Z"
    )


def test_alerts_go_to_a_file_as_json_lines(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = replay(files, *TIMED, *JSON, "--alerts", tmp_path / "alerts.jsonl")
    assert all("evidence" not in json.loads(line) for line in result.stdout.splitlines())
    (alert,) = map(json.loads, (tmp_path / "alerts.jsonl").read_text().splitlines())
    assert alert["labels"]["alertname"] == "data_drift"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/data_drift.md"


def test_a_configuration_gives_the_defaults_and_options_come_first(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    config = tmp_path / "driftstream.yaml"
    config.write_text(
        "kafka: {bootstrap.servers: 127.0.0.1:1}\nredis: {url: redis://127.0.0.1:1/0}\n"
        "defaults: {window: 20s, slide: 10s, grace: 0s}\n"
        "models: {loans: {references: [ref.json], min_samples: 5000}}\n"
    )
    told = replay(files, "--rate", "10", *JSON, "--config", config)
    windows = [json.loads(line) for line in told.stdout.splitlines()]
    assert {w["status"] for w in windows} == {"not_enough_data"}
    assert len(windows) == 31
    said = replay(files, "--rate", "10", *JSON, "-c", config, "--min-samples", "50", "--window", "30s")
    windows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [w["n"] for w in windows] == [300] * 10
    assert windows[-1]["status"] == "drift"


def test_rows_out_of_order_and_late_rows_are_told_on_stderr(files: tuple[Path, Path]) -> None:
    result = replay(
        files, "--timestamp", "at", "--window", "1s", "--grace", "0s", *JSON, "--rows", "2000:3000,0:100"
    )
    assert "goes back in time at 1 rows" in result.stderr
    assert "note: " not in result.stdout
    assert all(json.loads(line) for line in result.stdout.splitlines())


def test_labels_are_replayed_when_their_column_is_named(
    files: tuple[Path, Path], reference: Reference
) -> None:
    files[1].write_text(reference.to_json())
    plain = [json.loads(line) for line in replay(files, *TIMED, *JSON).stdout.splitlines()]
    assert {window["source"] for window in plain} == {"inference"}
    result = replay(files, *TIMED, *JSON, "--label", "repaid", "--label-delay", "50")
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    labels = [window for window in windows if window["source"] == "labels"]
    assert sum(window["n"] for window in labels) == 3000
    assert labels[0]["n"] == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--window", "10s"), "give one of --timestamp COL and --rate"),
        ((*TIMED, "--timestamp", "at"), "give one of --timestamp COL and --rate"),
        (("--timestamp", "at", "--start", "2020-01-01"), "--start and --timestamp both say"),
        (("--timestamp", "att"), "--timestamp 'att' is not a column of loans.parquet: did you mean 'at'"),
        (("--rate", "0"), "--rate 0.0 must be a number above 0"),
        (("--rate", "1e-12"), "beyond the year 9999"),
        (("--rate", "10", "--window", "10"), "--window '10' must be a duration"),
        (("--rate", "10", "--window", "0s"), "must be longer than 0s"),
        ((*TIMED, "--slide", "3s"), "--slide 3s does not divide the window of 10s"),
        (("--rate", "10", "--window", "1d", "--slide", "1s"), "86400 panes: 1024 are the most"),
        ((*TIMED, "--features", "age"), "watches feature 'region'"),
        ((*TIMED, "--label", "repaid"), "has no label: build it with --label"),
        ((*TIMED, "--rows", "0:4000"), "rows 0:4000 are out of range"),
        ((*TIMED, "--alerts", "no/such/place"), "cannot write --alerts no/such/place"),
        ((*TIMED, "--config", "no.yaml"), "no.yaml"),
    ],
)
def test_a_wrong_option_is_one_line(
    files: tuple[Path, Path], options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(files[0]), "--reference", str(files[1]), *options]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_reference_that_does_not_fit_the_file_is_one_line(
    files: tuple[Path, Path], reference: Reference
) -> None:
    data, stored = files

    def refused(built: Reference, *options: str) -> str:
        stored.write_text(built.to_json())
        result = replay(files, *TIMED, *options)
        assert isinstance(result.exception, ConfigError), result.exception
        return str(result.exception)

    labels = reference.for_source("labels")
    assert labels is not None
    assert "watches labels only: name their column with --label" in refused(labels)
    values = columns(400) | {"p": np.linspace(0, 1, 400).tolist()}
    scored = Reference.build(values, window_rows=100, outputs=("p",), model="m", version="v")
    assert "watches the score: name its column with --score" in refused(scored)
    pl.read_parquet(data).rename({"age": "years", "region": "regions"}).write_parquet(data)
    assert "feature 'region' is not a column of loans.parquet: did you mean 'regions'?" in refused(
        Reference.build({"region": ["a", "b"] * 200}, window_rows=100, model="m", version="v")
    )


# ---- real data


@pytest.mark.skipif(not INSECTS.exists(), reason="the shared data set is not here")
def test_a_real_change_is_found_and_nothing_before_it(tmp_path: Path) -> None:
    stored = tmp_path / "ref.json"
    build = ["reference", "build", "--input", str(INSECTS), "--model", "insects", "--model-version", "v1"]
    assert main([*build, "--rows", "1500:6000", "--window-rows", "200", "--output", str(stored)]) == 0
    spans = ("--rows", "6000:10000,15000:19000", "--rate", "20", "--window", "10s")
    first = replay((INSECTS, stored), *spans, *JSON)
    windows = [json.loads(line) for line in first.stdout.splitlines()]
    assert [w["n"] for w in windows] == [200] * 40
    assert {w["status"] for w in windows[:20]} == {"ok"}
    assert "drift" in {w["status"] for w in windows[20:23]}
    assert replay((INSECTS, stored), *spans, *JSON).stdout == first.stdout
