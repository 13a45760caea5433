"""Labels of a replay: late, twice, corrected, early or never; final windows say what a batch says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score
from typer.testing import CliRunner

from detectors import Reference
from stream.cli import app
from stream.cli.replay_options import SpecOptions, replay_spec
from stream.errors import ConfigError
from stream.replay import METRICS, Replay
from stream.replay_intake import ReplaySpec
from stream.row_events import Record, Source
from stream.settings.label_sections import LabelSettings
from stream.windows import WindowSpec

T0 = 1_760_000_000_000 // 60_000 * 60_000
SLIDE_MS, WINDOWS, ROWS = 60_000, 8, 500
N = WINDOWS * ROWS
SPEC = ReplaySpec(
    windows=WindowSpec(size_ms=SLIDE_MS, slide_ms=SLIDE_MS, grace_ms=0),
    out_of_orderness_ms=0,
    labels=LabelSettings.model_validate({"horizon": "1h"}),
    segments={"region": ("eu", "us")},
    variants=("shadow",),
)


class Stream:
    """Predictions and labels with every fault that labels have, and what is true in the end."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.ts_ms = T0 + np.sort(rng.integers(0, WINDOWS * SLIDE_MS, N))
        self.score = np.round(rng.uniform(size=N), 4)
        self.predicted = (self.score > 0.5).astype(int)
        self.truth = (rng.uniform(size=N) < self.score).astype(int)
        self.shadow = rng.uniform(size=N) < 0.1
        self.failed = rng.uniform(size=N) < 0.02
        self.known = rng.uniform(size=N) > 0.03
        self.events = [(int(ms), "inference", self._inference(i)) for i, ms in enumerate(self.ts_ms)]
        delay = np.where(rng.uniform(size=N) < 0.01, -3_000, rng.integers(1_000, 600_000, N))
        corrected, twice = rng.uniform(size=N) < 0.02, rng.uniform(size=N) < 0.05
        for i in np.flatnonzero(self.known).tolist():
            at_ms = int(self.ts_ms[i] + delay[i])
            first = 1 - self.truth[i] if corrected[i] else self.truth[i]
            self._label(i, at_ms, first)
            if corrected[i]:
                self._label(i, at_ms + 5_000, self.truth[i])
            if twice[i]:
                self._label(i, at_ms, first)
        self.events.sort(key=lambda event: event[0])

    def _inference(self, i: int) -> dict[str, Any]:
        more: dict[str, Any] = {"variant": "shadow"} if self.shadow[i] else {}
        more |= {"status": "error"} if self.failed[i] else {}
        return {
            "features": {"x": float(self.score[i])},
            "prediction": ("no", "yes")[self.predicted[i]],
            "score": float(self.score[i]),
            "segments": {"region": ("eu", "us", "mars")[i % 3]},
            "prediction_id": str(i),
            **more,
        }

    def _label(self, i: int, at_ms: int, label: int) -> None:
        self.events.append((at_ms, "labels", {"prediction_id": str(i), "label": ("no", "yes")[label]}))

    def records(self) -> list[tuple[Source, Record]]:
        made = []
        for ts_ms, source, event in self.events:
            value = json.dumps({"model": "m", "ts": ts_ms, **event}).encode()
            made.append((source, Record(event["prediction_id"].encode(), value, ts_ms)))
        return made

    def window(self, start_ms: int) -> np.ndarray:
        inside = (self.ts_ms >= start_ms) & (self.ts_ms < start_ms + SLIDE_MS)
        return np.flatnonzero(inside & ~self.failed & ~self.shadow)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream()


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(4)
    score = rng.uniform(size=5_000)
    columns = {
        "x": score,
        "score": score,
        "said": np.where(score > 0.5, "yes", "no").tolist(),
        "y": np.where(rng.uniform(size=5_000) < score, "yes", "no").tolist(),
    }
    return Reference.build(columns, window_rows=ROWS, label="y", prediction="said", model="m", version="v1")


def replayed(spec: ReplaySpec, reference: Reference, records: list[tuple[Source, Record]]) -> dict[int, Any]:
    """The last revision of each window of predictions, by its start."""
    replay = Replay(spec, reference, sources=("inference", "labels"))
    windows: dict[int, Any] = {}
    for message in replay.run(records):
        if message.topic != METRICS:
            continue
        record = json.loads(message.value or b"")
        if record["source"] == "inference":
            windows[record["window_start_ms"]] = record
    return windows


def test_final_performance_is_that_of_the_batch(stream: Stream, reference: Reference) -> None:
    windows = replayed(SPEC, reference, stream.records())
    assert len(windows) == WINDOWS
    for start_ms, record in windows.items():
        rows = stream.window(start_ms)
        assert record["n"] == len(rows)
        realized = record["performance"]["realized"]
        labelled = rows[stream.known[rows]]
        truth, said, score = (a[labelled] for a in (stream.truth, stream.predicted, stream.score))
        assert realized["final"]
        assert (realized["n"], realized["predictions"]) == (len(labelled), len(rows))
        assert realized["coverage"] == pytest.approx(len(labelled) / len(rows))
        assert realized["accuracy"] == pytest.approx(accuracy_score(truth, said), abs=1e-12)
        assert realized["f1"] == pytest.approx(f1_score(truth, said), abs=1e-12)
        assert realized["log_loss"] == pytest.approx(log_loss(truth, score), rel=1e-9)
        assert realized["roc_auc"] == pytest.approx(roc_auc_score(truth, score), abs=1e-3)


def test_how_many_records_are_decoded_at_a_time_changes_no_final_number(
    stream: Stream, reference: Reference
) -> None:
    whole = replayed(SPEC, reference, stream.records())
    small = replayed(ReplaySpec(**{**vars(SPEC), "batch": 37}), reference, stream.records())
    assert {s: w["performance"]["realized"] for s, w in small.items()} == {
        s: w["performance"]["realized"] for s, w in whole.items()
    }


def test_the_order_in_which_labels_arrive_changes_no_final_number(
    stream: Stream, reference: Reference
) -> None:
    """All labels in another order, as late as the end of the stream."""
    records = stream.records()
    labels = [record for record in records if record[0] == "labels"]
    order = np.random.default_rng(9).permutation(len(labels)).tolist()
    shuffled = [record for record in records if record[0] == "inference"] + [labels[i] for i in order]
    expected, found = (replayed(SPEC, reference, each) for each in (records, shuffled))
    for start_ms, record in expected.items():
        assert found[start_ms]["performance"]["realized"] == record["performance"]["realized"]


def test_without_labels_nothing_is_joined(stream: Stream, reference: Reference) -> None:
    replay = Replay(SPEC, reference)
    only = [each for each in stream.records() if each[0] == "inference"]
    records = [json.loads(m.value or b"") for m in replay.run(only) if m.topic == METRICS]
    assert all("realized" not in (record.get("performance") or {}) for record in records)


def test_labels_beyond_the_horizon_are_not_joined(stream: Stream, reference: Reference) -> None:
    spec = ReplaySpec(
        **{**vars(SPEC), "labels": LabelSettings.model_validate({"horizon": "1m"})}  # half of them are later
    )
    replay = Replay(spec, reference, sources=("inference", "labels"))
    messages = [json.loads(m.value or b"") for m in replay.run(stream.records()) if m.topic == METRICS]
    last = {record["window_start_ms"]: record for record in messages if record["source"] == "inference"}
    joined = sum(record["performance"]["realized"]["n"] for record in last.values())
    assert 0 < joined < N / 4
    assert replay.has_unjoined


@pytest.mark.parametrize(("horizon", "told"), [("1m", True), ("1h", False)])
def test_the_command_says_when_labels_lie_beyond_the_horizon(
    stream: Stream, reference: Reference, tmp_path: Path, horizon: str, *, told: bool
) -> None:
    rows = {
        "x": stream.score,
        "score": stream.score,
        "said": np.where(stream.predicted == 1, "yes", "no").tolist(),
        "y": np.where(stream.truth == 1, "yes", "no").tolist(),
        "at": stream.ts_ms,
    }
    data, stored = tmp_path / "rows.parquet", tmp_path / "reference.json"
    pl.DataFrame(rows).write_parquet(data)
    stored.write_text(reference.to_json())
    options = ["--timestamp", "at", "--prediction", "said", "--score", "score", "--label", "y"]
    options += ["--label-delay", "2000", "--label-horizon", horizon, "--window", "1m", "--output", "json"]
    result = CliRunner().invoke(app, ["replay", str(data), "--reference", str(stored), *options])
    assert result.exit_code == 0, result.output
    assert ("labels more than 1m from their prediction were not joined" in result.stderr) is told


def test_a_horizon_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="--label-horizon must be longer than 0s"):
        replay_spec(SpecOptions(label_horizon="0s"), None, model=None)


def test_a_replay_waits_for_every_label_of_the_file(
    stream: Stream, reference: Reference, tmp_path: Path
) -> None:
    rows = {
        "x": stream.score,
        "score": stream.score,
        "said": np.where(stream.predicted == 1, "yes", "no").tolist(),
        "y": np.where(stream.truth == 1, "yes", "no").tolist(),
        "at": stream.ts_ms,
        "known": stream.ts_ms + 30 * 86_400_000,
    }
    data, stored = tmp_path / "rows.parquet", tmp_path / "reference.json"
    pl.DataFrame(rows).write_parquet(data)
    stored.write_text(reference.to_json())
    options = ["--timestamp", "at", "--prediction", "said", "--score", "score", "--label", "y"]
    options += ["--label-time", "known", "--window", "1m", "--output", "json"]
    result = CliRunner().invoke(app, ["replay", str(data), "--reference", str(stored), *options])
    assert result.exit_code == 0, result.output
    assert "labels more than" not in result.stderr
    windows = [json.loads(line) for line in result.stdout.splitlines()]
    last = {each["window_end_ms"]: each for each in windows if each["source"] == "inference"}
    assert all(each["performance"]["realized"]["n"] == each["n"] for each in last.values())
    assert all(each["performance"]["realized"]["final"] for each in last.values())
