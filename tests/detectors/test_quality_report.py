"""The tables of the quality benchmark, its comparison with the libraries, and what it says without them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.quality_judges import Alarms, Detection, Judged, Known
from benchmarks.quality_peers import PeerPanel
from benchmarks.quality_peers_check import STRIDE, Check, Sample, compared
from benchmarks.quality_peers_venv import PeersUnavailable, last_line, peers_python
from benchmarks.quality_report import as_markdown, grids, lines, print_quality


def alarms(count, windows):
    found = Alarms()
    for window in range(windows):
        found.add(Judged(window < count, frozenset()))
    return found.summary()


@pytest.fixture
def report():
    found = {"x": Detection([1, 3, None, 1], wrong=1, alarms=5).summary()}
    missed = {"x": Detection([None] * 4).summary()}
    stream = {"found_percent": 50.0, "median_delay": 120, "early_alarms": 2, "runs": 2}
    return {
        "seed": 7,
        "scale": 0.5,
        "seconds": 1.5,
        "rules": {"ours": "what ours is"},
        "false_alarms": {
            "n1k": {"ours": alarms(0, 40), "theirs": alarms(10, 40)},
            "100f": {"ours": alarms(1, 8)},
        },
        "detection": {"n1k": {"ours": found, "theirs": missed}},
        "recurring": {"runs": 3, "stale_windows": 0.0, "second_episode_percent": 100.0},
        "pages": {"runs": 3, "harmless_percent": 0.0, "harmful_percent": 100.0},
        "cpu_ms": {"20f n1k": {"driftstream, counts": 1.25}},
        "real": {
            "car": {"ours": {**alarms(0, 5), "pages": 2, "change": True, "delay": 1}},
            "elec": {"ours": {**alarms(4, 5), "change": False, "delay": None}},
            "slow": {"ours": {**alarms(0, 5), "change": True, "delay": None}},
        },
        "errors": {
            "rules": {"driftstream": "errors", "river": "river 9.9"},
            "per_million": {"p=0.1": {"driftstream": 0.0, "river KSWIN": 20.0}},
            "ar1_rho.7_per_10000": {"driftstream": 0.2},
            "streams": {"+3 pt": {"driftstream": stream}, "+5 pt": {"driftstream": stream}},
        },
        "values": {
            "rule": "means",
            "per_10000": {"normal": {"driftstream": 0.1, "river ADWIN": 16.5, "river KSWIN": 70.0}},
            "streams": {
                "normal +1 sd": {"driftstream": stream, "river ADWIN": {**stream, "median_delay": 100}}
            },
        },
        "peers": {
            "versions": {"lib": "1.2"},
            "rules": {"theirs": "what theirs is"},
            "compared": {"lib": {"windows": 9, "equal": 8}},
            "different": [{"stream": "n1k", "library": "lib", "names": ["a"], "ours": {"theirs": []}}],
            "cpu_ms": {"20f n1k": {"lib": 900.0}},
        },
    }


def test_every_table_has_a_row_a_rule_and_a_cell_a_column(report):
    tables = list(grids(report))
    assert all(len(cells) == len(grid.columns) for grid in tables for cells in grid.rows.values())
    false_alarms, detection, real, errors, values, cost = (grid.rows for grid in tables)
    assert false_alarms == {"(windows)": ["40", "8"], "ours": ["0", "125"], "theirs": ["250", "–"]}
    assert detection == {"ours": ["0", "75/1/2.8", "0.20"], "theirs": ["250", "0", "–"]}
    assert real == {"ours": ["0/5 d1 p2", "4/5", "0/5 not found"]}
    assert errors["driftstream"] == ["0", "0.2", "50/120", "50/120", "4"]
    assert errors["river KSWIN"] == ["20", "–", "–", "–", "–"]
    assert errors["ours / ADWIN"] == ["–", "–", "–", "–", "–"]
    assert values == {
        "driftstream": ["0.1", "50/120", "2"],
        "river ADWIN": ["16.5", "50/100", "2"],
        "river KSWIN": ["70", "–", "–"],
        "ours / ADWIN": ["–", "1.20", "–"],
    }
    assert cost == {"driftstream, counts": ["1.25"], "lib itself, raw rows": ["900"]}


def test_the_lines_state_rules_versions_differences_and_the_seed(report):
    said = list(lines(report))
    for part in (
        "ours: what ours is",
        "theirs: what theirs is",
        "lib 1.2 itself on 9 of these windows: same columns and same verdict in 8",
        "differs: n1k: lib names ['a'], ours {'theirs': []}",
        "error streams, driftstream: errors",
        "streams of values, driftstream: means",
        "errors and values, river: river 9.9",
        "seed 7, scale 0.5, 1.5 s",
    ):
        assert part in said
    del report["peers"]
    assert not any("lib" in line for line in lines(report))


def test_markdown_is_a_table_of_github(report):
    assert as_markdown(list(grids(report))[1]).splitlines() == [
        "**Detection, n1k: % found / median delay / 95 % delay in windows, 4 runs**",
        "",
        "| rule | FA/1000 | x | wrong names/alarm |",
        "| --- | ---: | ---: | ---: |",
        "| ours | 0 | 75/1/2.8 | 0.20 |",
        "| theirs | 250 | 0 | – |",
    ]


@pytest.mark.parametrize("markdown", [False, True])
def test_everything_goes_to_standard_output(report, markdown, capsys):
    print_quality(report, markdown=markdown)
    printed = capsys.readouterr()
    assert printed.err == ""
    for grid in grids(report):
        assert grid.title in printed.out
    assert "seed 7" in printed.out


def sample(names):
    known = Known("s", {}, frozenset(), 10, pytest.fail, pytest.fail)
    rules = ("Evidently any", "Evidently share", "NannyML JS", "alibi-detect")
    return Sample(known, [{}], [{rule: frozenset(names.get(rule, ())) for rule in rules}])


def test_the_libraries_agree_when_columns_and_verdict_are_the_same():
    answer = {"evidently": {"names": [["a"]], "alarms": [False], "cpu_ms": [2.0, 4.0, 9.0]}}
    found = compared([sample({"Evidently any": "a"})], [answer])
    assert found == {
        "compared": {"evidently": {"windows": 1, "equal": 1}},
        "different": [],
        "cpu_ms": {"s": {"evidently": 4.0}},
    }


@pytest.mark.parametrize(
    "ours", [{}, {"Evidently any": "ab"}, {"Evidently any": "a", "Evidently share": "a"}]
)
def test_a_difference_is_told(ours):
    answer = {"evidently": {"names": [["a"]], "alarms": [False], "cpu_ms": []}}
    found = compared([sample(ours)], [answer])
    assert found["compared"]["evidently"] == {"windows": 1, "equal": 0}
    assert found["different"][0]["names"] == ["a"]


def test_peers_that_cannot_run_are_told_by_their_last_words():
    rng = np.random.default_rng(1)
    columns = {"a": rng.normal(size=100), "k": rng.choice(["u", "v"], 100)}
    known = Known("s", columns, frozenset("k"), 10, pytest.fail, pytest.fail)
    # This Python has none of the libraries.
    with Check(sys.executable, lambda _: 1) as check:
        judge = PeerPanel(check.watch).fit(known)
        for _ in range(STRIDE):
            judge.judge({name: values[:10] for name, values in columns.items()})
        with pytest.raises(PeersUnavailable, match="No module named"):
            check.finish()


def test_without_uv_there_is_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.quality_peers_venv.ROOT", tmp_path)
    with pytest.raises(PeersUnavailable, match="pip install uv"):
        peers_python(tmp_path / "venv")


def test_a_uv_that_fails_is_quoted(monkeypatch, tmp_path):
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no network' >&2\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeersUnavailable, match=r"ended with 2: error: no network"):
        peers_python(tmp_path / "venv")
    assert last_line("\n \n") == "it said nothing"
